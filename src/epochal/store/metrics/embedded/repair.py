"""Sets a metric store's file right, run by run, in small transactions; nobody else may have it open.

What is removed is kept in another file first, and what is lost is told before it is removed.  So a kill at
any moment leaves a file that is no worse, and the next repair goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from epochal.base.sqlite_errors import told_apart
from epochal.errors import DamagedStoreError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.blocks import KeySets, Tail, TailBlock, n_values
from epochal.store.metrics.embedded.cache import Cache
from epochal.store.metrics.embedded.check import ORPHANS, check_run
from epochal.store.metrics.embedded.check_series import check_series
from epochal.store.metrics.embedded.checksum import is_line, line_checksum
from epochal.store.metrics.embedded.chunks import ROWS, Chunks, ChunkSizes, SeriesRow
from epochal.store.metrics.embedded.console import DAMAGED_LINE
from epochal.store.metrics.embedded.points import Points, concat, overlay
from epochal.store.metrics.embedded.repair_series import Lost, SeriesWriter, holes, plan_series, rows_between
from epochal.store.metrics.embedded.schema import connect
from epochal.store.metrics.embedded.snapshot import read_block
from epochal.wire.block import Block, Loss, encode

_STREAMS: tuple[Stream, ...] = ("history", "system")
_REASON = "damaged in the store"


class LostBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A range of a writer's run log that the store had and cannot read any more."""

    writer: WriterId
    offset: int
    n_bytes: int


Tell = Callable[[RunId, "Lost | LostBlock"], None]


class Aside:
    """The file that keeps what a repair removes.

    Args:
        path: of it; made with the first row.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = msgspec.msgpack.Encoder().encode

    def keep(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Keep rows of a table as they are; on the disk on return.  One that is kept already stays once."""
        if not rows:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE IF NOT EXISTS removed (name TEXT, row BLOB, UNIQUE (name, row))")
            connection.executemany(
                "INSERT OR IGNORE INTO removed VALUES (?, ?)",
                [(table, self._encode([_plain(value) for value in row])) for row in rows],
            )


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, (int, float, str, bytes)) else str(value)


def repair_file(
    path: Path, aside: Aside, tell: Tell, sizes: ChunkSizes | None = None, runs: Sequence[str] | None = None
) -> list[str]:
    """Make the file at `path` sound where it can be; return what was done, a sentence each.

    Args:
        path: of a file that SQLite finds sound.
        aside: keeps what is removed.
        tell: is told what is lost, before it is removed.
        sizes: of new chunks.
        runs: only these, by id.

    Raises:
        DamagedStoreError: SQLite itself cannot read it.
        DiskFullError: there is no room; what was done is sound.
    """
    done: list[str] = []
    with told_apart(path), closing(connect(path)) as connection:
        if runs is None:
            done += _remove_orphans(connection, aside)
        found = connection.execute("SELECT run_no, run_id FROM runs WHERE run_id IS NOT NULL").fetchall()
        for run_no, run_id in found:
            if (runs is None or run_id in runs) and any(True for _ in check_run(connection, run_no)):
                done += _RunRepair(
                    connection, aside, tell, sizes or ChunkSizes(), run_no, RunId(run_id)
                ).repair()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return done


def _remove_orphans(connection: sqlite3.Connection, aside: Aside) -> list[str]:
    done = []
    for table, condition in ORPHANS.items():
        rows = connection.execute(f"SELECT * FROM {table} WHERE {condition}").fetchall()  # noqa: S608
        if rows:
            aside.keep(table, rows)
            connection.execute(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608
            done.append(f"{len(rows)} rows of the table {table} that belonged to nothing were removed")
    return done


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class _Line(NamedTuple):
    sequence: int
    part: int
    time: object
    stream: object
    text: object
    checksum: object


class _RunRepair:
    def __init__(
        self,
        connection: sqlite3.Connection,
        aside: Aside,
        tell: Tell,
        sizes: ChunkSizes,
        run_no: int,
        run_id: RunId,
    ) -> None:
        self._connection, self._execute = connection, connection.execute
        self._aside, self._tell, self._run_no, self._run_id = aside, tell, run_no, run_id
        self._chunks = Chunks(connection, Cache(32 << 20).part(), sizes)
        self._key_sets = KeySets()
        self._tail: list[tuple[int, TailBlock]] | None = None
        self._done: list[str] = []

    def repair(self) -> list[str]:
        """Return what was done."""
        self._mend_through()
        self._mend_all_series()
        self._mend_blocks()
        with _transaction(self._connection):
            self._mend_axes()
        with _transaction(self._connection):
            self._mend_console()
        with _transaction(self._connection):
            self._count_bytes()
        return [f"run {self._run_id}: {what}" for what in self._done]

    def _mend_all_series(self) -> None:
        for number, stream in enumerate(_STREAMS):
            every = self._chunks.series_of_run(self._run_no, number)
            # The rows last: what is left of the keys tells of rows that nothing else tells of.
            for (kind, key), series in sorted(every.items(), key=lambda item: item[0][0] == ROWS):
                if self._is_sound(series, kind):
                    continue
                plan = plan_series(
                    self._connection,
                    self._chunks,
                    series.series_no,
                    kind,
                    (stream, key),
                    self._points_in_blocks(stream, kind, key, series),
                )
                if plan.lost is not None:
                    self._tell(self._run_id, plan.lost)
                self._keep_chunks(plan.removed)
                with _transaction(self._connection):
                    SeriesWriter(self._connection, self._chunks, self._run_no, kind).write(plan)
                n_lost = 0 if plan.lost is None else plan.lost.n_points
                n_found = sum(len(points) for points in plan.added)
                name = repr(key) if key else "the rows"
                self._done.append(
                    f"{name} of the {stream}: made anew from its points; {n_found} points were taken from "
                    f"blocks, {n_lost} are lost"
                )

    def _is_sound(self, series: SeriesRow, kind: int) -> bool:
        try:
            return next(iter(check_series(self._chunks, series, kind)), None) is None
        except DamagedStoreError:
            return False

    def _mend_through(self) -> None:
        """Set right which blocks are said to be in chunks, where that is beyond the last block ever.

        What is left says it: a block without its rows is in chunks, and so is every one before it.  The
        others are read as if they were not, which gives the same values once more.
        """
        row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'blocks'").fetchone()
        (through,) = self._execute(
            "SELECT ifnull(max(block_no), 0) FROM blocks WHERE run_no = ? AND is_stripped", (self._run_no,)
        ).fetchone()
        changed = 0
        with _transaction(self._connection):
            for table in ("runs", "series"):
                changed += self._execute(
                    f"UPDATE {table} SET through = ? WHERE run_no = ? AND through > ?",  # noqa: S608
                    (through, self._run_no, 0 if row is None else row[0]),
                ).rowcount
        if changed:
            self._done.append("which of its blocks are in chunks was found out anew")

    def _points_in_blocks(self, stream: Stream, kind: int, key: str, series: SeriesRow) -> Points:
        (run_through,) = self._execute(
            "SELECT through FROM runs WHERE run_no = ?", (self._run_no,)
        ).fetchone()
        through = max(series.through, run_through)
        tail = Tail([block for no, block in self._blocks_with_rows() if no <= through], stream)
        if kind != ROWS:
            return tail.points(key)
        every = self._chunks.series_of_run(self._run_no, _STREAMS.index(stream))
        of_keys = [row for (other, _), row in every.items() if other != ROWS]
        spans = holes(self._connection, self._chunks, series.series_no, kind)
        found = concat([rows_between(self._chunks, of_keys, first, last) for first, last in spans])
        return overlay(found, tail.rows())

    def _blocks_with_rows(self) -> list[tuple[int, TailBlock]]:
        if self._tail is None:
            self._tail = []
            for no, body in self._execute(
                "SELECT block_no, body FROM blocks WHERE run_no = ? AND is_stripped = 0 ORDER BY block_no",
                (self._run_no,),
            ):
                try:
                    self._tail.append((no, TailBlock(read_block(no, body), self._key_sets)))
                except DamagedStoreError:
                    continue
        return self._tail

    def _keep_chunks(self, chunk_nos: Sequence[int]) -> None:
        for chunk_no in chunk_nos:
            rows = self._execute("SELECT * FROM chunks WHERE chunk_no = ?", (chunk_no,)).fetchall()
            axes = self._execute(
                "SELECT * FROM axes WHERE axis_no IN (SELECT axis_no FROM chunks WHERE chunk_no = ?)",
                (chunk_no,),
            ).fetchall()
            self._aside.keep("chunks", rows)
            self._aside.keep("axes", axes)

    def _mend_blocks(self) -> None:
        writers = self._execute(
            "SELECT writer_no, writer, end_offset, released FROM writers WHERE run_no = ?", (self._run_no,)
        ).fetchall()
        for writer_no, writer, end_offset, released in writers:
            at = 0
            for no, first, end, is_stripped, n, body in self._execute(
                "SELECT block_no, first_offset, end_offset, is_stripped, n_values, body FROM blocks "
                "WHERE writer_no = ? ORDER BY first_offset",
                (writer_no,),
            ).fetchall():
                if first > max(at, released):
                    self._fill(writer_no, writer, at, first)
                if first >= at and end > first:
                    self._mend_block(no, (writer, first, end), is_stripped, n, body)
                at = max(at, end)
            if at < end_offset and end_offset > released:
                self._fill(writer_no, writer, max(at, released), end_offset)
            if at > end_offset:
                with _transaction(self._connection):
                    self._execute("UPDATE writers SET end_offset = ? WHERE writer_no = ?", (at, writer_no))
                self._done.append(f"{writer}: goes on at {at}")

    def _mend_block(
        self, no: int, name: tuple[str, int, int], is_stripped: int, n: int, body: object
    ) -> None:
        writer, first, end = name
        try:
            block = read_block(no, body)
        except DamagedStoreError:
            block = None
        told = None if block is None else (block.run_id, block.writer, block.first_offset, block.end_offset)
        if block is None or told != (self._run_id, *name):
            self._tell(self._run_id, LostBlock(writer=WriterId(writer), offset=first, n_bytes=end - first))
            self._aside.keep(
                "blocks", self._execute("SELECT * FROM blocks WHERE block_no = ?", (no,)).fetchall()
            )
            with _transaction(self._connection):
                self._execute(
                    "UPDATE blocks SET body = ?, n_values = 0, is_stripped = 0 WHERE block_no = ?",
                    (encode(self._empty(writer, first, end)), no),
                )
            self._done.append(f"{writer}: the block from {first} to {end} could not be read and is lost")
        elif (not is_stripped and n != n_values(block)) or (
            is_stripped and (block.n_rows or not self._is_in_chunks(no))
        ):
            with _transaction(self._connection):
                self._execute(
                    "UPDATE blocks SET n_values = ?, is_stripped = 0 WHERE block_no = ?",
                    (n_values(block), no),
                )
            self._done.append(f"{writer}: the block from {first} to {end} was counted anew")

    def _is_in_chunks(self, block_no: int) -> bool:
        row = self._execute("SELECT through FROM runs WHERE run_no = ?", (self._run_no,)).fetchone()
        return block_no <= int(row[0])

    def _fill(self, writer_no: int, writer: str, begin: int, end: int) -> None:
        """Put an empty block where one is missing, so that the writer can go on."""
        self._tell(self._run_id, LostBlock(writer=WriterId(writer), offset=begin, n_bytes=end - begin))
        with _transaction(self._connection):
            self._execute(
                "INSERT INTO blocks (run_no, writer_no, first_offset, end_offset, n_values, body) "
                "VALUES (?, ?, ?, ?, 0, ?)",
                (self._run_no, writer_no, begin, end, encode(self._empty(writer, begin, end))),
            )
        self._done.append(f"{writer}: the blocks from {begin} to {end} are missing and lost")

    def _empty(self, writer: str, begin: int, end: int) -> Block:
        return Block(
            run_id=self._run_id,
            project="",
            entity=None,
            writer=WriterId(writer),
            kind="primary",
            first_offset=begin,
            end_offset=end,
            n_rows=0,
            steps=(0, 1),
            times=b"",
            losses=[Loss(begin, end - begin, _REASON)],
        )

    def _mend_axes(self) -> None:
        # One look at all chunks, not one for each axis.
        self._execute("CREATE TEMP TABLE IF NOT EXISTS uses (axis_no INTEGER PRIMARY KEY, n INTEGER)")
        self._execute("DELETE FROM uses")
        self._execute(
            "INSERT INTO uses SELECT axis_no, count(*) FROM chunks JOIN series USING (series_no) "
            "WHERE run_no = ? GROUP BY axis_no",
            (self._run_no,),
        )
        changed = self._execute(
            "UPDATE axes SET n_chunks = ifnull((SELECT n FROM uses WHERE uses.axis_no = axes.axis_no), 0) "
            "WHERE run_no = ?1 "
            "AND n_chunks != ifnull((SELECT n FROM uses WHERE uses.axis_no = axes.axis_no), 0)",
            (self._run_no,),
        ).rowcount
        removed = self._execute(
            "DELETE FROM axes WHERE run_no = ? AND n_chunks = 0", (self._run_no,)
        ).rowcount
        if changed or removed:
            self._done.append(f"{changed} axes were counted anew, {removed} that nothing used were removed")

    def _mend_console(self) -> None:
        lines: dict[int, list[_Line]] = {}
        for row in self._execute(
            "SELECT sequence, part, time, CAST(stream AS BLOB), CAST(text AS BLOB), checksum FROM console "
            "WHERE run_no = ? ORDER BY sequence, part",
            (self._run_no,),
        ):
            lines.setdefault(row[0], []).append(_Line(*row))
        (n_lines,) = self._execute("SELECT n_lines FROM runs WHERE run_no = ?", (self._run_no,)).fetchone()
        n_said = n_lines if 0 <= n_lines <= 2 * len(lines) + 1000 else 0
        n = max(n_said, max(lines, default=-1) + 1)
        damaged = [s for s in range(n) if not _is_whole(lines.get(s, []))]
        for sequence in damaged:
            self._aside.keep("console", lines.get(sequence, []))
            self._execute("DELETE FROM console WHERE run_no = ? AND sequence = ?", (self._run_no, sequence))
            checksum = line_checksum(sequence, 0, 0.0, b"stderr", DAMAGED_LINE.encode())
            self._execute(
                "INSERT INTO console VALUES (?, ?, 0, 0.0, 'stderr', ?, ?)",
                (self._run_no, sequence, DAMAGED_LINE, checksum),
            )
            self._execute(
                "UPDATE console_open SET n_parts = 1 WHERE sequence = ? AND writer_no IN "
                "(SELECT writer_no FROM writers WHERE run_no = ?)",
                (sequence, self._run_no),
            )
        if damaged or n != n_lines:
            self._execute("UPDATE runs SET n_lines = ? WHERE run_no = ?", (n, self._run_no))
            self._done.append(f"{len(damaged)} lines of the console cannot be read and are marked")

    def _count_bytes(self) -> None:
        statements = (
            "SELECT ifnull(sum(length(body)), 0) FROM blocks WHERE writer_no IN "
            "(SELECT writer_no FROM writers WHERE run_no = ?)",
            "SELECT ifnull(sum(length(body)), 0) FROM axes WHERE run_no = ?",
            "SELECT ifnull(sum(length(body)), 0) FROM chunks JOIN series USING (series_no) WHERE run_no = ?",
            "SELECT n_lines FROM runs WHERE run_no = ?",
            "SELECT -count(*) FROM console_open JOIN writers USING (writer_no) WHERE run_no = ?",
        )
        total = sum(self._execute(statement, (self._run_no,)).fetchone()[0] for statement in statements)
        total += sum(
            len(text.decode(errors="replace")) + 16
            for (text,) in self._execute(
                "SELECT CAST(text AS BLOB) FROM console WHERE run_no = ?", (self._run_no,)
            )
        )
        changed = self._execute(
            "UPDATE runs SET n_bytes = ?1 WHERE run_no = ?2 AND n_bytes != ?1", (total, self._run_no)
        ).rowcount
        if changed:
            self._done.append("its size was counted anew")


def _is_whole(parts: Sequence[_Line]) -> bool:
    return (
        [line.part for line in parts] == list(range(len(parts)))
        and bool(parts)
        and all(is_line(*line) for line in parts)
    )
