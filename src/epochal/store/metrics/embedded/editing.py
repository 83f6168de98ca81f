"""How new points change the chunks of a series and the levels above.

At each level, chunks that are full are sealed, and the level above tells about sealed chunks only.  Behind
them lie a few small ones, merged eight at a time as they grow alike, so that a point is rewritten a few
times at most while a live run's tail grows.  Points that come late are merged into the sealed chunk that
owns their steps, and the buckets made of that chunk are replaced in every level above it, and nothing else
is.

Nothing is written here: an edit is a list of chunks to delete and to insert.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from epochal.store.metrics.embedded.chunks import (
    NUMBERS,
    OTHERS,
    ChunkHead,
    Chunks,
    SeriesRow,
    encode_points,
    encode_stats,
)
from epochal.store.metrics.embedded.points import Points, concat, overlay
from epochal.store.metrics.embedded.pyramid import Axis, Ints, Level, coarsen, concat_levels, summarise


class NewChunk(NamedTuple):
    """A chunk to insert."""

    level: int
    is_sealed: bool
    first_step: int
    last_step: int
    n: int
    axis: Axis
    body: bytes


class Edit(msgspec.Struct):
    """What is to change in one series."""

    deleted: list[ChunkHead] = []
    inserted: list[NewChunk] = []
    n_points: int = 0  # more than before


class _Change(NamedTuple):
    """A sealed chunk was rewritten: the buckets between two steps, both included, are now these."""

    first_step: int
    last_step: int
    buckets: list[Level]  # at most one


def edit_series(chunks: Chunks, series: SeriesRow, kind: int, points: Points) -> Edit:
    """Return how the chunks of a series change when `points` are written over it.

    Args:
        chunks: where to read.
        series: whose points.
        kind: of the series.
        points: of its key, by step; a step whose value is not of this kind is taken out of the series.
    """
    return _Editor(chunks, series, kind).put(points)


class _Editor:
    def __init__(self, chunks: Chunks, series: SeriesRow, kind: int) -> None:
        self._chunks, self._sizes, self._kind = chunks, chunks.sizes, kind
        self._series_no = series.series_no
        self._is_new = series.n_points == 0 and series.top_level == 0
        self._edit = Edit()

    def put(self, points: Points) -> Edit:
        sealed_last = None if self._is_new else self._chunks.last_sealed_step(self._series_no, 0)
        begin = 0
        if sealed_last is not None:
            begin = int(np.searchsorted(points.steps, sealed_last, "right"))
        changes = self._rewrite(points.at(slice(0, begin))) if begin else []
        appended = self._extend(points.at(slice(begin, None))) if begin < len(points) else None
        level = 1
        while self._kind == NUMBERS and (changes or appended is not None):
            changes, appended = self._change_level(level, changes, appended)
            level += 1
        return self._edit

    def _mine(self, points: Points) -> Points:
        if self._kind == OTHERS:
            return points.others()
        return points.numbers()

    def _merged(self, heads: Sequence[ChunkHead], points: Points) -> Points:
        """Return what is in chunks with `points` written over it."""
        if not heads:
            return self._mine(points)
        return self._mine(overlay(concat([self._chunks.points(head) for head in heads]), points))

    def _rewrite(self, points: Points) -> list[_Change]:
        """Merge late points into the sealed chunks that own their steps."""
        heads = self._chunks.owners(self._series_no, 0, int(points.steps[0]), int(points.steps[-1]))
        starts = [head.first_step for head in heads]
        owner = np.maximum(np.searchsorted(starts, points.steps, "right") - 1, 0)
        changes = []
        for index in np.unique(owner).tolist():
            head = heads[index]
            merged = self._merged([head], points.at(owner == index))
            self._delete_points(head)
            buckets = [self._insert_points(part, is_sealed=True) for part in self._parts(merged)]
            changes.append(_Change(head.first_step, head.last_step, _together(buckets)))
        return changes

    def _extend(self, points: Points) -> Level | None:
        """Write points behind the sealed chunks; return the buckets of chunks that became full."""
        unsealed = [] if self._is_new else self._chunks.unsealed(self._series_no, 0)
        if self._kind == OTHERS:
            sizes = [max(head.n_bytes, self._sizes.min_other_bytes() * head.n) for head in unsealed]
            size, capacity = int(self._bytes_of(points).sum()), self._sizes.other_chunk_bytes
        else:
            sizes, size = [head.n for head in unsealed], len(points)
            capacity = self._sizes.points_a_chunk
        first_step = int(points.steps[0])
        n_clear = sum(head.last_step < first_step for head in unsealed)
        n_kept = min(n_clear, len(unsealed) - n_absorbed(sizes, size, capacity, self._sizes.merge_width))
        absorbed = unsealed[n_kept:]
        merged = self._merged(absorbed, points)
        if not absorbed and not len(merged):
            return None
        for head in absorbed:
            self._delete_points(head)
        n_sealed = 0 if n_kept else self._n_full(merged)
        buckets = [self._insert_points(p, is_sealed=True) for p in self._parts(merged.at(slice(0, n_sealed)))]
        if n_sealed < len(merged):
            self._insert_points(merged.at(slice(n_sealed, None)), is_sealed=False)
        together = _together(buckets)
        return together[0] if together else None

    def _n_full(self, points: Points) -> int:
        """Return how many of the first points fill chunks."""
        if self._kind != OTHERS:
            return len(points) // self._sizes.points_a_chunk * self._sizes.points_a_chunk
        ends, capacity = np.cumsum(self._bytes_of(points)), self._sizes.other_chunk_bytes
        return int(np.searchsorted(ends, ends[-1] // capacity * capacity)) if ends.size else 0

    def _bytes_of(self, points: Points) -> Ints:
        """Return what each other value counts towards a full chunk."""
        if points.objects is None:
            return np.zeros(0, np.int64)
        lengths = [len(value) for value in points.objects]
        return np.maximum(np.array(lengths, np.int64), self._sizes.min_other_bytes())

    def _parts(self, points: Points) -> list[Points]:
        """Return `points` cut evenly so that no part is more than a chunk."""
        n = len(points)
        if self._kind == OTHERS:
            chunk_of = (np.cumsum(self._bytes_of(points)) - 1) // self._sizes.other_chunk_bytes
            cuts = [0, *(np.flatnonzero(np.diff(chunk_of)) + 1).tolist(), n]
        else:
            n_parts = -(-n // self._sizes.points_a_chunk)
            cuts = [n * i // n_parts for i in range(n_parts + 1)] if n else []
        return [points.at(slice(a, b)) for a, b in pairwise(cuts) if b > a]

    def _insert_points(self, points: Points, *, is_sealed: bool) -> Level | None:
        """Insert one chunk; return its buckets if the level above is to have them."""
        steps, times = points.steps, points.times
        self._edit.n_points += len(points)
        self._insert(0, is_sealed, Axis(steps, steps, times, times), encode_points(points))
        if not is_sealed or self._kind != NUMBERS:
            return None
        return summarise(steps, times, points.floats(), self._sizes.points_a_bucket)

    def _delete_points(self, head: ChunkHead) -> None:
        self._edit.deleted.append(head)
        self._edit.n_points -= head.n

    def _change_level(
        self, level: int, changes: list[_Change], appended: Level | None
    ) -> tuple[list[_Change], Level | None]:
        """Put changed and new buckets in a level; return the changes and new buckets of the level above."""
        above: list[_Change] = []
        unsealed = self._chunks.unsealed(self._series_no, level)
        late: list[_Change] = []
        if changes:
            above, late = self._rewrite_level(level, changes, unsealed)
        if appended is None and not late:
            return above, None
        n_new = 0 if appended is None else appended.size()
        n_absorb = len(unsealed)
        if not late:
            n_absorb = n_absorbed(
                [head.n for head in unsealed], n_new, self._sizes.buckets_a_chunk, self._sizes.merge_width
            )
        absorbed = unsealed[len(unsealed) - n_absorb :]
        self._edit.deleted += absorbed
        old = [self._chunks.level(head, level) for head in absorbed]
        merged = _replaced(old, late, [] if appended is None else [appended])
        if not merged:
            return above, None
        return above, self._insert_tail(level, merged[0], may_seal=n_absorb == len(unsealed))

    def _insert_tail(self, level: int, buckets: Level, *, may_seal: bool) -> Level | None:
        n = buckets.size()
        n_each = self._sizes.buckets_a_chunk
        n_sealed = n // n_each * n_each if may_seal else 0
        above = []
        for begin in range(0, n_sealed, n_each):
            part = buckets.at(slice(begin, begin + n_each))
            self._insert_level(level, part, is_sealed=True)
            above.append(coarsen(part, self._sizes.buckets_a_bucket))
        if n_sealed < n:
            self._insert_level(level, buckets.at(slice(n_sealed, None)), is_sealed=False)
        return concat_levels(above) if above else None

    def _rewrite_level(
        self, level: int, changes: list[_Change], unsealed: list[ChunkHead]
    ) -> tuple[list[_Change], list[_Change]]:
        """Replace buckets in sealed chunks; return the changes above, and those left for unsealed chunks."""
        heads = [
            head
            for head in self._chunks.heads(
                self._series_no, level, changes[0].first_step, changes[-1].last_step
            )
            if head.is_sealed
        ]
        above, late = [], []
        of_head: dict[int, list[_Change]] = {}
        unsealed_first = unsealed[0].first_step if unsealed else None
        for change in changes:
            touched = [
                i
                for i, head in enumerate(heads)
                if head.first_step <= change.last_step and head.last_step >= change.first_step
            ]
            for place, i in enumerate(touched):
                # New buckets go to the first chunk that had the old ones; the others only lose theirs.
                of_head.setdefault(i, []).append(change if place == 0 else change._replace(buckets=[]))
            if not touched:
                late.append(change)
            elif unsealed_first is not None and change.last_step >= unsealed_first:
                late.append(change._replace(buckets=[]))
        for i, own in sorted(of_head.items()):
            head = heads[i]
            self._edit.deleted.append(head)
            merged = _replaced([self._chunks.level(head, level)], own, [])
            coarser: list[Level | None] = []
            for part in _halves(merged, self._sizes.buckets_a_chunk):
                self._insert_level(level, part, is_sealed=True)
                coarser.append(coarsen(part, self._sizes.buckets_a_bucket))
            above.append(_Change(head.first_step, head.last_step, _together(coarser)))
        return above, late

    def _insert_level(self, level: int, buckets: Level, *, is_sealed: bool) -> None:
        self._insert(level, is_sealed, buckets.axis, encode_stats(buckets.stats))

    def _insert(self, level: int, is_sealed: bool, axis: Axis, body: bytes) -> None:
        first_step, last_step = int(axis.first_step[0]), int(axis.last_step[-1])
        n = axis.first_step.size
        self._edit.inserted.append(NewChunk(level, is_sealed, first_step, last_step, n, axis, body))


def n_absorbed(sizes: Sequence[int], new_size: int, capacity: int, width: int) -> int:
    """Return how many of the last small chunks, of `sizes`, to merge with what is new."""
    if sum(sizes) + new_size >= capacity:
        return len(sizes)
    n, total = 0, new_size
    while True:
        alike = 0
        while n + alike < len(sizes) and sizes[-1 - n - alike] <= 2 * total:
            alike += 1
        if alike < width - 1:
            return n
        total += sum(sizes[len(sizes) - n - alike : len(sizes) - n])
        n += alike


def _replaced(old: Sequence[Level], changes: Sequence[_Change], new: Sequence[Level]) -> list[Level]:
    """Return `old` without the buckets that `changes` replace, with theirs and `new`: at most one level."""
    kept = []
    for part in old:
        keep = np.ones(part.size(), np.bool_)
        for change in changes:
            keep &= (part.axis.first_step < change.first_step) | (part.axis.last_step > change.last_step)
        kept.append(part.at(keep))
    parts = [p for p in [*kept, *(b for c in changes for b in c.buckets), *new] if p.size()]
    if not parts:
        return []
    level = concat_levels(parts)
    return [level.at(np.argsort(level.axis.first_step, kind="stable")) if changes else level]


def _halves(levels: Sequence[Level], n_each: int) -> list[Level]:
    """Return the one level, or none, cut in parts of less than twice `n_each` buckets."""
    parts = []
    for level in levels:
        n = level.size()
        n_parts = max(1, n // n_each)
        cuts = [n * i // n_parts for i in range(n_parts + 1)]
        parts += [level.at(slice(a, b)) for a, b in pairwise(cuts)]
    return parts


def _together(levels: Sequence[Level | None]) -> list[Level]:
    """Return what there is of `levels` as one, or nothing."""
    found = [level for level in levels if level is not None]
    return [concat_levels(found)] if found else []
