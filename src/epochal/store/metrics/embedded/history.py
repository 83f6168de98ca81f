"""The history of one key of one run: what is in chunks, and above it what is not yet."""

from __future__ import annotations

from collections.abc import Iterator

from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.blocks import tail_points, tail_rows
from epochal.store.metrics.embedded.points import Points
from epochal.store.metrics.embedded.snapshot import RunRow, Snapshot


class SeriesHistory:
    """Every value of one key of one run.

    Args:
        run: whose.
        tail: points that are not in chunks yet; they win over those that are.
    """

    def __init__(self, run: RunRow, tail: Points) -> None:
        self.run = run
        self._tail = tail

    def last_step(self) -> int | None:
        """Return the greatest step that has a number, None if there are none."""
        numbers = self._tail.numbers()
        return int(numbers.steps[-1]) if len(numbers) else None

    def points(self, first_step: int, last_step: int) -> Points:
        """Return the numbers from `first_step` to `last_step`, both included."""
        return self.everything(first_step, last_step).numbers()

    def everything(self, first_step: int, last_step: int) -> Points:
        """Return all values from `first_step` to `last_step`, both included."""
        return self._tail.between(first_step, last_step)


def history_of(snapshot: Snapshot, run: RunRow, stream: Stream, key: str) -> SeriesHistory:
    """Return the history of `key`, which may be empty."""
    return SeriesHistory(run, tail_points(snapshot.tail(run), stream, key))


def row_windows(
    snapshot: Snapshot, run: RunRow, stream: Stream, first_step: int, last_step: int
) -> Iterator[Points]:
    """Yield the steps and times of the run's rows in step order, some at a time, none of them empty."""
    rows = tail_rows(snapshot.tail(run), stream).between(first_step, last_step)
    if len(rows):
        yield rows


def key_names(snapshot: Snapshot, run: RunRow, stream: Stream) -> list[str]:
    """Return the run's keys in order of first appearance."""
    return list(dict.fromkeys(key for block in snapshot.tail(run) for key in block.table(stream).columns))


def step_range(first_step: int | None = None, last_step: int | None = None) -> tuple[int, int]:
    """Return the range of steps, both ends included, None meaning no limit."""
    return (
        -(2**63) if first_step is None else first_step,
        2**63 - 1 if last_step is None else last_step,
    )
