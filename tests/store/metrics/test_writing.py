"""Who may write when."""

from __future__ import annotations

import threading

from epochal.store.metrics.embedded.writing import Pace, WriteTurns


def test_one_who_is_waited_for_goes_before_the_background_that_came_first() -> None:
    turns, order, ready = WriteTurns(), [], threading.Barrier(3)

    def background() -> None:
        ready.wait()
        with turns.later():
            order.append("later")

    def append() -> None:
        ready.wait()
        with turns.now():
            order.append("now")

    for _ in range(50):
        order.clear()
        threads = [threading.Thread(target=work) for work in (background, append)]
        with turns.now():
            for thread in threads:
                thread.start()
            ready.wait()
            while turns.n_waiting < 1:
                pass
        for thread in threads:
            thread.join()
        assert sorted(order) == ["later", "now"]
        assert order[0] == "now"


def test_the_background_gets_its_turn_however_many_wait() -> None:
    """Appends that follow each other without a gap must not keep compaction from ever happening."""
    turns, is_done = WriteTurns(), threading.Event()

    def append() -> None:
        while not is_done.is_set():
            with turns.now():
                pass

    threads = [threading.Thread(target=append) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        with turns.later():
            pass
    is_done.set()
    for thread in threads:
        thread.join()


def test_an_error_gives_the_turn_back() -> None:
    turns = WriteTurns()
    for turn in (turns.now, turns.later, turns.now):
        try:
            with turn():
                raise KeyError
        except KeyError:
            pass
    with turns.later():
        pass


def test_a_pace_comes_to_the_number_that_takes_its_time() -> None:
    now = 0.0
    pace = Pace(first=10, least=1, most=1000, target_s=0.01, clock=lambda: now)
    for _ in range(10):
        with pace.timed():
            now += pace.n * 0.0001
    assert 90 <= pace.n <= 110
    for _ in range(10):
        with pace.timed():
            now += 1.0
    assert pace.n == 1
