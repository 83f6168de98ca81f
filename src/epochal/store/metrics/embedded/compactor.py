"""Turns a run's blocks into chunks, beside ingest and queries.

The work is done in small transactions, each of which takes a few series from one state that is right to
another: a series says up to which block it is in chunks, and a query adds the blocks that follow.  So a kill
at any moment loses nothing but time, and nobody waits for longer than one such transaction.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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
    Chunks,
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
MAX_PASS_ROWS = 500_000  # a series is written in one transaction
# One transaction holds ingest up for a few milliseconds with so much to write.
_BATCH_BYTES = 2 << 20
_BATCH_SERIES = 500
# So much work, then so much rest.
_WORK_S, _REST_S = 0.001, 0.00005

Number = TypeVar("Number", int, float)
SeriesName = tuple[int, str]  # kind, key


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
            axes = AxisBook(_next_axis_no(snapshot))
        # Its snapshot ends here: an old one keeps the log from being folded, for as long as a pass takes.
        streams: tuple[Stream, ...] = ("history", "system")
        if not blocks or not all(_StreamPass(self, run, stream, blocks, axes).do() for stream in streams):
            return [], False
        block_nos = [block_no for block_no, _ in blocks]
        with self._writer.later() as connection:
            connection.execute("UPDATE runs SET through = ? WHERE run_no = ?", (block_nos[-1], run_no))
        return block_nos, are_more

    @contextmanager
    def chunks(self) -> Iterator[Chunks]:
        """Give what to read chunks by; nobody else changes those of a run that is being compacted."""
        with self._snapshots.open() as snapshot:
            yield snapshot.chunks

    def apply(self, run_no: int, planned: Sequence[_Planned], through: int, axes: AxisBook) -> bool:
        """Write edits in one transaction; return False if the pass is to end, having written nothing."""
        if self._is_stopped():
            return False
        applier = _Applier(run_no, through, axes, planned)
        with self._writer.later() as connection, self.pace.timed():
            query = "SELECT 1 FROM runs WHERE run_no = ? AND run_id IS NOT NULL"
            if connection.execute(query, (run_no,)).fetchone() is None:
                return False
            applier.write(connection)
        self._writer.fold_log_if_long()
        return True

    def series(self, run_no: int, stream: int, wanted: Sequence[SeriesName]) -> dict[SeriesName, SeriesRow]:
        """Return all series of a run; those of `wanted` that were not there are made."""
        with self.chunks() as chunks:
            series = chunks.series_of_run(run_no, stream)
        new = [(run_no, stream, *name) for name in wanted if name not in series]
        for begin in range(0, len(new), _BATCH_SERIES):
            with self._writer.later() as connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO series (run_no, stream, kind, key, type) VALUES (?, ?, ?, ?, '')",
                    new[begin : begin + _BATCH_SERIES],
                )
        if not new:
            return series
        with self.chunks() as chunks:
            return chunks.series_of_run(run_no, stream)


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
        run: RunRow,
        stream: Stream,
        blocks: Sequence[tuple[int, TailBlock]],
        axes: AxisBook,
    ) -> None:
        self._compactor, self._run_no = compactor, run.run_no
        self._stream: Stream = stream
        self._blocks, self._axes = blocks, axes
        self._through = blocks[-1][0]
        self._tails: dict[int, Tail] = {}

    def do(self) -> bool:
        """Write the chunks of every key of the blocks; return False if it was stopped."""
        tail = self._after(0)
        if not len(tail.rows()):
            return True
        keys, others = tail.keys(), tail.keys_of_others()
        wanted = [(ROWS, ""), *((NUMBERS, key) for key in keys), *((OTHERS, key) for key in others)]
        series = self._compactor.series(self._run_no, STREAM_NUMBERS[self._stream], wanted)
        subjects = self._subjects(series, keys)
        while batch := self._next_batch(subjects):
            if not self._compactor.apply(self._run_no, batch, self._through, self._axes):
                return False
        return True

    def _subjects(
        self, series: dict[SeriesName, SeriesRow], keys: Iterable[str]
    ) -> Iterator[tuple[list[tuple[int, SeriesRow]], Points]]:
        """Yield what to edit together, with its points: the rows, then both kinds of each key."""
        rows = series[ROWS, ""]
        yield [(ROWS, rows)], self._after(rows.through).rows()
        for key in keys:
            both = [(kind, series[kind, key]) for kind in (NUMBERS, OTHERS) if (kind, key) in series]
            yield both, self._after(max([row.through for _, row in both])).points(key)

    def _next_batch(self, subjects: Iterator[tuple[list[tuple[int, SeriesRow]], Points]]) -> list[_Planned]:
        """Return the edits of one transaction; none at the end."""
        batch: list[_Planned] = []
        n_chunks = n_bytes = 0
        rest = _Rest()
        with self._compactor.chunks() as chunks:
            for rows, points in subjects:
                planned = [_plan(chunks, row, kind, points) for kind, row in rows] if len(points) else []
                batch += planned
                n_chunks += sum([len(p.edit.inserted) + len(p.edit.deleted) for p in planned])
                n_bytes += sum([len(chunk.body) for p in planned for chunk in p.edit.inserted])
                is_full = n_chunks >= self._compactor.pace.n or n_bytes >= _BATCH_BYTES
                if is_full or len(batch) >= _BATCH_SERIES:
                    break
                rest.now_and_then()
        return batch

    def _after(self, through: int) -> Tail:
        """Return what follows the block `through`; a pass that was cut short has done some keys already."""
        tail = self._tails.get(through)
        if tail is None:
            blocks = [block for block_no, block in self._blocks if block_no > through]
            tail = self._tails[through] = Tail(blocks, self._stream)
            tail.stack()
        return tail


class _Rest:
    """Lets other threads have the interpreter: one that asks for it waits for milliseconds otherwise."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def now_and_then(self) -> None:
        if time.perf_counter() - self._last > _WORK_S:
            time.sleep(_REST_S)
            self._last = time.perf_counter()


def _plan(chunks: Chunks, row: SeriesRow, kind: int, points: Points) -> _Planned:
    mine = points.others() if kind == OTHERS else points.numbers()
    if not len(mine) and not row.n_points:
        return _Planned(row, Edit(), mine)
    return _Planned(row, edit_series(chunks, row, kind, points), mine)


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
    n_values = n_bytes = n_rows = 0
    for block_no, n in snapshot.connection.execute(
        "SELECT block_no, n_values FROM blocks WHERE run_no = ? AND block_no > ? AND is_stripped = 0 "
        "ORDER BY block_no",
        (run.run_no, run.through),
    ).fetchall():
        block = snapshot.block(block_no)
        n_values, n_bytes = n_values + n, n_bytes + block.size()
        n_rows += block.table("history").steps.size
        if blocks and (n_values > MAX_PASS_VALUES or n_bytes > MAX_PASS_BYTES or n_rows > MAX_PASS_ROWS):
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
