"""Turns a run's blocks into chunks, beside ingest and queries.

The work is done in small transactions, each of which takes a few series from one state that is right to
another: a series says up to which block it is in chunks, and a query adds the blocks that follow.  So a kill
at any moment loses nothing but time, and nobody waits for longer than one such transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.blocks import Tail, TailBlock
from epochal.store.metrics.embedded.checksum import seal
from epochal.store.metrics.embedded.chunks import (
    NUMBERS,
    OTHERS,
    ROWS,
    SeriesRow,
    encode_axis,
)
from epochal.store.metrics.embedded.editing import Edit, NewChunk, edit_series
from epochal.store.metrics.embedded.keys import better_type, type_of_points
from epochal.store.metrics.embedded.points import Points
from epochal.store.metrics.embedded.pyramid import Axis
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot, Snapshots
from epochal.store.metrics.embedded.writing import FileWriter, Pace

# What one pass over a run takes at most; values and what is made of them are in memory together.
MAX_PASS_VALUES = 4_000_000
MAX_PASS_BYTES = 64 << 20
# One transaction holds ingest up for a few milliseconds with so much to write.
_BATCH_BYTES = 2 << 20
_BATCH_SERIES = 500

Number = TypeVar("Number", int, float)


class _Planned(NamedTuple):
    series: SeriesRow
    edit: Edit
    points: Points  # of this kind


class Compactor:
    """Compacts the runs of one file.

    Args:
        snapshots: to read by.
        writer: to write by.
        is_stopped: asked between series; work ends early when it says so.
    """

    def __init__(self, snapshots: Snapshots, writer: FileWriter, is_stopped: Callable[[], bool]) -> None:
        self._snapshots, self._writer, self._is_stopped = snapshots, writer, is_stopped
        self.pace = Pace(first=150, least=30, most=600)  # of chunks in one transaction

    def compact(self, run_no: int) -> tuple[list[int], bool]:
        """Bring a run's oldest blocks into chunks, as many as one pass may.

        Returns:
            Their numbers, and whether there were more than one pass may take.  Early (stopped, deleted run)
            or nothing to do: no numbers.
        """
        with self._snapshots.open() as snapshot:
            run = snapshot.run_numbered(run_no)
            if run is None:
                return [], False
            blocks, are_more = _pass_of(snapshot, run)
            if not blocks:
                return [], False
            axes = AxisBook(_next_axis_no(snapshot))
            for stream in ("history", "system"):
                if not _StreamPass(self, snapshot, run, stream, blocks, axes).do():
                    return [], False
        block_nos = [block_no for block_no, _ in blocks]
        with self._writer.later() as connection:
            connection.execute("UPDATE runs SET through = ? WHERE run_no = ?", (block_nos[-1], run_no))
        return block_nos, are_more

    def apply(self, run_no: int, planned: Sequence[_Planned], through: int, axes: AxisBook) -> None:
        """Write edits in one transaction."""
        applier = _Applier(run_no, through, axes, planned)
        with self._writer.later() as connection, self.pace.timed():
            applier.write(connection)

    def add_series(self, run_no: int, stream: int, new: Sequence[tuple[int, str]]) -> None:
        """Make rows for series, by (kind, key), that are there for the first time."""
        for begin in range(0, len(new), _BATCH_SERIES):
            with self._writer.later() as connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO series (run_no, stream, kind, key, type) VALUES (?, ?, ?, ?, '')",
                    [(run_no, stream, kind, key) for kind, key in new[begin : begin + _BATCH_SERIES]],
                )

    def series_now(self, run_no: int, stream: int) -> dict[tuple[int, str], SeriesRow]:
        """Return a run's series as they are now, later than in the pass's snapshot."""
        with self._snapshots.open() as snapshot:
            return snapshot.chunks.series_of_run(run_no, stream)

    def is_stopped(self) -> bool:
        """Return whether to end early."""
        return self._is_stopped()


class AxisBook:
    """Axes written in this pass, so that keys logged together share one.

    Args:
        next_no: the first number that no axis has; nobody else gives numbers to axes meanwhile.
    """

    def __init__(self, next_no: int) -> None:
        self._next_no = next_no
        self._axes: dict[tuple[object, ...], list[tuple[Axis, int]]] = {}
        self._new: list[tuple[int, bytes]] = []

    def number_of(self, axis: Axis, level: int) -> int:
        """Return the number of `axis`; an equal one has the same."""
        known = self._axes.setdefault(self._outline(axis, level), [])
        for other, axis_no in known:
            if _is_same(axis, other):
                return axis_no
        axis_no = self._next_no
        self._next_no += 1
        known.append((axis, axis_no))
        self._new.append((axis_no, seal(encode_axis(axis, level))))
        return axis_no

    def take_new(self) -> list[tuple[int, bytes]]:
        """Return number and body of each axis that is to be written."""
        new, self._new = self._new, []
        return new

    @staticmethod
    def _outline(axis: Axis, level: int) -> tuple[object, ...]:
        steps, times = axis.first_step, _bits(axis.first_time)
        middle = steps.size // 2
        return (level, steps.size, *(int(a[i]) for a in (steps, times) for i in (0, middle, -1)))


class _StreamPass:
    """One pass over one stream of a run."""

    def __init__(
        self,
        compactor: Compactor,
        snapshot: Snapshot,
        run: RunRow,
        stream: Stream,
        blocks: Sequence[tuple[int, TailBlock]],
        axes: AxisBook,
    ) -> None:
        self._compactor, self._snapshot, self._run = compactor, snapshot, run
        self._stream: Stream = stream
        self._blocks, self._axes = blocks, axes
        self._through = blocks[-1][0]
        self._tails: dict[int, Tail] = {}

    def do(self) -> bool:
        """Write the chunks of every key of the blocks; return False if it was stopped."""
        tail = self._after(0)
        if not len(tail.rows()):
            return True
        keys = list(tail.keys())
        series = self._all_series(keys, tail.keys_of_others())
        batch: list[_Planned] = []
        n_chunks = n_bytes = 0
        for planned in self._plans(series, keys):
            batch += planned
            n_chunks += sum(len(p.edit.inserted) + len(p.edit.deleted) for p in planned)
            n_bytes += sum(len(chunk.body) for p in planned for chunk in p.edit.inserted)
            if n_chunks >= self._compactor.pace.n or n_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_SERIES:
                self._compactor.apply(self._run.run_no, batch, self._through, self._axes)
                batch, n_chunks, n_bytes = [], 0, 0
                if self._compactor.is_stopped():
                    return False
        self._compactor.apply(self._run.run_no, batch, self._through, self._axes)
        return True

    def _all_series(self, keys: Sequence[str], others: set[str]) -> dict[tuple[int, str], SeriesRow]:
        number = STREAM_NUMBERS[self._stream]
        series = self._snapshot.chunks.series_of_run(self._run.run_no, number)
        wanted = [(ROWS, ""), *((NUMBERS, key) for key in keys), *((OTHERS, key) for key in others)]
        new = [name for name in wanted if name not in series]
        if new:
            self._compactor.add_series(self._run.run_no, number, new)
            series = self._compactor.series_now(self._run.run_no, number)
        return series

    def _plans(
        self, series: dict[tuple[int, str], SeriesRow], keys: Sequence[str]
    ) -> Iterator[list[_Planned]]:
        """Yield the edits of the rows, then key by key: both kinds of a key change together."""
        rows = series[ROWS, ""]
        row_points = self._after(rows.through).rows()
        if len(row_points):
            yield [self._plan(rows, ROWS, row_points)]
        for key in keys:
            both = [(kind, series[kind, key]) for kind in (NUMBERS, OTHERS) if (kind, key) in series]
            points = self._after(max(row.through for _, row in both)).points(key)
            if len(points):
                yield [self._plan(row, kind, points) for kind, row in both]

    def _plan(self, row: SeriesRow, kind: int, points: Points) -> _Planned:
        mine = points.others() if kind == OTHERS else points.numbers()
        if not len(mine) and not row.n_points:
            return _Planned(row, Edit(), mine)
        return _Planned(row, edit_series(self._snapshot.chunks, row, kind, points), mine)

    def _after(self, through: int) -> Tail:
        """Return what follows the block `through`; a pass that was cut short has done some keys already."""
        tail = self._tails.get(through)
        if tail is None:
            blocks = [block for block_no, block in self._blocks if block_no > through]
            tail = self._tails[through] = Tail(blocks, self._stream)
            tail.stack()
        return tail


class _Applier:
    """Writes edits; what can be made ready before the transaction is."""

    def __init__(self, run_no: int, through: int, axes: AxisBook, planned: Sequence[_Planned]) -> None:
        self._run_no = run_no
        deleted = [head for plan in planned for head in plan.edit.deleted]
        self._deleted = [(head.chunk_no,) for head in deleted]
        self._chunks = [_chunk_row(plan, chunk, axes) for plan in planned for chunk in plan.edit.inserted]
        self._axes = axes.take_new()
        self._series = [_series_row(plan, through) for plan in planned]
        self._uses = Counter([row[6] for row in self._chunks])
        self._uses.subtract([head.axis_no for head in deleted])
        self._n_bytes = sum(len(row[-1]) for row in self._chunks) + sum(len(body) for _, body in self._axes)
        self._n_bytes -= sum(head.n_bytes for head in deleted)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write them in the transaction that `connection` is in."""
        many = connection.executemany
        many("DELETE FROM chunks WHERE chunk_no = ?", self._deleted)
        many(
            "INSERT INTO axes (axis_no, run_no, n_chunks, body) VALUES (?, ?, 0, ?)",
            [(axis_no, self._run_no, body) for axis_no, body in self._axes],
        )
        many(
            "INSERT INTO chunks (series_no, level, is_sealed, first_step, last_step, n, axis_no, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            self._chunks,
        )
        many(
            "UPDATE series SET through = ?2, type = ?3, n_points = ?4, first_step = ?5, last_step = ?6, "
            "min_time = ?7, max_time = ?8, is_time_sorted = ?9, top_level = ?10 WHERE series_no = ?1",
            self._series,
        )
        changes = [(change, axis_no) for axis_no, change in self._uses.items() if change]
        many("UPDATE axes SET n_chunks = n_chunks + ? WHERE axis_no = ?", changes)
        n_bytes = self._n_bytes - _drop_unused(connection, [no for change, no in changes if change < 0])
        connection.execute("UPDATE runs SET n_bytes = n_bytes + ? WHERE run_no = ?", (n_bytes, self._run_no))


def _chunk_row(
    plan: _Planned, chunk: NewChunk, axes: AxisBook
) -> tuple[int, int, int, int, int, int, int, bytes]:
    axis_no = axes.number_of(chunk.axis, chunk.level)
    is_sealed = int(chunk.is_sealed)
    columns = (
        plan.series.series_no,
        chunk.level,
        is_sealed,
        chunk.first_step,
        chunk.last_step,
        chunk.n,
        axis_no,
    )
    return (*columns, seal(chunk.body, *columns))


def _series_row(plan: _Planned, through: int) -> SeriesRow:
    row, points = plan.series, plan.points
    row = row._replace(
        through=through,
        n_points=row.n_points + plan.edit.n_points,
        top_level=max(row.top_level, *(chunk.level for chunk in plan.edit.inserted), 0),
    )
    if len(points):
        row = _told(row, points, is_time_sorted=_follows(plan.series, points))
    return row


def _next_axis_no(snapshot: Snapshot) -> int:
    row = snapshot.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'axes'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def _drop_unused(connection: sqlite3.Connection, axis_nos: Sequence[int]) -> int:
    """Remove those of the axes that no chunk has any more; return their bytes."""
    n_bytes = 0
    for axis_no in axis_nos:
        row = connection.execute(
            "DELETE FROM axes WHERE axis_no = ? AND n_chunks <= 0 RETURNING length(body)", (axis_no,)
        ).fetchone()
        n_bytes += row[0] if row else 0
    return n_bytes


def _pass_of(snapshot: Snapshot, run: RunRow) -> tuple[list[tuple[int, TailBlock]], bool]:
    """Return the blocks that the next pass takes, and whether there are more."""
    blocks: list[tuple[int, TailBlock]] = []
    n_values = n_bytes = 0
    for block_no, n in snapshot.connection.execute(
        "SELECT block_no, n_values FROM blocks WHERE run_no = ? AND block_no > ? AND is_stripped = 0 "
        "ORDER BY block_no",
        (run.run_no, run.through),
    ).fetchall():
        block = snapshot.block(block_no)
        n_values, n_bytes = n_values + n, n_bytes + block.size()
        if blocks and (n_values > MAX_PASS_VALUES or n_bytes > MAX_PASS_BYTES):
            return blocks, True
        blocks.append((block_no, block))
    return blocks, False


def _follows(row: SeriesRow, points: Points) -> bool:
    """Return whether times still never fall as steps rise once `points` are written."""
    times = points.times
    if not row.is_time_sorted or not np.isfinite(times).all() or (times[1:] < times[:-1]).any():
        return False
    if not row.n_points or row.last_step is None or row.max_time is None:
        return True
    return bool(points.steps[0] > row.last_step and times[0] >= row.max_time)


def _told(row: SeriesRow, points: Points, *, is_time_sorted: bool) -> SeriesRow:
    """Return `row` once `points`, of which there is at least one, are in the series."""
    times = points.times[np.isfinite(points.times)]
    return row._replace(
        type=better_type(row.type, type_of_points(points)),
        first_step=_least(row.first_step, int(points.steps[0])),
        last_step=_most(row.last_step, int(points.steps[-1])),
        min_time=_least(row.min_time, float(times.min()) if times.size else None),
        max_time=_most(row.max_time, float(times.max()) if times.size else None),
        is_time_sorted=int(is_time_sorted),
    )


def _least(a: Number | None, b: Number | None) -> Number | None:
    return b if a is None else a if b is None else min(a, b)


def _most(a: Number | None, b: Number | None) -> Number | None:
    return b if a is None else a if b is None else max(a, b)


def _is_same(a: Axis, b: Axis) -> bool:
    """Return whether two axes are equal bit by bit."""
    return (
        np.array_equal(a.first_step, b.first_step)
        and np.array_equal(_bits(a.first_time), _bits(b.first_time))
        and (a.first_step is a.last_step or np.array_equal(a.last_step, b.last_step))
        and (a.first_time is a.last_time or np.array_equal(_bits(a.last_time), _bits(b.last_time)))
    )


def _bits(array: NDArray[np.float64]) -> NDArray[np.int64]:
    return array.view(np.int64)
