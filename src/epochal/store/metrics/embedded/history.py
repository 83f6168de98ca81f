"""The history of one key of one run: what is in chunks, and above it what is not yet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.chunks import ROWS, Chunks, SeriesRow
from epochal.store.metrics.embedded.points import Points, concat, empty, overlay
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot

MIN_STEP, MAX_STEP = -(2**63), 2**63 - 1


class SeriesHistory:
    """Every value of one key of one run.

    Args:
        run: whose.
        chunks: where to read.
        numbers: the series of numbers in chunks, None if there is none.
        others: the series of other values in chunks; no step is in both.
        tail: points that are not in chunks yet; they win over those that are.
    """

    def __init__(
        self, run: RunRow, chunks: Chunks, numbers: SeriesRow | None, others: SeriesRow | None, tail: Points
    ) -> None:
        self.run, self.chunks, self.tail = run, chunks, tail
        self.series = numbers if numbers is not None and numbers.n_points else None
        self._others = others if others is not None and others.n_points else None

    def last_step(self) -> int | None:
        """Return the greatest step that has a number, None if there are none."""
        if self._others is None and self.series is not None and not len(self.tail):
            return self.series.last_step
        if self._others is None and self.series is not None and self.tail.objects is None:
            ends = [self.series.last_step, *self.tail.steps[-1:].tolist()]
            return max(int(step) for step in ends if step is not None)
        point = self.point_at_or_before(MAX_STEP)
        return None if point is None else int(point.steps[0])

    def has_levels(self) -> bool:
        """Return whether there are levels above the points."""
        return self.series is not None and self.series.top_level > 0

    def is_time_sorted(self) -> bool:
        """Return whether times never fall as steps rise, and the tail follows what is in chunks."""
        series, tail = self.series, self.tail
        if not len(tail):
            return series is None or bool(series.is_time_sorted)
        if not (tail.times[1:] >= tail.times[:-1]).all() or not np.isfinite(tail.times).all():
            return False
        if series is None or series.last_step is None or series.max_time is None or not len(tail):
            return series is None or bool(series.is_time_sorted)
        follows = tail.steps[0] > series.last_step and tail.times[0] >= series.max_time
        return bool(series.is_time_sorted and follows)

    def points(self, first_step: int, last_step: int) -> Points:
        """Return the numbers from `first_step` to `last_step`, both included."""
        below = _in_chunks(self.chunks, self.series, first_step, last_step)
        return overlay(below, self.tail.between(first_step, last_step)).numbers()

    def point_at_or_before(self, step: int) -> Points | None:
        """Return the last number up to `step`, None if there is none."""
        while True:
            begin = None
            if self.series is not None:
                begin = self.chunks.chunk_start_before(self.series.series_no, step)
            points = self.points(MIN_STEP if begin is None else begin, step)
            if len(points):
                return points.at(slice(-1, None))
            if begin is None:
                return None
            step = begin - 1

    def point_at_or_after(self, step: int) -> Points | None:
        """Return the first number from `step` on, None if there is none."""
        while True:
            end = None
            if self.series is not None:
                end = self.chunks.chunk_end_after(self.series.series_no, step)
            points = self.points(step, MAX_STEP if end is None else end)
            if len(points):
                return points.at(slice(0, 1))
            if end is None:
                return None
            step = end + 1


def history_of(snapshot: Snapshot, run: RunRow, stream: Stream, key: str) -> SeriesHistory:
    """Return the history of `key`, which may be empty."""
    stream_no = STREAM_NUMBERS[stream]
    numbers, others = snapshot.chunks.numbers_and_others(run.run_no, stream_no, key)
    through = max(row.through if row is not None else 0 for row in (numbers, others))
    tail = snapshot.tail(run, stream, through).points(key)
    return SeriesHistory(run, snapshot.chunks, numbers, others, tail)


def row_windows(
    snapshot: Snapshot, run: RunRow, stream: Stream, first_step: int, last_step: int
) -> Iterator[Points]:
    """Yield the steps and times of the run's rows in step order, some at a time, none of them empty."""
    rows = snapshot.chunks.series(run.run_no, STREAM_NUMBERS[stream], ROWS, "")
    tail = snapshot.tail(run, stream, 0 if rows is None else rows.through).rows()
    begin = first_step
    for head in [] if rows is None else snapshot.chunks.heads(rows.series_no, 0, first_step, last_step):
        end = min(head.last_step, last_step)
        below = snapshot.chunks.points(head).between(begin, end)
        yield from _not_empty(overlay(below, tail.between(begin, end)))
        begin = end + 1
    yield from _not_empty(tail.between(begin, last_step))


def step_range(first_step: int | None = None, last_step: int | None = None) -> tuple[int, int]:
    """Return the range of steps, both ends included, None meaning no limit.  All fit in 64 bits."""
    if (first_step or 0) > MAX_STEP or (last_step or 0) < MIN_STEP:
        return 1, 0  # no step
    return (
        MIN_STEP if first_step is None else max(MIN_STEP, first_step),
        MAX_STEP if last_step is None else min(MAX_STEP, last_step),
    )


def _in_chunks(chunks: Chunks, series: SeriesRow | None, first_step: int, last_step: int) -> Points:
    if series is None:
        return empty()
    heads = chunks.heads(series.series_no, 0, first_step, last_step)
    return concat([chunks.points(head).between(first_step, last_step) for head in heads])


def _not_empty(points: Points) -> Iterator[Points]:
    if len(points):
        yield points
