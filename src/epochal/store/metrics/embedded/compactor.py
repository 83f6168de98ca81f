"""Turns a run's blocks into chunks, beside ingest and queries.

The work is done in small transactions, each of which takes a few series from one state that is right to
another: a series says up to which block it is in chunks, and a query adds the blocks that follow.  So a kill
at any moment loses nothing but time, and nobody waits for longer than one such transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeVar, cast

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.blocks import (
    CONSOLE_RECORD,
    SYSTEM_RECORD,
    Tail,
    TailBlock,
)
from epochal.store.metrics.embedded.checksum import seal
from epochal.store.metrics.embedded.chunks import (
    NUMBERS,
    OTHERS,
    ROWS,
    SeriesRow,
    encode_axis,
)
from epochal.store.metrics.embedded.editing import Edit, edit_series
from epochal.store.metrics.embedded.keys import better_type, type_of_points
from epochal.store.metrics.embedded.points import Points
from epochal.store.metrics.embedded.pyramid import Axis
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot, Snapshots
from epochal.wire.block import Block, encode

Transaction = Callable[[], AbstractContextManager[sqlite3.Connection]]

# Values looked at in one pass over a run; they and their blocks are in memory together.
MAX_PASS_VALUES = 4_000_000
# One transaction holds ingest up for a few milliseconds with so much to write.
_BATCH_BYTES = 2 << 20
_BATCH_CHUNKS = 300
_BATCH_SERIES = 1000


_PURGED_ROWS = 200
_PURGED_PAGES = 2000
_PURGES = (
    "DELETE FROM axes WHERE axis_no IN (SELECT axis_no FROM axes WHERE run_no = ? LIMIT ?)",
    "DELETE FROM blocks WHERE block_no IN (SELECT block_no FROM blocks JOIN writers USING (writer_no) "
    "WHERE writers.run_no = ? LIMIT ?)",
    "DELETE FROM console_open WHERE (writer_no, stream) IN (SELECT writer_no, stream FROM console_open "
    "JOIN writers USING (writer_no) WHERE run_no = ? LIMIT ?)",
    "DELETE FROM console WHERE (run_no, sequence, part) IN "
    "(SELECT run_no, sequence, part FROM console WHERE run_no = ? LIMIT ? * 10)",
    "DELETE FROM writers WHERE writer_no IN (SELECT writer_no FROM writers WHERE run_no = ? LIMIT ?)",
)

Number = TypeVar("Number", int, float)


class _Planned(NamedTuple):
    series: SeriesRow
    edit: Edit
    points: Points  # of this kind


class Compactor:
    """Compacts the runs of one file.

    Args:
        snapshots: to read by.
        transaction: gives a connection in a write transaction, alone.
        is_stopped: asked between series; work ends early when it says so.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        transaction: Transaction,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._snapshots, self._transaction, self._is_stopped = snapshots, transaction, is_stopped

    def compact(self, run_no: int) -> list[int]:
        """Bring a run's oldest blocks into chunks, as many as one pass may; return their numbers.

        Early (stopped, deleted run) or nothing to do: an empty list.
        """
        with self._snapshots.open() as snapshot:
            run = snapshot.run_numbered(run_no)
            block_nos = _pass_of(snapshot, run_no, run.through) if run is not None else []
            if run is None or not block_nos:
                return []
            blocks = [(no, snapshot.block(no)) for no in block_nos]
            for stream in ("history", "system"):
                if not _StreamPass(self, snapshot, run, stream, blocks).do():
                    return []
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET through = ? WHERE run_no = ?", (block_nos[-1], run_no))
        return block_nos

    def strip(self, run_no: int) -> bool:
        """Take out of some of a run's blocks what is in chunks and was released; return whether any were."""
        with self._snapshots.open() as snapshot:
            found = snapshot.connection.execute(
                "SELECT block_no, length(body) FROM blocks JOIN writers USING (writer_no) "
                "JOIN runs ON runs.run_no = blocks.run_no WHERE blocks.run_no = ? AND is_stripped = 0 "
                "AND block_no <= through AND blocks.end_offset <= released ORDER BY block_no LIMIT 64",
                (run_no,),
            ).fetchall()
            stripped = [(no, n_bytes, _stripped(snapshot.whole_block(no))) for no, n_bytes in found]
        if not stripped:
            return False
        bodies = [(no, n_bytes, None if b is None else encode(b)) for no, n_bytes, b in stripped]
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE blocks SET body = ?, is_stripped = 1 WHERE block_no = ?",
                [(body, no) for no, _, body in bodies if body is not None],
            )
            connection.executemany(
                "DELETE FROM blocks WHERE block_no = ?", [(no,) for no, _, body in bodies if body is None]
            )
            connection.execute(
                "UPDATE runs SET n_bytes = n_bytes - ? WHERE run_no = ?",
                (sum(n_bytes - len(body or b"") for _, n_bytes, body in bodies), run_no),
            )
        return True

    def purge(self) -> bool:
        """Remove some of what deleted runs left behind; return whether there was any."""
        with self._transaction() as connection:
            row = connection.execute("SELECT run_no FROM runs WHERE run_id IS NULL LIMIT 1").fetchone()
            if row is None:
                return False
            purge_some(connection, int(row[0]))
            connection.execute(f"PRAGMA incremental_vacuum({_PURGED_PAGES})")
        return True

    def apply(self, run_no: int, planned: Sequence[_Planned], through: int, axes: AxisBook) -> None:
        """Write edits in one transaction."""
        with self._transaction() as connection:
            _Applier(connection, run_no, through, axes).apply(planned)

    def add_series(self, run_no: int, stream: int, new: Sequence[tuple[int, str]]) -> None:
        """Make rows for series, by (kind, key), that are there for the first time."""
        for begin in range(0, len(new), _BATCH_SERIES):
            with self._transaction() as connection:
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
    """Axes written in this pass, so that keys logged together share one."""

    def __init__(self) -> None:
        self._axes: dict[tuple[object, ...], list[tuple[Axis, int]]] = {}

    def find(self, axis: Axis, level: int) -> int | None:
        """Return the number of an equal axis, if there is one."""
        for other, axis_no in self._axes.get(self._outline(axis, level), []):
            if _is_same(axis, other):
                return axis_no
        return None

    def add(self, axis: Axis, level: int, axis_no: int) -> None:
        """Remember an axis."""
        self._axes.setdefault(self._outline(axis, level), []).append((axis, axis_no))

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
    ) -> None:
        self._compactor, self._snapshot, self._run = compactor, snapshot, run
        self._stream: Stream = stream
        self._blocks = blocks
        self._through = blocks[-1][0]
        self._axes = AxisBook()
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
            if n_chunks >= _BATCH_CHUNKS or n_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_SERIES:
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
    """Writes edits by one connection."""

    def __init__(self, connection: sqlite3.Connection, run_no: int, through: int, axes: AxisBook) -> None:
        self._connection, self._run_no, self._through, self._axes = connection, run_no, through, axes
        self._uses: Counter[int] = Counter()
        self._n_bytes = 0

    def apply(self, planned: Sequence[_Planned]) -> None:
        for plan in planned:
            self._write(plan)
        connection = self._connection
        connection.executemany(
            "UPDATE axes SET n_chunks = n_chunks + ? WHERE axis_no = ?",
            [(change, axis_no) for axis_no, change in self._uses.items() if change],
        )
        for axis_no, change in self._uses.items():
            if change < 0:
                row = connection.execute(
                    "DELETE FROM axes WHERE axis_no = ? AND n_chunks <= 0 RETURNING length(body)", (axis_no,)
                ).fetchone()
                self._n_bytes -= row[0] if row else 0
        connection.execute(
            "UPDATE runs SET n_bytes = n_bytes + ? WHERE run_no = ?", (self._n_bytes, self._run_no)
        )

    def _write(self, plan: _Planned) -> None:
        series_no, edit = plan.series.series_no, plan.edit
        for head in edit.deleted:
            self._uses[head.axis_no] -= 1
            self._n_bytes -= head.n_bytes
        self._connection.executemany(
            "DELETE FROM chunks WHERE chunk_no = ?", [(head.chunk_no,) for head in edit.deleted]
        )
        rows = []
        for chunk in edit.inserted:
            axis_no = self._axis_no(chunk.axis, chunk.level)
            self._uses[axis_no] += 1
            columns = (
                series_no,
                chunk.level,
                int(chunk.is_sealed),
                chunk.first_step,
                chunk.last_step,
                chunk.n,
                axis_no,
            )
            body = seal(chunk.body, *columns)
            self._n_bytes += len(body)
            rows.append((*columns, body))
        self._connection.executemany(
            "INSERT INTO chunks (series_no, level, is_sealed, first_step, last_step, n, axis_no, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._update(plan)

    def _update(self, plan: _Planned) -> None:
        row, points = plan.series, plan.points
        row = row._replace(
            through=self._through,
            n_points=row.n_points + plan.edit.n_points,
            top_level=max(row.top_level, *(chunk.level for chunk in plan.edit.inserted), 0),
        )
        if len(points):
            row = _told(row, points, is_time_sorted=_follows(plan.series, points))
        self._connection.execute(
            "UPDATE series SET through = ?2, type = ?3, n_points = ?4, first_step = ?5, last_step = ?6, "
            "min_time = ?7, max_time = ?8, is_time_sorted = ?9, top_level = ?10 WHERE series_no = ?1",
            row,
        )

    def _axis_no(self, axis: Axis, level: int) -> int:
        axis_no = self._axes.find(axis, level)
        if axis_no is None:
            body = seal(encode_axis(axis, level))
            cursor = self._connection.execute(
                "INSERT INTO axes (run_no, n_chunks, body) VALUES (?, 0, ?)", (self._run_no, body)
            )
            axis_no = cast("int", cursor.lastrowid)
            self._n_bytes += len(body)
            self._axes.add(axis, level, axis_no)
        return axis_no


def purge_some(connection: sqlite3.Connection, run_no: int) -> None:
    """Remove a bounded part of what a deleted run left behind, in the end the run itself."""
    execute = connection.execute
    series = execute(
        "SELECT series_no FROM series WHERE run_no = ? LIMIT ?", (run_no, _PURGED_ROWS)
    ).fetchall()
    left = _PURGED_ROWS
    for (series_no,) in series:
        left -= execute(
            "DELETE FROM chunks WHERE chunk_no IN (SELECT chunk_no FROM chunks WHERE series_no = ? LIMIT ?)",
            (series_no, left),
        ).rowcount
        if left <= 0:
            return
        execute("DELETE FROM series WHERE series_no = ?", (series_no,))
        left -= 1
    for statement in _PURGES:
        if left <= 0:
            return
        left -= execute(statement, (run_no, left)).rowcount
    if left > 0:
        execute("DELETE FROM runs WHERE run_no = ?", (run_no,))


def _pass_of(snapshot: Snapshot, run_no: int, through: int) -> list[int]:
    """Return the numbers of the blocks that the next pass takes."""
    block_nos: list[int] = []
    total = 0
    for block_no, n_values in snapshot.connection.execute(
        "SELECT block_no, n_values FROM blocks WHERE run_no = ? AND block_no > ? AND is_stripped = 0 "
        "ORDER BY block_no",
        (run_no, through),
    ):
        total += n_values
        if block_nos and total > MAX_PASS_VALUES:
            break
        block_nos.append(block_no)
    return block_nos


def _stripped(block: Block) -> Block | None:
    """Return `block` without what is in chunks and the console, None if nothing is left."""
    records = [r for r in block.records if not r[1] or r[1][0] not in (CONSOLE_RECORD, SYSTEM_RECORD)]
    if not records and not block.losses:
        return None
    return structs.replace(block, n_rows=0, steps=(0, 1), times=b"", columns=[], records=records)


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
