"""One state of the file, as a reader sees it while others write."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from epochal.base.sqlite_errors import told_apart
from epochal.errors import BlockError, DamagedStoreError
from epochal.ids import RunId
from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.blocks import KeySets, Tail, TailBlock
from epochal.store.metrics.embedded.cache import CachePart
from epochal.store.metrics.embedded.chunks import Chunks, ChunkSizes
from epochal.store.metrics.embedded.schema import connect
from epochal.wire.block import Block, decode

STREAM_NUMBERS: dict[Stream, int] = {"history": 0, "system": 1}

_MAX_IDLE_CONNECTIONS = 8


class RunRow(NamedTuple):
    """A run, from the table `runs`."""

    run_no: int
    through: int
    first_time: float | None
    first_sample_time: float | None
    n_lines: int


class Snapshot:
    """A read transaction and what was looked up in it."""

    def __init__(
        self, connection: sqlite3.Connection, cache: CachePart, chunks: Chunks, key_sets: KeySets
    ) -> None:
        self.connection = connection
        self.chunks = chunks
        self._cache, self._key_sets = cache, key_sets
        self._runs: dict[RunId, RunRow | None] = {}
        self._blocks: dict[int, list[tuple[int, TailBlock]]] = {}
        self._tails: dict[tuple[int, Stream, int], Tail] = {}

    def run(self, run_id: RunId) -> RunRow | None:
        """Return the run, or None if the store does not know it."""
        if run_id not in self._runs:
            row = self.connection.execute(
                "SELECT run_no, through, first_time, first_sample_time, n_lines FROM runs WHERE run_id = ?",
                (run_id,),
            ).fetchone()
            self._runs[run_id] = None if row is None else RunRow(*row)
        return self._runs[run_id]

    def run_numbered(self, run_no: int) -> RunRow | None:
        """Return the run with that number, or None if it was deleted."""
        row = self.connection.execute(
            "SELECT run_no, through, first_time, first_sample_time, n_lines FROM runs "
            "WHERE run_no = ? AND run_id IS NOT NULL",
            (run_no,),
        ).fetchone()
        return None if row is None else RunRow(*row)

    def block(self, block_no: int) -> TailBlock:
        """Return a block for one use: it is not kept for others."""
        return self._cache.find(TailBlock, block_no) or self._load(block_no)

    def whole_block(self, block_no: int) -> Block:
        """Return a block as it came."""
        row = self.connection.execute("SELECT body FROM blocks WHERE block_no = ?", (block_no,)).fetchone()
        return read_block(block_no, row and row[0])

    def tail(self, run: RunRow, stream: Stream, through: int = 0) -> Tail:
        """Return the run's rows that are not in chunks.

        Args:
            run: of this snapshot.
            stream: which of its rows.
            through: leave out blocks up to this one too.
        """
        through = max(run.through, through)
        tail = self._tails.get((run.run_no, stream, through))
        if tail is None:
            blocks = [block for block_no, block in self.numbered_tail(run) if block_no > through]
            tail = self._tails[run.run_no, stream, through] = Tail(blocks, stream)
        return tail

    def numbered_tail(self, run: RunRow) -> list[tuple[int, TailBlock]]:
        """Return the run's blocks that are not in chunks, with their numbers, in order of arrival."""
        tail = self._blocks.get(run.run_no)
        if tail is None:
            numbers = self.tail_numbers(run)
            tail = self._blocks[run.run_no] = [(no, self._tail_block(no)) for no in numbers]
        return tail

    def tail_numbers(self, run: RunRow) -> list[int]:
        """Return the numbers of the run's blocks that are not in chunks, in order of arrival."""
        rows = self.connection.execute(
            "SELECT block_no FROM blocks WHERE run_no = ? AND block_no > ? AND is_stripped = 0 "
            "ORDER BY block_no",
            (run.run_no, run.through),
        )
        return [block_no for (block_no,) in rows]

    def run_ids(self) -> list[RunId]:
        """Return the runs that there are."""
        rows = self.connection.execute("SELECT run_id FROM runs WHERE run_id IS NOT NULL ORDER BY run_no")
        return [RunId(run_id) for (run_id,) in rows]

    def _tail_block(self, block_no: int) -> TailBlock:
        return self._cache.get(TailBlock, block_no, lambda: self._load(block_no), TailBlock.size)

    def _load(self, block_no: int) -> TailBlock:
        return TailBlock(self.whole_block(block_no), self._key_sets)


def read_block(block_no: int, body: object) -> Block:
    """Return the block in `body`, as it came from the file.  zstd keeps its checksum.

    Raises:
        DamagedStoreError: it is damaged.
    """
    if not isinstance(body, bytes):
        raise DamagedStoreError(f"the block {block_no} is missing")
    try:
        return decode(body)
    except BlockError as error:
        raise DamagedStoreError(f"the block {block_no}: {error}") from error


class Snapshots:
    """Hands out snapshots of one file; connections are used again."""

    def __init__(self, path: Path, cache: CachePart, sizes: ChunkSizes, key_sets: KeySets) -> None:
        self._path, self._cache, self._sizes, self._key_sets = path, cache, sizes, key_sets
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._is_closed = False

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        """Give a snapshot for the time of the block.

        Raises:
            DamagedStoreError: what is read in it is damaged.
        """
        with told_apart(self._path):
            yield from self._open()

    def _open(self) -> Iterator[Snapshot]:
        connection = self._take()
        try:
            connection.execute("BEGIN")
            try:
                chunks = Chunks(connection, self._cache, self._sizes)
                yield Snapshot(connection, self._cache, chunks, self._key_sets)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
            raise
        finally:
            self._put(connection)

    def close(self) -> None:
        """Close the idle connections; those in use close when they are given back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = connect(self._path)
        connection.execute("PRAGMA query_only = 1")
        return connection

    def _put(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < _MAX_IDLE_CONNECTIONS and _is_open(connection):
                self._idle.append(connection)
                return
        connection.close()


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return not connection.in_transaction
    except sqlite3.ProgrammingError:
        return False
