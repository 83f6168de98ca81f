"""Makes a damaged series sound: what can be read stays, what is lost is said, the levels are made anew.

Chunks of points that can be read are left as they are.  Points that no such chunk has are taken from blocks
that still have their rows.  All levels above are told again from the points.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.errors import DamagedStoreError
from epochal.store.metrics.embedded.checksum import seal
from epochal.store.metrics.embedded.chunks import (
    NUMBERS,
    OTHERS,
    ROWS,
    ChunkHead,
    Chunks,
    SeriesRow,
    encode_axis,
    encode_points,
    encode_stats,
)
from epochal.store.metrics.embedded.history import MAX_STEP, MIN_STEP
from epochal.store.metrics.embedded.points import OTHER, Points, concat, last_wins
from epochal.store.metrics.embedded.pyramid import Axis, Level, coarsen, concat_levels, summarise

_HEAD = "chunk_no, is_sealed, first_step, last_step, n, axis_no, length(body), series_no, level"


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one key that nothing has any more."""

    stream: str
    key: str  # empty: the rows themselves
    kind: int
    n_points: int  # about
    first_step: int | None  # they lie between these steps, both included; None: it cannot be told
    last_step: int | None


class SeriesPlan(NamedTuple):
    """What is to become of a series."""

    series_no: int
    kept: list[ChunkHead]  # of points
    removed: list[int]  # numbers of chunks of points that cannot be read
    added: list[Points]  # in step order, each a chunk
    lost: Lost | None


def plan_series(
    connection: sqlite3.Connection,
    chunks: Chunks,
    series_no: int,
    kind: int,
    name: tuple[str, str],
    tail: Points,
) -> SeriesPlan:
    """Return what can be saved of a series.

    Args:
        connection: of the file.
        chunks: where to read.
        series_no: which.
        kind: of it.
        name: its stream and key.
        tail: points of its key, of any kind, in blocks that are in chunks and still have their rows.
    """
    heads = connection.execute(
        f"SELECT {_HEAD} FROM chunks WHERE series_no = ? AND level = 0 ORDER BY first_step",  # noqa: S608
        (series_no,),
    )
    kept: list[ChunkHead] = []
    removed: list[ChunkHead] = []
    for row in heads.fetchall():
        head = ChunkHead(*row)
        if _is_sound(chunks, head, kind) and (not kept or head.first_step > kept[-1].last_step):
            kept.append(head)
        else:
            removed.append(head)
    mine = tail.others() if kind == OTHERS else tail.numbers()
    added = _between_chunks(mine, kept, chunks.sizes.points_a_chunk)
    (n_said,) = connection.execute("SELECT n_points FROM series WHERE series_no = ?", (series_no,)).fetchone()
    n_lost = int(n_said) - sum(head.n for head in kept) - sum(len(points) for points in added)
    lost = None
    if n_lost > 0:
        first, last = _place(removed) or _hole(kept, added)
        lost = Lost(stream=name[0], key=name[1], kind=kind, n_points=n_lost, first_step=first, last_step=last)
    return SeriesPlan(series_no, kept, [head.chunk_no for head in removed], added, lost)


def holes(connection: sqlite3.Connection, chunks: Chunks, series_no: int, kind: int) -> list[tuple[int, int]]:
    """Return the spans of steps, both ends included, that no sound chunk of a series has."""
    found, begin = [], MIN_STEP
    for row in connection.execute(
        f"SELECT {_HEAD} FROM chunks WHERE series_no = ? AND level = 0 ORDER BY first_step",  # noqa: S608
        (series_no,),
    ).fetchall():
        head = ChunkHead(*row)
        if _is_sound(chunks, head, kind) and head.first_step >= begin:
            if head.first_step > begin:
                found.append((begin, head.first_step - 1))
            begin = head.last_step + 1
    return [*found, (begin, MAX_STEP)]


def rows_between(chunks: Chunks, series: Sequence[SeriesRow], first_step: int, last_step: int) -> Points:
    """Return one row for every step in the span that any of `series` has, without values."""
    seen: set[int] = set()
    parts = []
    for row in series:
        for head in chunks.heads(row.series_no, 0, first_step, last_step):
            if head.axis_no not in seen:
                seen.add(head.axis_no)
                axis = chunks.axis(head, 0)
                none = np.zeros(axis.first_step.size, np.int64)
                rows = Points(axis.first_step, axis.first_time, none.astype(np.uint8), none, objects=None)
                parts.append(rows.between(first_step, last_step))
    return last_wins(concat(parts))


def _is_sound(chunks: Chunks, head: ChunkHead, kind: int) -> bool:
    try:
        points = chunks.points(head)
    except DamagedStoreError:
        return False
    is_kind = not points.kinds.any() if kind == ROWS else ((points.kinds == OTHER) == (kind == OTHERS)).all()
    return bool(is_kind and (points.steps[1:] > points.steps[:-1]).all())


def _between_chunks(points: Points, kept: Sequence[ChunkHead], n_each: int) -> list[Points]:
    """Return the points that no chunk has, cut where chunks lie between them and when there are many."""
    firsts = np.array([head.first_step for head in kept], np.int64)
    lasts = np.array([head.last_step for head in kept], np.int64)
    gap = np.searchsorted(firsts, points.steps, "right")  # chunks that begin at the step or before
    is_inside = (gap > 0) & (np.append(lasts, 0)[gap - 1] >= points.steps)
    found, gap = points.at(~is_inside), gap[~is_inside]
    cuts = [0, *(np.flatnonzero(np.diff(gap)) + 1).tolist(), len(found)]
    return [
        found.at(slice(begin, min(begin + n_each, b)))
        for a, b in pairwise(cuts)
        for begin in range(a, b, n_each)
    ]


def _place(removed: Sequence[ChunkHead]) -> tuple[int, int] | None:
    """Return from where to where chunks that cannot be read say that they are."""
    steps = [step for head in removed for step in (head.first_step, head.last_step) if isinstance(step, int)]
    return (min(steps), max(steps)) if steps else None


def _hole(kept: Sequence[ChunkHead], added: Sequence[Points]) -> tuple[int | None, int | None]:
    """Return between which steps the lost points must lie, if there is but one place for them."""
    spans = sorted(
        [(head.first_step, head.last_step) for head in kept]
        + [(int(points.steps[0]), int(points.steps[-1])) for points in added]
    )
    holes = [(a[1] + 1, b[0] - 1) for a, b in pairwise(spans) if b[0] > a[1] + 1]
    return holes[0] if len(holes) == 1 else (None, None)


class SeriesWriter:
    """Writes what was planned, in the transaction that `connection` is in.

    Args:
        connection: of the file.
        chunks: where to read.
        run_no: whose series.
        kind: of the series.
    """

    def __init__(self, connection: sqlite3.Connection, chunks: Chunks, run_no: int, kind: int) -> None:
        self._execute, self._chunks, self._run_no, self._kind = connection.execute, chunks, run_no, kind
        self._waiting: dict[int, Level] = {}
        self._top = 0

    def write(self, plan: SeriesPlan) -> None:
        """Remove what cannot be read, add what was found, and make the levels and the series' row anew."""
        series_no = plan.series_no
        self._execute("DELETE FROM chunks WHERE series_no = ? AND level > 0", (series_no,))
        for chunk_no in plan.removed:
            self._execute("DELETE FROM chunks WHERE chunk_no = ?", (chunk_no,))
        last_sealed = max((head.first_step for head in plan.kept if head.is_sealed), default=None)
        is_sealed = [last_sealed is not None and int(points.steps[0]) < last_sealed for points in plan.added]
        for points, sealed in zip(plan.added, is_sealed, strict=True):
            axis = Axis(points.steps, points.steps, points.times, points.times)
            self._insert(series_no, 0, sealed, axis, encode_points(points))
        self._tell_again(series_no)

    def _tell_again(self, series_no: int) -> None:
        """Go over the points in order: the levels above, and what the series says of itself."""
        self._waiting, self._top = {}, 0
        n, times_end, is_time_sorted = 0, -np.inf, True
        steps: list[int] = []
        times_seen: list[float] = []
        for head in self._chunks.heads(series_no, 0):
            points = self._chunks.points(head)
            n += len(points)
            steps = [*steps[:1], head.first_step, head.last_step]
            times = points.times
            finite = times[np.isfinite(times)]
            is_time_sorted = is_time_sorted and bool(
                finite.size == times.size and times[0] >= times_end and (times[1:] >= times[:-1]).all()
            )
            if finite.size:
                times_end = float(times[-1])
                times_seen = [min([*times_seen, *_ends(finite)]), max([*times_seen, *_ends(finite)])]
            if head.is_sealed and self._kind == NUMBERS:
                sizes = self._chunks.sizes
                self._add(
                    series_no, 1, summarise(points.steps, times, points.floats(), sizes.points_a_bucket)
                )
        for level, buckets in sorted(self._waiting.items()):
            if buckets.size():
                self._insert(series_no, level, False, buckets.axis, encode_stats(buckets.stats))
        self._execute(
            "UPDATE series SET n_points = ?2, first_step = ?3, last_step = ?4, min_time = ?5, max_time = ?6, "
            "is_time_sorted = ?7, top_level = ?8 WHERE series_no = ?1",
            (
                series_no,
                n,
                steps[0] if steps else None,
                steps[-1] if steps else None,
                times_seen[0] if times_seen else None,
                times_seen[-1] if times_seen else None,
                is_time_sorted,
                self._top,
            ),
        )

    def _add(self, series_no: int, level: int, buckets: Level) -> None:
        waiting = self._waiting.get(level)
        buckets = buckets if waiting is None or not waiting.size() else concat_levels([waiting, buckets])
        sizes = self._chunks.sizes
        while buckets.size() >= sizes.buckets_a_chunk:
            full = buckets.at(slice(0, sizes.buckets_a_chunk))
            self._insert(series_no, level, True, full.axis, encode_stats(full.stats))
            self._add(series_no, level + 1, coarsen(full, sizes.buckets_a_bucket))
            buckets = buckets.at(slice(sizes.buckets_a_chunk, None))
        self._waiting[level] = buckets

    def _insert(self, series_no: int, level: int, is_sealed: bool, axis: Axis, body: bytes) -> None:
        axis_no = self._execute(
            "INSERT INTO axes (run_no, n_chunks, body) VALUES (?, 1, ?)",
            (self._run_no, seal(encode_axis(axis, level))),
        ).lastrowid
        assert axis_no is not None
        ends = int(axis.first_step[0]), int(axis.last_step[-1])
        columns = (series_no, level, int(is_sealed), *ends, axis.first_step.size, axis_no)
        self._execute(
            "INSERT INTO chunks (series_no, level, is_sealed, first_step, last_step, n, axis_no, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*columns, seal(body, *columns)),
        )
        self._top = max(self._top, level)


def _ends(values: NDArray[np.float64]) -> list[float]:
    return [float(values.min()), float(values.max())]
