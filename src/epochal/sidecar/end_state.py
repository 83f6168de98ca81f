"""Which state a run ended in, from what the trainer wrote and what the kernel says of its process."""

from __future__ import annotations

import signal
from typing import Literal

import msgspec

from epochal.sidecar.trainer import End

EndState = Literal["finished", "failed", "killed", "crashed", "preempted"]

# Signals by which a program breaks; every other one is somebody's decision.
_FAULTS = {
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
}


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """An exit record, as docs/formats/run-log.md has it; `state` is None from the trainer."""

    state: EndState | None = None
    exit_code: int | None = None
    signal: int | None = None
    traceback: str | None = None
    reason: str | None = None


def end_state(recorded: Exit | None, end: End | None, *, is_preempting: bool, at_exit: bool = False) -> Exit:
    """Return the exit record that holds for a run.

    Args:
        recorded: by the trainer, if it came to that.
        end: of the trainer's process; None while it lives.
        is_preempting: the run was marked as about to be preempted.
        at_exit: the trainer recorded its exit while the interpreter was ending, by what it knew then.
    """
    if recorded is not None:
        found = _as_recorded(recorded, end if at_exit else None)
    elif end is None:
        found = Exit(state="finished", reason="The run was closed without an exit code.")
    elif end.signal is not None:
        found = _by_signal(end.signal, was_out_of_memory=end.was_out_of_memory)
    elif end.exit_code is not None:
        found = _without_record(end.exit_code)
    else:
        found = Exit(
            state="crashed",
            reason="The process vanished without leaving an exit code; the machine may have stopped it.",
        )
    if is_preempting and found.state != "finished":
        return msgspec.structs.replace(found, state="preempted")
    return found


def _as_recorded(recorded: Exit, end: End | None) -> Exit:
    code = recorded.exit_code or 0
    reason = recorded.reason
    if end is not None and end.exit_code is not None and recorded.traceback is None:
        # `raise SystemExit(3)` does not show before the end, and a sys.exit() that somebody caught shows
        # though it was none: the kernel knows what it was.
        code = end.exit_code
    if end is not None and end.signal is not None and end.signal in _FAULTS:
        reason = reason or f"Afterwards, while Python was shutting down, {_died_by(end.signal)}."
    return Exit(
        state="finished" if code == 0 else "failed",
        exit_code=code,
        signal=recorded.signal,
        traceback=recorded.traceback,
        reason=reason,
    )


def _by_signal(number: int, *, was_out_of_memory: bool) -> Exit:
    if number in _FAULTS:
        return Exit(state="crashed", signal=number, reason=f"In native code {_died_by(number)}.")
    reason = f"{_name(number)} ended the process."
    if was_out_of_memory and number == signal.SIGKILL:
        reason = f"Out of memory: the kernel ended the process ({_name(number)})."
    return Exit(state="killed", signal=number, reason=reason)


def _without_record(code: int) -> Exit:
    reason = f"The process ended with exit code {code} without finishing the run, as os._exit() does."
    return Exit(state="finished" if code == 0 else "failed", exit_code=code, reason=reason)


def _died_by(number: int) -> str:
    return f"the process died by {_name(number)}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
