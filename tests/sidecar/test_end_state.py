from __future__ import annotations

import signal

import pytest

from epochal.sidecar.end_state import Exit, end_state
from epochal.sidecar.trainer import VANISHED, End


def state_of(
    recorded: Exit | None, end: End | None, *, preempting: bool = False, at_exit: bool = False
) -> Exit:
    return end_state(recorded, end, is_preempting=preempting, at_exit=at_exit)


@pytest.mark.parametrize(
    ("recorded", "end", "state"),
    [
        (Exit(exit_code=0), None, "finished"),
        (Exit(exit_code=7), None, "failed"),
        (Exit(exit_code=255, traceback="KeyboardInterrupt"), None, "failed"),
        (Exit(exit_code=0), End(None, signal.SIGKILL), "finished"),
        (None, None, "finished"),
        (None, End(0, None), "finished"),
        (None, End(5, None), "failed"),
        (None, VANISHED, "crashed"),
        *((None, End(None, s), "killed") for s in map(signal.Signals, (1, 2, 3, 9, 10, 13, 15, 24))),
        *((None, End(None, s), "crashed") for s in map(signal.Signals, (4, 6, 7, 8, 11, 31))),
    ],
)
def test_every_way_to_end_has_its_state(recorded: Exit | None, end: End | None, state: str) -> None:
    assert state_of(recorded, end).state == state


@pytest.mark.parametrize(
    ("recorded", "end", "state"),
    [
        (Exit(exit_code=0), None, "finished"),
        (Exit(exit_code=1), None, "preempted"),
        (None, End(None, signal.SIGTERM), "preempted"),
        (None, End(None, signal.SIGKILL), "preempted"),
        (None, VANISHED, "preempted"),
        (None, End(0, None), "finished"),
    ],
)
def test_a_run_that_expected_preemption_and_did_not_succeed_is_preempted(
    recorded: Exit | None, end: End | None, state: str
) -> None:
    assert state_of(recorded, end, preempting=True).state == state


def test_a_kill_for_memory_says_so() -> None:
    found = state_of(None, End(None, signal.SIGKILL, was_out_of_memory=True))

    assert (found.state, found.signal) == ("killed", signal.SIGKILL)
    assert found.reason is not None
    assert found.reason.startswith("Out of memory")


def test_a_system_exit_that_nobody_could_see_is_known_by_the_exit_code_of_the_process() -> None:
    found = state_of(Exit(exit_code=0), End(3, None), at_exit=True)

    assert (found.state, found.exit_code) == ("failed", 3)


def test_a_system_exit_that_was_caught_does_not_fail_the_run() -> None:
    assert state_of(Exit(exit_code=3), End(0, None), at_exit=True).state == "finished"


def test_the_traceback_is_believed_more_than_the_exit_code() -> None:
    """A Python that dies by Ctrl-C ends by signal or with code 130, and the stock client says 255."""
    recorded = Exit(exit_code=255, traceback="KeyboardInterrupt")

    assert state_of(recorded, End(130, None), at_exit=True).exit_code == 255


def test_a_run_that_was_finished_by_hand_keeps_the_code_that_was_given() -> None:
    assert state_of(Exit(exit_code=7), End(0, None)).exit_code == 7


def test_a_fault_while_python_shuts_down_is_mentioned_and_does_not_undo_a_finished_run() -> None:
    found = state_of(Exit(exit_code=0), End(None, signal.SIGSEGV), at_exit=True)

    assert found.state == "finished"
    assert "SIGSEGV" in str(found.reason)
