"""How this process is ending, and a last call to the runs that are still live when it does.

Three sources, none of which changes what the user's program does:

- `sys.last_value`: the interpreter sets it before it calls any `sys.excepthook`, so a hook that was
  installed before us or after us (rich, a debugger, a framework) is neither replaced nor able to hide
  an exception from us.
- `sys.exit`, wrapped while a run is live, remembers its argument.  A program may catch SystemExit and go
  on, so what it says counts only once the main thread is over.
- `atexit` calls the live runs, in the process that started them and nowhere else.

What none of them sees (`raise SystemExit(3)`, `os._exit`, signals) the sidecar learns from the kernel.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, NoReturn

MAX_TRACEBACK_CHARACTERS = 64 * 1024
KEYBOARD_INTERRUPT_CODE = 255  # what the stock client records for Ctrl-C


class Outcome(NamedTuple):
    """How a run ends: what goes into its exit record."""

    exit_code: int
    traceback: str | None = None


SUCCESS = Outcome(0)
OnExit = Callable[[Outcome], None]

_on_exit: list[OnExit] = []
_sys_exit: Callable[[str | int | None], NoReturn] | None = None  # what `sys.exit` was before it was wrapped
_exit_argument: list[object] = []  # of the last sys.exit() in the main thread
_last_value_before: BaseException | None = None
_registered = False


def install(on_exit: OnExit) -> None:
    """Have `on_exit` called with the outcome if the process ends before `remove(on_exit)`."""
    global _registered, _last_value_before
    if not _on_exit:
        _last_value_before = getattr(sys, "last_value", None)
        _exit_argument.clear()
        _wrap_sys_exit()
    if on_exit not in _on_exit:
        _on_exit.append(on_exit)
    if not _registered:
        _registered = True
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_in_child)


def remove(on_exit: OnExit) -> None:
    """Forget `on_exit`; with the last one, `sys.exit` is what it was again."""
    with contextlib.suppress(ValueError):
        _on_exit.remove(on_exit)
    if not _on_exit:
        _unwrap_sys_exit()


def is_exiting() -> bool:
    """Tell whether the main thread is over: `atexit` handlers run, or only other threads are left."""
    return not threading.main_thread().is_alive()


def outcome() -> Outcome:
    """Return how the process is ending as far as it shows: success while it is simply running.

    Inside a `finally:` that a sys.exit() or Ctrl-C runs through, that is the outcome.  Another exception
    there may still be caught, so it is one only when nothing caught it.
    """
    uncaught = _uncaught_exception()
    if uncaught is not None:
        return outcome_of(uncaught)
    if is_exiting():
        return outcome_of(SystemExit(_exit_argument[0])) if _exit_argument else SUCCESS
    in_flight = sys.exc_info()[1]
    if isinstance(in_flight, SystemExit | KeyboardInterrupt):
        return outcome_of(in_flight)
    return SUCCESS


def outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of a process that ends with `error`, as the interpreter and a shell see it."""
    if error is None:
        return SUCCESS
    if isinstance(error, SystemExit):
        return Outcome(_code_of(error.code))
    code = KEYBOARD_INTERRUPT_CODE if isinstance(error, KeyboardInterrupt) else 1
    return Outcome(code, format_traceback(error, error.__traceback__))


def format_traceback(error: BaseException, tb: TracebackType | None = None) -> str:
    """Return the traceback of `error` as Python prints it, its middle left out where it is very long."""
    import traceback

    try:
        text = "".join(traceback.format_exception(type(error), error, tb))
    except Exception:  # noqa: BLE001 - an exception whose own __str__ fails must not hide that it happened
        text = f"{type(error).__module__}.{type(error).__qualname__}\n"
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= MAX_TRACEBACK_CHARACTERS:
        return text
    half = MAX_TRACEBACK_CHARACTERS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _code_of(argument: object) -> int:
    """Return the exit code of `sys.exit(argument)`."""
    if argument is None:
        return 0
    if isinstance(argument, int):
        return argument & 0xFF  # all that a parent process gets to see
    return 1  # A text is printed, and counts as a failure.


def _uncaught_exception() -> BaseException | None:
    """Return the exception that ended the main module since the first run began, if one did."""
    if hasattr(sys, "ps1"):  # A prompt or a notebook sets it after every failed line, and goes on.
        return None
    error: BaseException | None = getattr(sys, "last_value", None)
    return error if error is not _last_value_before else None


def _wrap_sys_exit() -> None:
    global _sys_exit
    if _sys_exit is not None:
        return
    _sys_exit = before = sys.exit

    def exit(status: str | int | None = None, /) -> NoReturn:
        if threading.current_thread() is threading.main_thread():
            _exit_argument[:] = [status]
        before(status)

    exit.__doc__ = before.__doc__
    exit.__epochal__ = True  # type: ignore[attr-defined]
    sys.exit = exit


def _unwrap_sys_exit() -> None:
    """Put `sys.exit` back, unless somebody wrapped it after us: then ours stays under theirs."""
    global _sys_exit
    if _sys_exit is not None and getattr(sys.exit, "__epochal__", False):
        sys.exit = _sys_exit  # type: ignore[assignment]
        _sys_exit = None


def _at_exit() -> None:
    with contextlib.suppress(KeyboardInterrupt):  # A second Ctrl-C between two steps.
        _end_runs()
    if type(_uncaught_exception()) is KeyboardInterrupt:
        _stay_interrupted()


def _end_runs() -> None:
    try:
        end = outcome()
    except KeyboardInterrupt:  # A second Ctrl-C while the first one's traceback is being written down.
        end = Outcome(KEYBOARD_INTERRUPT_CODE)
    # Newest first, as nested `with` blocks would end.
    for on_exit in reversed(_on_exit.copy()):
        # Nothing of ours may change the exit code or hide the user's own traceback.  A second Ctrl-C ends
        # the step it hits and not the ones after it.
        with contextlib.suppress(Exception, KeyboardInterrupt):
            on_exit(end)
    _on_exit.clear()


def _stay_interrupted() -> None:
    """Have a process that Ctrl-C ended die by SIGINT, as a shell that runs it in a loop expects.

    CPython remembers in a flag to do so, and forgets it whenever it runs a text as a program: every
    namedtuple that a module makes when it is imported here.  Running one that is interrupted sets it again.
    Source: CPython, Python/pythonrun.c, run_eval_code_obj.
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102


def _in_child() -> None:
    """In a forked child the parent's runs are not ours to end."""
    _on_exit.clear()
    _exit_argument.clear()
    _unwrap_sys_exit()
