"""The levels of one series, in contiguous pieces that stay at hand.

What a chart needs of a level lies in several chunks.  Put together once, it costs the next chart no look
into the file, no decoding and no copying.  A strip holds one run of neighbouring chunks of a level; when
other chunks are asked for, it is made again from what it has and what is missing, so a live run's tail
costs what is new of it, and memory is bounded by what was looked at last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np

from epochal.store.metrics.embedded.chunks import ChunkHead, Chunks, SeriesRow, check_axis
from epochal.store.metrics.embedded.pyramid import Floats, Ints
from epochal.store.metrics.embedded.spans import joined_odd

_MAX_KEPT_LISTS = 16
_MAX_KEPT_HEADS = 8
_SMALL_LEVEL_CHUNKS = 4
_HEADS_BYTES = 8192  # about what a series' lists of heads take


class Ends(NamedTuple):
    """Where buckets begin and end: steps or times.  Read-only."""

    first: Ints | Floats  # (n,)
    last: Ints | Floats  # (n,)
    x: Floats  # `first` as floating-point numbers
    x_last: Floats
    narrowest: float  # of the widths of all buckets that lie together; these may be a part of them
    widest: float


class Values(NamedTuple):
    """What buckets tell about their values, as in `spans.Spans`.  Read-only."""

    values: Floats  # (5, n)
    n_points: Ints  # (n,)
    odd: Ints | None  # (3, n)

    def at(self, index: slice) -> Values:
        """Return the buckets at `index`."""
        odd = None if self.odd is None else self.odd[:, index]
        return Values(self.values[:, index], self.n_points[index], odd)


class _StepStrip(NamedTuple):
    numbers: tuple[int, ...]  # of the axes of neighbouring chunks
    ends: Ends


class _TimeStrip(NamedTuple):
    numbers: tuple[int, ...]
    ends: Ends


class _ValueStrip(NamedTuple):
    numbers: tuple[int, ...]  # of neighbouring chunks
    bounds: list[int]  # where each begins, and where the last one ends
    values: Values


class _Column(NamedTuple):
    """Steps or times."""

    array: Ints | Floats
    x: Floats  # the same, as floating-point numbers
    n_bytes: int


class _KeptHeads(NamedTuple):
    """Lists of a series' chunks, by level and steps, as of one state of the series."""

    series: SeriesRow
    lists: dict[tuple[int, int, int], list[ChunkHead]]


class Levels:
    """The levels of one series in one snapshot.

    Every change to a series' chunks changes its row too (`series.through` at the least), so what was looked
    up for a row holds for as long as the row is the same.
    """

    def __init__(self, chunks: Chunks, series: SeriesRow) -> None:
        self._chunks, self._series = chunks, series
        self._cache = chunks.cache
        kept = self._cache.find(_KeptHeads, series.series_no)
        if kept is None or kept.series != series:
            kept = _KeptHeads(series, {})
            self._cache.replace(_KeptHeads, series.series_no, kept, _HEADS_BYTES)
        self._lists = kept.lists

    def heads(self, level: int, first_step: int, last_step: int) -> list[ChunkHead]:
        """Return the chunks that overlap the steps from `first_step` to `last_step`, in order.

        They may be more than that, where a level has few.
        """
        if self._is_small(level):
            # Asked for as a whole, it is looked up once for all zooms.
            first_step, last_step = -(2**63), 2**63 - 1
        name = level, first_step, last_step
        heads = self._lists.get(name)
        if heads is None:
            heads = self._chunks.heads(self._series.series_no, level, first_step, last_step)
            if len(heads) <= _MAX_KEPT_HEADS and len(self._lists) < _MAX_KEPT_LISTS:
                self._lists[name] = heads
        return heads

    def steps(self, heads: Sequence[ChunkHead]) -> Ends:
        """Return the steps of the buckets of neighbouring chunks."""
        ends = self._ends(_StepStrip, heads, self._chunks.steps_of)
        check_axis(heads, cast("Ints", ends.first), cast("Ints", ends.last))
        return ends

    def times(self, heads: Sequence[ChunkHead]) -> Ends:
        """Return the times of the buckets of neighbouring chunks."""
        return self._ends(_TimeStrip, heads, self._chunks.times_of)

    def values(self, heads: Sequence[ChunkHead], begin: int, end: int) -> Values:
        """Return the values of the buckets from `begin` to before `end`, counted over neighbouring chunks."""
        heads, offset = _overlapping(heads, begin, end)
        numbers = tuple(head.chunk_no for head in heads)
        kept = self._cache.find(_ValueStrip, numbers[0])
        if kept is None or kept.numbers[: len(numbers)] != numbers:
            kept = self._load_values(kept, heads)
            self._cache.replace(_ValueStrip, numbers[0], kept, _n_bytes(kept))
        return kept.values.at(slice(begin - offset, end - offset))

    def _is_small(self, level: int) -> bool:
        """Return whether a level above the points has few chunks."""
        if level == 0:
            return False
        sizes = self._chunks.sizes
        n_buckets = self._series.n_points / sizes.points_a_bucket / sizes.buckets_a_bucket ** (level - 1)
        return bool(n_buckets <= sizes.buckets_a_chunk * _SMALL_LEVEL_CHUNKS)

    def _load_values(self, kept: _ValueStrip | None, heads: Sequence[ChunkHead]) -> _ValueStrip:
        parts = []
        for head in heads:
            if kept is None or head.chunk_no not in kept.numbers:
                parts.append(Values(*self._chunks.values_of(head)))
            else:
                at = kept.numbers.index(head.chunk_no)
                parts.append(kept.values.at(slice(kept.bounds[at], kept.bounds[at + 1])))
        bounds = np.cumsum([0, *(head.n for head in heads)]).tolist()
        return _ValueStrip(tuple(head.chunk_no for head in heads), bounds, _joined(parts))

    def _ends(
        self,
        kind: type[_StepStrip | _TimeStrip],
        heads: Sequence[ChunkHead],
        load: Callable[[ChunkHead], tuple[Ints, Ints] | tuple[Floats, Floats]],
    ) -> Ends:
        # Keys that were logged together share their axes, hence what is kept of them.
        numbers = tuple(head.axis_no for head in heads)
        kept = self._cache.find(kind, numbers[0])
        if kept is None or kept.numbers != numbers:
            parts = [load(head) for head in heads]
            first, last = (self._kept_once(np.concatenate(column)) for column in zip(*parts, strict=True))
            width = last.x - first.x
            ends = Ends(first.array, last.array, first.x, last.x, float(width.min()), float(width.max()))
            kept = kind(numbers, ends)
            self._cache.replace(kind, numbers[0], kept, 1000 + first.n_bytes + last.n_bytes)
        return kept.ends

    def _kept_once(self, array: Ints | Floats) -> _Column:
        """Return `array` as a column, the same one for all steps that are the same arithmetic progression.

        The steps of most runs are, so hundreds of runs need no memory for them.
        """
        if array.dtype == np.float64:
            x = cast("Floats", array)
            return _Column(array, x, array.nbytes)
        column = _Column(array, array.astype(np.float64), 2 * array.nbytes)
        strides = np.diff(array)
        if not strides.size or (strides != strides[0]).any():
            return column
        name = int(array[0]), int(strides[0]), array.size
        shared = self._cache.get(_Column, name, lambda: column, lambda made: 500 + made.n_bytes)
        return shared._replace(n_bytes=0)


def _overlapping(heads: Sequence[ChunkHead], begin: int, end: int) -> tuple[list[ChunkHead], int]:
    """Return the chunks that have some of the buckets from `begin` to before `end`, and where they begin."""
    found: list[ChunkHead] = []
    at = offset = 0
    for head in heads:
        if at < end and at + head.n > begin:
            offset = offset if found else at
            found.append(head)
        at += head.n
    return found, offset


def _joined(parts: Sequence[Values]) -> Values:
    n_points = np.concatenate([part.n_points for part in parts])
    if (n_points == n_points[0]).all():
        n_points = np.broadcast_to(n_points[0], n_points.size)  # one number in memory
    return Values(
        np.concatenate([part.values for part in parts], axis=1),
        n_points,
        joined_odd([(part.n_points.size, part.odd) for part in parts]),
    )


def _n_bytes(kept: _ValueStrip) -> int:
    values, n_points, odd = kept.values
    n_counts = 0 if n_points.strides == (0,) else n_points.size
    return 2000 + values.nbytes + 8 * n_counts + (0 if odd is None else odd.nbytes)
