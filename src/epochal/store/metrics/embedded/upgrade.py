"""Brings the file of an older version forward, in small transactions.

Steps are done in order, each of them a bit at a time, and how far they got is written in the same
transaction.  So a kill at any moment leaves a file that the next opening goes on with.  The number of the
version is raised first: a program that knows only the older one must not read what is half of each.
"""

# ruff: noqa: S608  (statements are put together from constants of this file only)

from __future__ import annotations

import logging
import sqlite3
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

import zstandard

from epochal.store.metrics.embedded import key_table
from epochal.store.metrics.embedded.checksum import N_BYTES, line_checksum, seal, spoil
from epochal.store.metrics.embedded.codec import unpack

_BATCH_ROWS = 500
_BATCH_BYTES = 8 << 20

_log = logging.getLogger(__name__)


class Step(NamedTuple):
    """A part of the way from one version to the next."""

    to_version: int
    # Does some, in an open transaction, behind a position, and returns where it got; None if all was done.
    run: Callable[[sqlite3.Connection, int], int | None]


def is_unfinished(connection: sqlite3.Connection) -> bool:
    """Return whether an upgrade of the file began and did not end."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'upgrade' AND type = 'table'")
    return found.fetchone() is not None


def upgrade(connection: sqlite3.Connection, name: str, version: int, to_version: int) -> None:
    """Bring the file behind `connection` from `version`, or from where an upgrade stopped, to `to_version`.

    Args:
        connection: on which nothing begins a transaction by itself.
        name: of the file, for the log.
        version: of the file.
        to_version: the newest.

    Raises:
        sqlite3.Error: the disk is full, or the file is damaged.  What was done stays done.
    """
    begun = time.monotonic()
    connection.execute("PRAGMA synchronous = NORMAL")
    _begin(connection, version, to_version)
    while _go_on(connection):
        pass
    connection.execute("PRAGMA synchronous = FULL")
    _end(connection)
    seconds = time.monotonic() - begun
    _log.info("%s: upgraded from version %d to %d in %.1f s", name, version, to_version, seconds)


def _begin(connection: sqlite3.Connection, version: int, to_version: int) -> None:
    first = next((i for i, step in enumerate(STEPS) if step.to_version > version), len(STEPS))
    connection.execute("BEGIN IMMEDIATE")
    if not is_unfinished(connection):
        connection.execute("CREATE TABLE upgrade (step INTEGER NOT NULL, position INTEGER NOT NULL) STRICT")
        connection.execute("INSERT INTO upgrade VALUES (?, 0)", (first,))
    connection.execute(f"PRAGMA user_version = {to_version}")
    connection.execute("COMMIT")


def _go_on(connection: sqlite3.Connection) -> bool:
    """Do a bit; return whether there is more to do."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        step, position = connection.execute("SELECT step, position FROM upgrade").fetchone()
        if step >= len(STEPS):
            return False
        reached = STEPS[step].run(connection, position)
        place = (step, reached) if reached is not None else (step + 1, 0)
        connection.execute("UPDATE upgrade SET step = ?, position = ?", place)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return True


def _end(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE upgrade")
    connection.execute("COMMIT")


def _seal_axes(connection: sqlite3.Connection, position: int) -> int | None:
    return _seal(connection, "axes", "axis_no", (), position)


def _seal_chunks(connection: sqlite3.Connection, position: int) -> int | None:
    columns = ("series_no", "level", "is_sealed", "first_step", "last_step", "n", "axis_no")
    return _seal(connection, "chunks", "chunk_no", columns, position)


def _seal(
    connection: sqlite3.Connection, table: str, number: str, columns: tuple[str, ...], position: int
) -> int | None:
    names = ", ".join((number, "body", *columns))
    sealed: list[tuple[bytes, int]] = []
    n_bytes = 0
    for row_no, body, *values in connection.execute(
        f"SELECT {names} FROM {table} WHERE {number} > ? ORDER BY {number} LIMIT {_BATCH_ROWS}", (position,)
    ):
        # What cannot be read now must not look sound afterwards.
        mark = seal if _is_readable(body) else spoil
        sealed.append((mark(body, *values), row_no))
        n_bytes += len(body)
        if n_bytes >= _BATCH_BYTES:
            break
    connection.executemany(f"UPDATE {table} SET body = ? WHERE {number} = ?", sealed)
    return sealed[-1][1] if sealed else None


def _is_readable(body: bytes) -> bool:
    try:
        unpack(body, range(body[0]))
    except (ValueError, IndexError, struct.error, zstandard.ZstdError):
        return False
    return True


def _add_line_checksums(connection: sqlite3.Connection, _: int) -> None:
    connection.execute("ALTER TABLE console ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")


def _sum_lines(connection: sqlite3.Connection, run_no: int) -> int | None:
    row = connection.execute("SELECT min(run_no) FROM console WHERE run_no > ?", (run_no,)).fetchone()
    if row[0] is None:
        return None
    connection.create_function("line_checksum", 5, line_checksum, deterministic=True)
    connection.execute(
        "UPDATE console SET checksum = "
        "line_checksum(sequence, part, time, CAST(stream AS BLOB), CAST(text AS BLOB)) WHERE run_no = ?",
        (row[0],),
    )
    return int(row[0])


def _count_checksums(connection: sqlite3.Connection, _: int) -> None:
    added: dict[int, int] = {}
    for statement in (
        "SELECT run_no, count(*) FROM chunks JOIN series USING (series_no) GROUP BY run_no",
        "SELECT run_no, count(*) FROM axes GROUP BY run_no",
    ):
        for run_no, n in connection.execute(statement):
            added[run_no] = added.get(run_no, 0) + N_BYTES * n
    connection.executemany("UPDATE runs SET n_bytes = n_bytes + ?2 WHERE run_no = ?1", list(added.items()))


def _add_keys(connection: sqlite3.Connection, _: int) -> None:
    for statement in (*key_table.STATEMENTS, key_table.FILL):
        connection.execute(statement)


# Never changed and only added to: an unfinished upgrade says by its number which step it is in.
STEPS: tuple[Step, ...] = (
    Step(2, _seal_axes),
    Step(2, _seal_chunks),
    Step(2, _add_line_checksums),
    Step(2, _sum_lines),
    Step(2, _count_checksums),
    Step(3, _add_keys),
)
