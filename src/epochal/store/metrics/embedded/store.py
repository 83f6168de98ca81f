"""The embedded metric store: one SQLite file a project.

One process owns the file.  One thread at a time writes, any number read, each a state of its own that no
writer disturbs.  Atomicity, durability and recovery are SQLite's; there is no log of our own.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf, isfinite
from pathlib import Path

import numpy as np

from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import (
    ConsoleLine,
    GapError,
    KeyInfo,
    Row,
    SeriesAnswer,
    SeriesQuery,
    Stream,
)
from epochal.store.metrics.embedded.background import Background
from epochal.store.metrics.embedded.blocks import KeySets, TailBlock, check_block, is_sample, n_values
from epochal.store.metrics.embedded.cache import Cache
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.store.metrics.embedded.compactor import Compactor
from epochal.store.metrics.embedded.console import append_console, console_pieces, read_console
from epochal.store.metrics.embedded.keys import list_keys
from epochal.store.metrics.embedded.rows import scan_rows
from epochal.store.metrics.embedded.schema import connect, open_file, told_apart
from epochal.store.metrics.embedded.series import read_series
from epochal.store.metrics.embedded.snapshot import Snapshots, read_block
from epochal.wire.block import Block, encode

_BLOCKS_A_PAGE = 16


class EmbeddedMetricStore:
    """Implements `contract.MetricStore`.

    Args:
        path: of the file, which is created if it is not there; its folder must be.
        background: compact by itself, in a thread that begins with the first need.
        cache: for what was decoded, shared with other stores; None for one of its own.
        sizes: of chunks and buckets; those of a file may change from one opening to the next.

    Raises:
        NewerDataFolderError: the file was written by a newer version.
        DamagedStoreError: it is not a metric store's file, or damaged.
        DiskFullError: there is no room to make or to upgrade it.
    """

    def __init__(
        self,
        path: Path,
        *,
        background: bool = True,
        cache: Cache | None = None,
        sizes: ChunkSizes | None = None,
    ) -> None:
        open_file(path)
        self.path = path
        self._cache = (cache or Cache()).part()
        self._key_sets = KeySets()
        self._snapshots = Snapshots(path, self._cache, sizes or ChunkSizes(), self._key_sets)
        self._writing = threading.Lock()
        self._connection = connect(path)
        # What the compactor writes can be written again, so it does not wait for the disk.
        self._compacting = connect(path, synchronous="NORMAL")
        # An edit holds only for the chunks it was made from, so nobody else may change them meanwhile.
        self._one_compactor = threading.Lock()
        self._released: dict[tuple[RunId, WriterId], int] = {}
        self._background = Background(self._compact_run, self._tidy) if background else None
        self._compactor = Compactor(
            self._snapshots,
            lambda: self._transaction(self._compacting),
            self._is_stopped,
        )
        if self._background is not None:
            self._background.add(self._backlog())

    def append(self, blocks: Sequence[Block]) -> None:
        """Store `blocks`; durable on return.  See the contract."""
        for block in blocks:
            check_block(block)
        # Encoded before the lock is taken: this is most of the work.
        bodies = [encode(block) for block in blocks]
        new: list[tuple[int, int, Block]] = []
        with self._transaction() as connection:
            appender = _Appender(connection)
            for block, body in zip(blocks, bodies, strict=True):
                numbers = appender.append(block, body)
                if numbers is not None:
                    new.append((*numbers, block))
            appender.save()
        for _, block_no, block in new:
            self._cache.put(TailBlock, block_no, TailBlock(block, self._key_sets), TailBlock.size)
        if self._background is not None:
            self._background.add((run_no, n_values(block), len(block.columns)) for run_no, _, block in new)

    def end_offset(self, run: RunId, writer: WriterId) -> int:
        """Return the offset at which the writer's next block must begin; 0 before the first."""
        with self._snapshots.open() as snapshot:
            row = snapshot.connection.execute(
                "SELECT end_offset FROM writers JOIN runs USING (run_no) WHERE run_id = ? AND writer = ?",
                (run, writer),
            ).fetchone()
        return 0 if row is None else int(row[0])

    def blocks_from(self, run: RunId, writer: WriterId, offset: int) -> Iterator[Block]:
        """Yield the stored blocks of a writer that begin at `offset` or later, in order."""
        while True:
            with self._snapshots.open() as snapshot:
                bodies = snapshot.connection.execute(
                    "SELECT block_no, body FROM blocks JOIN writers USING (writer_no) "
                    "JOIN runs ON runs.run_no = writers.run_no "
                    "WHERE run_id = ? AND writer = ? AND first_offset >= ? ORDER BY first_offset LIMIT ?",
                    (run, writer, offset, _BLOCKS_A_PAGE),
                ).fetchall()
            for block_no, body in bodies:
                block = read_block(block_no, body)
                yield block
                offset = block.first_offset + 1
            if len(bodies) < _BLOCKS_A_PAGE:
                return

    def release(self, run: RunId, writer: WriterId, offset: int) -> None:
        """Say that nobody will ask `blocks_from` for rows before `offset` again."""
        # Written by the compactor when it makes use of it: nothing depends on it before.
        with self._writing:
            known = self._released.get((run, writer), 0)
            self._released[run, writer] = max(known, offset)

    def read_series(self, query: SeriesQuery) -> SeriesAnswer:
        """Return the series of every key of every run of `query`.  See the contract."""
        with self._snapshots.open() as snapshot:
            return read_series(snapshot, query)

    def scan_rows(
        self,
        run: RunId,
        keys: Sequence[str] | None = None,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> Iterator[Row]:
        """Yield every row exactly, in step order.  See the contract."""
        with self._snapshots.open() as snapshot:
            row = snapshot.run(run)
            if row is not None:
                yield from scan_rows(snapshot, row, keys, stream, first_step, last_step)

    def keys(self, runs: Sequence[RunId] | None = None, *, stream: Stream = "history") -> list[KeyInfo]:
        """Return the keys of `runs` together, by key; None for all runs of the project."""
        with self._snapshots.open() as snapshot:
            return list_keys(snapshot, runs, stream)

    def console(
        self, run: RunId, *, after: int | None = None, before: int | None = None, limit: int = 1000
    ) -> tuple[list[ConsoleLine], int]:
        """Return at most `limit` lines in order, and how many there are in all.  See the contract."""
        with self._snapshots.open() as snapshot:
            row = snapshot.run(run)
            return ([], 0) if row is None else read_console(snapshot, row, after, before, limit)

    def delete_run(self, run: RunId) -> None:
        """Forget the run at once; its space comes back in the background."""
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET run_id = NULL WHERE run_id = ?", (run,))
        if self._background is not None:
            self._background.tidy_up()

    def sizes(self) -> dict[RunId, int]:
        """Return the bytes that each run takes."""
        with self._snapshots.open() as snapshot:
            return dict(
                snapshot.connection.execute("SELECT run_id, n_bytes FROM runs WHERE run_id IS NOT NULL")
            )

    def compact(self) -> None:
        """Do at once, on this thread, all that there is to do in the background."""
        for run_no in dict.fromkeys(run_no for run_no, _, _ in self._backlog()):
            self._compact_run(run_no)
        while self._tidy():
            pass

    def close(self) -> None:
        """Give the file back; nothing else may be called after it."""
        if self._background is not None:
            self._background.stop()
        self._snapshots.close()
        self._cache.drop_all()
        with self._writing:
            self._compacting.close()
            self._connection.close()

    def _compact_run(self, run_no: int) -> None:
        """Bring all that a run has into chunks."""
        with self._one_compactor:
            while block_nos := self._compactor.compact(run_no):
                self._cache.drop(TailBlock, set(block_nos))
            self._note_released()
            while not self._is_stopped() and self._compactor.strip(run_no):
                pass
            # Here and not in an append, which would have to wait for it.
            self._compacting.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _tidy(self) -> bool:
        with self._one_compactor:
            return self._compactor.purge()

    def _is_stopped(self) -> bool:
        return self._background is not None and self._background.is_stopped()

    def _backlog(self) -> list[tuple[int, int, int]]:
        """Return the blocks that are not in chunks: run number, values, and keys, which are not known."""
        with self._snapshots.open() as snapshot:
            return [
                (run_no, n_values, 0)
                for run_no, n_values in snapshot.connection.execute(
                    "SELECT run_no, n_values FROM blocks JOIN runs USING (run_no) "
                    "WHERE is_stripped = 0 AND block_no > through AND run_id IS NOT NULL"
                )
            ]

    def _note_released(self) -> None:
        with self._writing:
            released, self._released = self._released, {}
        with self._transaction(self._compacting) as connection:
            connection.executemany(
                "UPDATE writers SET released = max(released, ?) "
                "WHERE writer = ? AND run_no = (SELECT run_no FROM runs WHERE run_id = ?)",
                [(offset, writer, run) for (run, writer), offset in released.items()],
            )

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection | None = None) -> Iterator[sqlite3.Connection]:
        connection = connection or self._connection
        with self._writing, told_apart(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


class _Appender:
    """Writes blocks within one transaction; rows that several blocks touch are written once, by `save`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._connection = connection
        self._writers: dict[tuple[RunId, WriterId], _Writer] = {}
        self._runs: dict[RunId, _Run] = {}

    def append(self, block: Block, body: bytes) -> tuple[int, int] | None:
        """Store `block` as `body`; return its run's number and its own, None if it is there already.

        Raises:
            GapError: it does not begin where its writer's last block ended.
        """
        run = self._run(block.run_id)
        writer = self._writer(run, block)
        if block.end_offset <= writer.end_offset:
            return None
        if block.first_offset != writer.end_offset:
            raise GapError(block.run_id, block.writer, writer.end_offset, block.first_offset)
        cursor = self._execute(
            "INSERT INTO blocks (run_no, writer_no, first_offset, end_offset, n_values, body) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (run.no, writer.no, block.first_offset, block.end_offset, n_values(block), body),
        )
        writer.end_offset = block.end_offset
        run.see(block)
        run.n_bytes += len(body)
        pieces = console_pieces(block)
        if pieces:
            run.n_bytes += append_console(self._connection, run.no, writer.no, pieces)
        assert cursor.lastrowid is not None
        return run.no, cursor.lastrowid

    def save(self) -> None:
        """Write what the blocks changed in their writers and runs."""
        for writer in self._writers.values():
            self._execute(
                "UPDATE writers SET end_offset = ? WHERE writer_no = ?", (writer.end_offset, writer.no)
            )
        for run in self._runs.values():
            # A time that nothing was seen at is infinite, which NULL stands for in the file.
            self._execute(
                "UPDATE runs SET n_bytes = n_bytes + ?, "
                "first_time = nullif(min(ifnull(first_time, 9e999), ?), 9e999), "
                "first_sample_time = nullif(min(ifnull(first_sample_time, 9e999), ?), 9e999) "
                "WHERE run_no = ?",
                (run.n_bytes, run.first_time, run.first_sample_time, run.no),
            )

    def _run(self, run_id: RunId) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            self._execute("INSERT INTO runs (run_id) VALUES (?) ON CONFLICT DO NOTHING", (run_id,))
            (run_no,) = self._execute("SELECT run_no FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            run = self._runs[run_id] = _Run(run_no)
        return run

    def _writer(self, run: _Run, block: Block) -> _Writer:
        writer = self._writers.get((block.run_id, block.writer))
        if writer is None:
            self._execute(
                "INSERT INTO writers (run_no, writer) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (run.no, block.writer),
            )
            row = self._execute(
                "SELECT writer_no, end_offset FROM writers WHERE run_no = ? AND writer = ?",
                (run.no, block.writer),
            ).fetchone()
            writer = self._writers[block.run_id, block.writer] = _Writer(*row)
        return writer


class _Writer:
    def __init__(self, no: int, end_offset: int) -> None:
        self.no, self.end_offset = no, end_offset


class _Run:
    """What the blocks of one transaction add to a run."""

    def __init__(self, no: int) -> None:
        self.no = no
        self.n_bytes = 0
        self.first_time = self.first_sample_time = inf

    def see(self, block: Block) -> None:
        times = np.frombuffer(block.times, "<f8")
        times = times[np.isfinite(times)]
        if times.size:
            self.first_time = min(self.first_time, float(times.min()))
        for _, record in block.records:
            if is_sample(record) and isinstance(record[1], float) and isfinite(record[1]):
                self.first_sample_time = min(self.first_sample_time, record[1])
