"""Is one series what it says it is: its points in order, and every level above told from the one below?

Everything is computed again from the points.  A series is walked chunk by chunk, so its length is not in
memory.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.errors import DamagedStoreError
from epochal.store.metrics.embedded.chunks import NUMBERS, OTHERS, ROWS, ChunkHead, Chunks, SeriesRow
from epochal.store.metrics.embedded.points import OTHER, Points, step_slice
from epochal.store.metrics.embedded.pyramid import (
    Axis,
    Level,
    Stats,
    concat_levels,
    merge_stats,
    single,
)

# Of a mean, to the largest value of its bucket: it is summed up in another order here.
_MEAN_TOLERANCE = 1e-9


def check_series(
    chunks: Chunks, series: SeriesRow, kind: int, tell: Callable[[int], None] = lambda _: None
) -> Iterator[str]:
    """Yield what is wrong with a series, a sentence each; nothing of a sound one.

    Args:
        chunks: where to read.
        series: which.
        kind: of the series.
        tell: is given the bytes of every chunk that was looked at.
    """
    yield from _SeriesCheck(chunks, series, kind, tell).problems()


class _SeriesCheck:
    def __init__(self, chunks: Chunks, series: SeriesRow, kind: int, tell: Callable[[int], None]) -> None:
        self._chunks, self._series, self._kind, self._tell = chunks, series, kind, tell

    def problems(self) -> Iterator[str]:
        heads = self._chunks.heads(self._series.series_no, 0)
        yield from _wrong_order(heads, 0)
        yield from self._wrong_row(heads)
        for head in heads:
            yield from self._wrong_points(head)
        level, below = 1, heads
        while True:
            above = self._chunks.heads(self._series.series_no, level)
            has_more = above or any(head.is_sealed for head in below)
            if self._kind != NUMBERS:
                if above:
                    yield f"level {level} is there, and no such series has levels"
                return
            if not has_more:
                return
            yield from _wrong_order(above, level)
            yield from self._wrong_level(level, above, [head for head in below if head.is_sealed])
            level, below = level + 1, above

    def _wrong_row(self, heads: Sequence[ChunkHead]) -> Iterator[str]:
        series = self._series
        n_points = sum(head.n for head in heads)
        if n_points != series.n_points:
            yield f"it says that it has {series.n_points} points, and its chunks have {n_points}"
        if not heads:
            return
        first, last = heads[0].first_step, heads[-1].last_step
        # Bounds only: a step whose value became one of another kind is still counted in.
        is_outside = (
            series.first_step is None
            or series.last_step is None
            or series.first_step > first
            or series.last_step < last
        )
        if is_outside:
            told = f"{series.first_step} to {series.last_step}"
            yield f"it says that it has the steps {told}, and has {first} to {last}"

    def _wrong_points(self, head: ChunkHead) -> Iterator[str]:
        self._tell(head.n_bytes)
        try:
            points = self._chunks.points(head)
        except DamagedStoreError as error:
            yield error.what
            return
        if not (points.steps[1:] > points.steps[:-1]).all():
            yield f"the chunk {head.chunk_no} has steps that do not rise"
        if len(points) != points.kinds.size or not self._is_kind(points):
            yield f"the chunk {head.chunk_no} has values that do not belong into it"
        yield from self._wrong_times(points, head)

    def _is_kind(self, points: Points) -> bool:
        if self._kind == ROWS:
            return not points.kinds.any()
        return bool(((points.kinds == OTHER) == (self._kind == OTHERS)).all())

    def _wrong_times(self, points: Points, head: ChunkHead) -> Iterator[str]:
        times, series = points.times, self._series
        finite = times[np.isfinite(times)]
        if finite.size and not (
            series.min_time is not None
            and series.max_time is not None
            and series.min_time <= finite.min()
            and finite.max() <= series.max_time
        ):
            yield f"the chunk {head.chunk_no} has times that the series does not know of"
        if series.is_time_sorted and not (times[1:] >= times[:-1]).all():
            yield f"the chunk {head.chunk_no} has times that fall, and the series says that none do"

    def _wrong_level(
        self, level: int, heads: Sequence[ChunkHead], below: Sequence[ChunkHead]
    ) -> Iterator[str]:
        """Yield what is wrong with `heads`, of `level`, which tell about the sealed chunks `below`."""
        if self._series.top_level < level:
            yield f"level {level} is there, and the series says that {self._series.top_level} is the top"
        n_told = n_below = 0
        for head in heads:
            self._tell(head.n_bytes)
            try:
                buckets = self._chunks.level(head, level)
                n_told += buckets.size()
                told_about = self._told_about(level - 1, below, head)
            except DamagedStoreError as error:
                yield error.what
                continue
            n_below += 0 if told_about is None else told_about.size()
            if told_about is None or not _is_told(buckets, told_about):
                yield f"level {level} does not say what the one below says (chunk {head.chunk_no})"
        n_sealed = sum(head.n for head in below)
        if n_below != n_sealed:
            yield f"level {level} tells about {n_below} of {n_sealed} points or buckets below it"

    def _told_about(self, level: int, below: Sequence[ChunkHead], head: ChunkHead) -> Level | None:
        """Return the points or buckets of `level` whose steps are those of the chunk `head` above."""
        begin = bisect_left(below, head.first_step, key=lambda other: other.last_step)
        end = bisect_right(below, head.last_step, key=lambda other: other.first_step)
        parts = [
            _between(self._as_level(other, level), head.first_step, head.last_step)
            for other in below[begin:end]
        ]
        found = [part for part in parts if part.size()]
        return concat_levels(found) if found else None

    def _as_level(self, head: ChunkHead, level: int) -> Level:
        if level:
            return self._chunks.level(head, level)
        points = self._chunks.points(head)
        axis = Axis(points.steps, points.steps, points.times, points.times)
        return Level(axis, single(points.floats()))


def _between(level: Level, first_step: int, last_step: int) -> Level:
    return level.at(slice(*step_slice(level.axis.first_step, first_step, last_step)))


def _wrong_order(heads: Sequence[ChunkHead], level: int) -> Iterator[str]:
    for one, other in pairwise(heads):
        if one.last_step >= other.first_step:
            yield f"the chunks {one.chunk_no} and {other.chunk_no} of level {level} overlap"
        if other.is_sealed and not one.is_sealed:
            yield f"the chunk {one.chunk_no} of level {level} is not full, and one behind it is"


def _is_told(buckets: Level, below: Level) -> bool:
    """Return whether `buckets` are what `below` makes, each of some neighbours."""
    starts = np.searchsorted(below.axis.first_step, buckets.axis.first_step)
    if (
        not starts.size
        or starts[0] != 0
        or not (starts[1:] > starts[:-1]).all()
        or starts[-1] >= below.size()
    ):
        return False
    ends = np.append(starts[1:], below.size()) - 1
    axis = Axis(
        below.axis.first_step[starts],
        below.axis.last_step[ends],
        below.axis.first_time[starts],
        below.axis.last_time[ends],
    )
    return all(map(_is_same, axis, buckets.axis)) and _is_summary(
        buckets.stats, merge_stats(below.stats, starts)
    )


def _is_summary(told: Stats, expected: Stats) -> bool:
    scale = np.maximum(np.abs(expected.low), np.abs(expected.high))
    is_near = np.abs(told.mean - expected.mean) <= _MEAN_TOLERANCE * scale + 1e-300
    has_none = expected.n_finite() == 0
    return bool((is_near | (has_none & (told.mean == 0))).all()) and all(
        _is_same(one, other)
        for name, one, other in zip(Stats._fields, told, expected, strict=True)
        if name != "mean"
    )


def _is_same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(np.array_equal(one, other, equal_nan=one.dtype == np.float64))
