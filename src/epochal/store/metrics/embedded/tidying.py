"""Gives space back: blocks whose rows are in chunks, what deleted runs left behind, and pages of the file.

All of it in small transactions beside ingest and queries; how small is learnt from how long they take.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence

from msgspec.structs import replace

from epochal.errors import BlockError, DamagedStoreError
from epochal.store.metrics.embedded.blocks import CONSOLE_RECORD, SYSTEM_RECORD
from epochal.store.metrics.embedded.snapshot import Snapshots
from epochal.store.metrics.embedded.writing import FileWriter, Pace
from epochal.wire.block import Block, decode_without_rows, encode

# The pages of a large block are freed one by one, so a transaction takes few of those.
_BATCH_BYTES = 4 << 20
_BATCH_BLOCKS = 64
# Free pages are used again, so some are kept: of the whole file, and in any case.
_FREE_SHARE = 0.1
_FREE_PAGES = 512
_VACUUM_S = 0.008

# What a run has in each table, some of it at a time: rows that count as one, and how to remove them.
_PURGES = (
    (1, "DELETE FROM axes WHERE axis_no IN (SELECT axis_no FROM axes WHERE run_no = ? LIMIT ?)"),
    (
        10,
        "DELETE FROM console_open WHERE (writer_no, stream) IN (SELECT writer_no, stream FROM console_open "
        "JOIN writers USING (writer_no) WHERE run_no = ? LIMIT ?)",
    ),
    (
        10,
        "DELETE FROM console WHERE (run_no, sequence, part) IN "
        "(SELECT run_no, sequence, part FROM console WHERE run_no = ? LIMIT ?)",
    ),
    (10, "DELETE FROM writers WHERE writer_no IN (SELECT writer_no FROM writers WHERE run_no = ? LIMIT ?)"),
)


class Tidier:
    """Gives the space of one file back.

    Args:
        snapshots: to read by.
        writer: to write by.
        clock: monotonic seconds.
    """

    def __init__(
        self, snapshots: Snapshots, writer: FileWriter, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._snapshots, self._writer, self._clock = snapshots, writer, clock
        self._pace = Pace(first=50, least=10, most=2000)

    def strip(self, run_no: int) -> bool:
        """Take out of some of a run's blocks what is in chunks and was released; return whether any were."""
        found = self._strippable(run_no)
        if not found:
            return False
        bodies = [(no, n_bytes, None if b is None else encode(b)) for no, n_bytes, b in found]
        with self._writer.later() as connection:
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

    def _strippable(self, run_no: int) -> list[tuple[int, int, Block | None]]:
        """Return a few blocks: number, bytes, and what is to be kept of each, None for nothing."""
        with self._snapshots.open() as snapshot:
            execute = snapshot.connection.execute
            sizes = execute(
                "SELECT block_no, length(body) FROM blocks JOIN writers USING (writer_no) "
                "JOIN runs ON runs.run_no = blocks.run_no WHERE blocks.run_no = ? AND is_stripped = 0 "
                "AND block_no <= through AND blocks.end_offset <= released ORDER BY block_no LIMIT ?",
                (run_no, _BATCH_BLOCKS),
            ).fetchall()
            found = []
            for block_no, n_bytes in _within(sizes, _BATCH_BYTES):
                (body,) = execute("SELECT body FROM blocks WHERE block_no = ?", (block_no,)).fetchone()
                found.append((block_no, n_bytes, _rest_of(block_no, body)))
            return found

    def purge(self, arriving: Collection[int]) -> bool:
        """Remove some of what deleted runs left behind; return whether there was any.

        Args:
            arriving: numbers of runs that are being copied here, and have no id yet either.
        """
        with self._writer.later() as connection, self._pace.timed():
            gone = connection.execute("SELECT run_no FROM runs WHERE run_id IS NULL")
            run_no = next((no for (no,) in gone if no not in arriving), None)
            if run_no is None:
                return False
            _purge_some(connection, run_no, self._pace.n)
        return True

    def vacuum(self) -> bool:
        """Give some free pages back to the file system if there are many; return whether any were."""
        with self._writer.later() as connection:
            wanted = _n_to_free(connection)
            until = self._clock() + _VACUUM_S
            # One by one: Python's sqlite3 takes one step of this statement, and one step frees one page.
            while wanted > 0 and self._clock() < until:
                connection.execute("PRAGMA incremental_vacuum(1)")
                wanted -= 1
        return wanted > 0


def _within(sizes: Sequence[tuple[int, int]], n_bytes: int) -> Sequence[tuple[int, int]]:
    """Return the first of `sizes`, (number, bytes), that have so many bytes together, and one at least."""
    total = 0
    for place, (_, size) in enumerate(sizes):
        total += size
        if total > n_bytes:
            return sizes[: max(1, place)]
    return sizes


def _rest_of(block_no: int, body: bytes) -> Block | None:
    """Return the block in `body` without what is in chunks and the console, None if nothing is left.

    Raises:
        DamagedStoreError: it is damaged.
    """
    try:
        block = decode_without_rows(body)
    except BlockError as error:
        raise DamagedStoreError(f"the block {block_no}: {error}") from error
    records = [r for r in block.records if not r[1] or r[1][0] not in (CONSOLE_RECORD, SYSTEM_RECORD)]
    return replace(block, records=records) if records or block.losses else None


def _purge_some(connection: sqlite3.Connection, run_no: int, n_rows: int) -> None:
    """Remove a bounded part of what a deleted run left behind, in the end the run itself."""
    execute = connection.execute
    left = n_rows - _purge_series(connection, run_no, n_rows)
    if left > 0:
        left -= _purge_blocks(connection, run_no, left)
    for n_each, statement in _PURGES:
        if left > 0:
            left -= execute(statement, (run_no, left * n_each)).rowcount // n_each
    if left > 0:
        execute("DELETE FROM runs WHERE run_no = ?", (run_no,))


def _purge_series(connection: sqlite3.Connection, run_no: int, n_rows: int) -> int:
    """Remove series and their chunks; return how many rows, `n_rows` if there may be more."""
    series = connection.execute(
        "SELECT series_no FROM series WHERE run_no = ? LIMIT ?", (run_no, n_rows)
    ).fetchall()
    left = n_rows
    for (series_no,) in series:
        left -= connection.execute(
            "DELETE FROM chunks WHERE chunk_no IN (SELECT chunk_no FROM chunks WHERE series_no = ? LIMIT ?)",
            (series_no, left),
        ).rowcount
        if left <= 0:
            return n_rows
        connection.execute("DELETE FROM series WHERE series_no = ?", (series_no,))
        left -= 1
        if left <= 0:
            return n_rows
    return n_rows - left


def _purge_blocks(connection: sqlite3.Connection, run_no: int, n_rows: int) -> int:
    """Remove blocks; return how many rows, `n_rows` if there may be more."""
    sizes = connection.execute(
        "SELECT block_no, length(body) FROM blocks JOIN writers USING (writer_no) "
        "WHERE writers.run_no = ? LIMIT ?",
        (run_no, n_rows),
    ).fetchall()
    removed = _within(sizes, _BATCH_BYTES)
    connection.executemany("DELETE FROM blocks WHERE block_no = ?", [(no,) for no, _ in removed])
    return len(removed) if len(removed) == len(sizes) else n_rows


def _n_to_free(connection: sqlite3.Connection) -> int:
    (n_free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (n_pages,) = connection.execute("PRAGMA page_count").fetchone()
    kept = max(_FREE_PAGES, int(n_pages * _FREE_SHARE))
    return int(n_free) - kept if n_free > kept else 0
