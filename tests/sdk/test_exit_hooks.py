"""What a process knows of its own end; each case is a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PRELUDE = """
import atexit, json, os, sys, threading
from epochal.sdk import exit_hooks
def on_exit(outcome):
    print(json.dumps([outcome.exit_code, outcome.traceback]))
exit_hooks.install(on_exit)
"""


def end_of(body: str) -> tuple[int, list[tuple[int, str | None]]]:
    """Run `body`; return the process's exit code and the outcomes that were reported."""
    done = subprocess.run([sys.executable, "-c", PRELUDE + body], capture_output=True, text=True)
    return done.returncode, [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("body", "code", "reported"),
    [
        ("", 0, 0),
        ("sys.exit()", 0, 0),
        ("sys.exit(0)", 0, 0),
        ("sys.exit(3)", 3, 3),
        ("sys.exit('went wrong')", 1, 1),
        ("sys.exit(-1)", 255, 255),
        ("sys.exit(True)", 1, 1),
        ("1 / 0", 1, 1),
        ("sys.excepthook = lambda *_: None\n1 / 0", 1, 1),
        ("try: 1 / 0\nexcept ZeroDivisionError: pass", 0, 0),
        ("try: sys.exit(3)\nexcept SystemExit: pass\nsys.exit(0)", 0, 0),
        ("t = threading.Thread(target=lambda: sys.exit(3)); t.start(); t.join()", 0, 0),
        ("before = sys.exit\nsys.exit = lambda code: before(code + 1)\nsys.exit(3)", 4, 4),
    ],
)
def test_every_end_reports_the_code_that_the_stock_client_records(
    body: str, code: int, reported: int
) -> None:
    returned, outcomes = end_of(body)

    assert returned == code
    assert [outcome[0] for outcome in outcomes] == [reported]


def test_a_keyboard_interrupt_is_reported_as_255_with_its_traceback() -> None:
    returned, [(code, traceback)] = end_of("raise KeyboardInterrupt")

    assert (returned, code) == (-2, 255), "a shell must see that it was Ctrl-C"
    assert str(traceback).rstrip().endswith("KeyboardInterrupt")


def test_an_uncaught_exception_comes_with_its_traceback_whatever_hook_is_installed() -> None:
    for hook in ("", "sys.excepthook = lambda *_: None\n"):
        _, [(_, traceback)] = end_of(hook + "def step():\n    raise ValueError('bad batch')\nstep()")

        assert traceback is not None
        assert traceback.endswith("ValueError: bad batch\n")
        assert "in step" in traceback


def test_a_very_long_traceback_keeps_its_ends() -> None:
    _, [(_, traceback)] = end_of("raise ValueError('a' * 100_000 + 'the end')")

    assert traceback is not None
    assert traceback.startswith("Traceback")
    assert traceback.endswith("the end\n")
    assert len(traceback) < 70_000


def test_an_exception_that_cannot_be_printed_is_still_reported() -> None:
    body = "class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad"

    _, [(code, traceback)] = end_of(body)

    assert code == 1
    assert traceback is not None
    assert "Bad" in traceback


def test_a_forked_child_reports_nothing_of_its_parent_s_runs() -> None:
    returned, outcomes = end_of("pid = os.fork()\nif pid == 0: sys.exit(9)\nos.waitpid(pid, 0)")

    assert (returned, [code for code, _ in outcomes]) == (0, [0])


def test_what_is_removed_is_not_called_and_sys_exit_is_what_it_was() -> None:
    body = "exit_hooks.remove(on_exit)\nassert sys.exit.__module__ == 'sys', sys.exit"

    assert end_of(body) == (0, [])


def test_a_wrapper_of_somebody_else_stays_when_ours_goes() -> None:
    body = "ours = sys.exit\nsys.exit = wrapper = lambda *a: ours(*a)\nexit_hooks.remove(on_exit)\n"

    assert end_of(body + "assert sys.exit is wrapper\nsys.exit(3)") == (3, [])


def test_runs_are_ended_newest_first_and_one_that_fails_does_not_stop_the_others() -> None:
    body = """
def failing(outcome): raise RuntimeError
def newest(outcome): print('[0, "newest"]')
exit_hooks.install(failing)
exit_hooks.install(newest)
"""
    assert end_of(body) == (0, [(0, "newest"), (0, None)])


def test_inside_finally_the_exit_that_runs_through_it_is_known() -> None:
    for statement, code in (("sys.exit(3)", 3), ("raise KeyboardInterrupt", 255), ("pass", 0)):
        body = (
            f"exit_hooks.remove(on_exit)\ntry:\n    {statement}\nfinally:\n    on_exit(exit_hooks.outcome())"
        )

        assert [found for found, _ in end_of(body)[1]] == [code]
