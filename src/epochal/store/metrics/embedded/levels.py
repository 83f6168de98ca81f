"""The levels of one series, in contiguous pieces that stay at hand.

What a chart needs of a level lies in several chunks.  Put together once, it costs the next chart no look
into the file, no decoding and no copying.  A strip holds one run of neighbouring chunks of a level; when
other chunks are asked for, it is made again from what it has and what is missing, so a live run's tail
costs what is new of it, and memory is bounded by what was looked at last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast
from zlib import crc32

import numpy as np

from epochal.store.metrics.embedded.chunks import ChunkHead, Chunks, SeriesRow, check_axis
from epochal.store.metrics.embedded.pyramid import Floats, Ints, Positions
from epochal.store.metrics.embedded.spans import Spans, grouped, joined_odd, spans_of_points

_MAX_KEPT_LISTS = 16
_MAX_KEPT_HEADS = 8
_SMALL_LEVEL_CHUNKS = 4
_MAX_WHOLE = 8192  # buckets
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


class Layout(NamedTuple):
    """Where the spans of a whole series lie; the same object for series logged at the same steps."""

    first: Ints | Floats  # (n,), steps or times
    last: Ints | Floats
    x: Floats
    x_last: Floats
    n_points: Ints
    narrowest: float
    widest: float


class _Part(NamedTuple):
    """A chunk of a whole series, its buckets grouped so that they are about as long as all others."""

    chunk_no: int
    begin: int  # where its spans begin in the whole
    end: int


class _Whole(NamedTuple):
    """All of a series: a level, and behind it what that does not have yet."""

    series: SeriesRow
    parts: list[_Part]
    layout: Layout
    values: Values


class _WholeTimes(NamedTuple):
    series: SeriesRow
    layout: Layout


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

    def whole(self, level: int, *, by_time: bool) -> tuple[Layout, Layout, Values] | None:
        """Return all of the series in spans about as long as the buckets of `level`, which is above 0.

        Returns:
            Where the spans are in steps, where in steps or times, and what they tell; None if they are many.
        """
        if self.n_buckets(level) > _MAX_WHOLE:
            return None
        whole = self._cache.find(_Whole, (self._series.series_no, level))
        if whole is None or whole.series != self._series:
            whole = self._load_whole(level, whole)
        if not by_time:
            return whole.layout, whole.layout, whole.values
        times = self._cache.find(_WholeTimes, (self._series.series_no, level))
        if times is None or times.series != self._series:
            times = self._load_times(level, whole)
        return whole.layout, times.layout, whole.values

    def _load_whole(self, level: int, kept: _Whole | None) -> _Whole:
        known = {} if kept is None else {part.chunk_no: part for part in kept.parts}
        parts: list[_Part] = []
        found: list[tuple[Ints, Ints, Values]] = []
        at = 0
        for head, group in self._pieces(level):
            part = known.get(head.chunk_no)
            if part is not None and kept is not None:
                cut = slice(part.begin, part.end)
                first, last = kept.layout.first[cut], kept.layout.last[cut]
                piece = cast("Ints", first), cast("Ints", last), kept.values.at(cut)
            else:
                piece = self._piece(head, group)
            found.append(piece)
            parts.append(_Part(head.chunk_no, at, at + piece[0].size))
            at += piece[0].size
        values = Values(
            np.concatenate([piece[2].values for piece in found], axis=1),
            np.concatenate([piece[2].n_points for piece in found]),
            joined_odd([(piece[0].size, piece[2].odd) for piece in found]),
        )
        firsts, lasts = [piece[0] for piece in found], [piece[1] for piece in found]
        layout = self._layout_once(np.concatenate(firsts), np.concatenate(lasts), values.n_points)
        whole = _Whole(self._series, parts, layout, values._replace(n_points=layout.n_points))
        n_bytes = 3000 + values.values.nbytes + (0 if values.odd is None else values.odd.nbytes)
        self._cache.replace(_Whole, (self._series.series_no, level), whole, n_bytes)
        return whole

    def _pieces(self, level: int) -> Iterator[tuple[ChunkHead, int]]:
        """Yield the chunks that are a whole series, and how many of their buckets make one of `level`."""
        sizes, first_step = self._chunks.sizes, -(2**63)
        for below in range(level, -1, -1):
            group = sizes.buckets_a_bucket ** (level - max(below, 1))
            for head in self.heads(below, first_step, 2**63 - 1):
                if head.last_step >= first_step:
                    yield head, group if below else group * sizes.points_a_bucket
                    first_step = head.last_step + 1

    def _piece(self, head: ChunkHead, group: int) -> tuple[Ints, Ints, Values]:
        """Return the steps and values of a chunk, `group` of its buckets as one."""
        first, last = self._chunks.steps_of(head)
        check_axis([head], first, last)
        if head.level == 0:
            spans = spans_of_points(first.astype(np.float64), self._chunks.points(head).floats())
        else:
            spans = Spans(first.astype(np.float64), last.astype(np.float64), *self._chunks.values_of(head))
        starts, ends = _grouping(head.n, group)
        spans = grouped(spans, starts, ends)
        return first[starts], last[ends], Values(spans.values, spans.n_points, spans.odd)

    def _load_times(self, level: int, whole: _Whole) -> _WholeTimes:
        found = []
        for head, group in self._pieces(level):
            first, last = self._chunks.times_of(head)
            starts, ends = _grouping(head.n, group)
            found.append((first[starts], last[ends]))
        first, last = (np.concatenate(column) for column in zip(*found, strict=True))
        width = last - first
        narrowest, widest = float(width.min()), float(width.max())
        layout = Layout(first, last, first, last, whole.layout.n_points, narrowest, widest)
        times = _WholeTimes(self._series, layout)
        self._cache.replace(
            _WholeTimes, (self._series.series_no, level), times, 1000 + first.nbytes + last.nbytes
        )
        return times

    def _layout_once(self, first: Ints, last: Ints, n_points: Ints) -> Layout:
        """Return a layout, the same one for all that are equal: runs that logged alike need it once."""
        x, x_last = first.astype(np.float64), last.astype(np.float64)
        width = x_last - x
        # Views, so that parts of one layout can be told by what they are views of.
        made = Layout(first[:], last[:], x[:], x_last[:], n_points[:], float(width.min()), float(width.max()))
        name = first.size, crc32(first.data), crc32(last.data), crc32(n_points.data)
        kept = self._cache.get(Layout, name, lambda: made, lambda made: 1000 + 40 * made.x.size)
        is_equal = all(np.array_equal(a, b) for a, b in ((kept.first, first), (kept.last, last)))
        return kept if is_equal and np.array_equal(kept.n_points, n_points) else made

    def n_buckets(self, level: int) -> float:
        """Return about how many buckets a level above the points has."""
        sizes = self._chunks.sizes
        return float(self._series.n_points / sizes.points_a_bucket / sizes.buckets_a_bucket ** (level - 1))

    def _is_small(self, level: int) -> bool:
        """Return whether a level above the points has few chunks."""
        if level == 0:
            return False
        return self.n_buckets(level) <= self._chunks.sizes.buckets_a_chunk * _SMALL_LEVEL_CHUNKS

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


def _grouping(n: int, group: int) -> tuple[Positions, Positions]:
    """Return the first and the last places of groups of `group` among `n`."""
    starts = np.arange(0, n, group)
    return starts, np.minimum(starts + (group - 1), n - 1)


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
