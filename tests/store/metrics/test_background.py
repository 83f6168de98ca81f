"""When the background does what.  What fails is tried again, ever later, and holds up nothing else."""

from __future__ import annotations

import logging
import threading

import pytest

from epochal.errors import DamagedStoreError
from epochal.store.metrics.embedded.background import DUE_VALUES, IDLE_S, Background, Backlog


class Compactions:
    """Counts them; run 1 fails."""

    def __init__(self, n_failures: int) -> None:
        self.n_failures = n_failures
        self.done: list[int] = []
        self.changed = threading.Condition()

    def compact(self, run_no: int) -> None:
        with self.changed:
            self.done.append(run_no)
            self.changed.notify_all()
        if run_no == 1 and self.done.count(1) <= self.n_failures:
            raise DamagedStoreError("the chunk 7 is missing")

    def wait_for(self, run_no: int, n: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.done.count(run_no) >= n, timeout=30.0)


def test_a_run_that_cannot_be_compacted_does_not_hold_up_others_and_is_not_tried_at_full_speed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    compactions = Compactions(n_failures=1000)
    background = Background(compactions.compact, lambda: False, retry_s=3600.0)
    with caplog.at_level(logging.ERROR):
        for n in range(1, 30):
            background.add([(1, DUE_VALUES, 1), (2, DUE_VALUES, 1)])
            compactions.wait_for(2, n)
        background.stop()

    assert compactions.done.count(1) == 1
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None  # a sentence, not a traceback


def test_a_run_that_could_not_be_compacted_is_tried_again_by_itself() -> None:
    compactions = Compactions(n_failures=3)
    background = Background(compactions.compact, lambda: False, retry_s=0.01)
    background.add([(1, DUE_VALUES, 1)])

    compactions.wait_for(1, 4)
    background.stop()

    assert compactions.done == [1, 1, 1, 1]


def test_what_becomes_untidy_while_it_is_being_tidied_is_tidied_too() -> None:
    n_calls = [0]
    is_in_it, is_second, may_go_on = threading.Event(), threading.Event(), threading.Event()

    def tidy() -> bool:
        n_calls[0] += 1
        (is_second if n_calls[0] == 2 else is_in_it).set()
        may_go_on.wait()
        return False

    background = Background(lambda _: None, tidy)
    background.tidy_up()
    is_in_it.wait()
    background.tidy_up()
    may_go_on.set()
    is_second.wait()
    background.stop()


def test_a_run_of_very_many_keys_waits_until_a_pass_is_worth_it() -> None:
    narrow = Backlog(n_blocks=1, n_values=DUE_VALUES, n_keys=10, last_append=100.0)
    wide = Backlog(n_blocks=100, n_values=DUE_VALUES, n_keys=10_000, last_append=100.0)

    assert narrow.due_at(now=101.0) == 101.0
    assert wide.due_at(now=101.0) == 100.0 + IDLE_S
