"""The file that holds the fields of runs as columns, in parts of neighbouring runs.

It is made from the metadata and holds nothing that cannot be made again: a file that is damaged, or belongs
to another store, is thrown away.  So it is a file of its own, and SQLite whatever the metadata is in.
The format is in docs/formats/data-folder.md.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
_BUSY_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE projects (project INTEGER PRIMARY KEY, version INTEGER NOT NULL);
CREATE TABLE parts (
    part INTEGER PRIMARY KEY, project INTEGER NOT NULL, first_key INTEGER NOT NULL, keys BLOB NOT NULL
);
CREATE UNIQUE INDEX parts_by_key ON parts (project, first_key);
CREATE TABLE chunks (
    project INTEGER NOT NULL, field TEXT NOT NULL, part INTEGER NOT NULL,
    n_cells INTEGER NOT NULL, kinds INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX chunks_by_field ON chunks (project, field, part);
CREATE INDEX chunks_by_part ON chunks (part);
"""
_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Runs that lie together."""

    part: int
    first_key: int  # it has all runs from this key to before the next part's
    keys: NDArray[np.int64]  # rising


class NewChunk(NamedTuple):
    """One field of a part that is written."""

    field: str
    n_cells: int
    kinds: int  # bit 1 << kind for every kind that occurs
    data: bytes


class FieldCount(NamedTuple):
    """A field, over all parts."""

    field: str
    n_cells: int
    kinds: int


class PartFile:
    """The columns on disk.  Thread-safe for one writer and many readers.

    Args:
        path: of the file, which is made where it is missing.
        epoch: of the metadata store that it is made from.
        version: that store's; a file that knows more was made from a later state, which was undone.

    Raises:
        OSError: the file cannot be made.
        sqlite3.Error: likewise.
    """

    def __init__(self, path: Path, epoch: int, version: int) -> None:
        self._path = path
        try:
            fits = self._fits(epoch, version)
        except sqlite3.DatabaseError:
            fits = False
        if not fits:
            self._make(epoch)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of the file."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection in a transaction."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        # A power cut may cost the newest parts, never the file's soundness.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _fits(self, epoch: int, version: int) -> bool:
        if not self._path.exists() or self._path.stat().st_size == 0:
            return False
        with self.read() as connection:
            about = dict(connection.execute("SELECT name, value FROM about"))
            known = connection.execute("SELECT max(version) FROM projects").fetchone()[0] or 0
        fits = about == {"format": FORMAT, "epoch": epoch} and known <= version
        if not fits:
            _log.info("%s belongs to another state of the metadata, and is made again", self._path)
        return fits

    def _make(self, epoch: int) -> None:
        remove_file(self._path)
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA page_size = 8192")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            connection.executemany("INSERT INTO about VALUES (?, ?)", [("format", FORMAT), ("epoch", epoch)])


def remove_file(path: Path) -> None:
    """Remove a file of parts, with SQLite's own files beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def version_of(connection: sqlite3.Connection, project: int) -> int:
    """Return the version up to which the parts of a project hold every change; 0 if it has none."""
    row = connection.execute("SELECT version FROM projects WHERE project = ?", (project,)).fetchone()
    return int(row[0]) if row else 0


def parts_of(connection: sqlite3.Connection, project: int) -> list[Part]:
    """Return the parts of a project in the order of their runs."""
    found = connection.execute(
        "SELECT part, first_key, keys FROM parts WHERE project = ? ORDER BY first_key", (project,)
    )
    return [Part(part, first, np.frombuffer(keys, "<i8").astype(np.int64)) for part, first, keys in found]


def chunks_of(connection: sqlite3.Connection, project: int, field: str) -> list[tuple[int, bytes]]:
    """Return (part, chunk) of every part with the field."""
    query = "SELECT part, data FROM chunks WHERE project = ? AND field = ?"
    return connection.execute(query, (project, field)).fetchall()


def chunk_of(connection: sqlite3.Connection, project: int, field: str, part: int) -> bytes | None:
    """Return the chunk of a field in one part."""
    query = "SELECT data FROM chunks WHERE project = ? AND field = ? AND part = ?"
    row = connection.execute(query, (project, field, part)).fetchone()
    return bytes(row[0]) if row else None


def counts_of(connection: sqlite3.Connection, project: int, prefix: str) -> Iterator[FieldCount]:
    """Yield the fields that begin with `prefix`, in order."""
    found = connection.execute(
        "SELECT field, sum(n_cells), kinds, min(kinds) = max(kinds), group_concat(DISTINCT kinds) "
        "FROM chunks WHERE project = ? AND field >= ? AND field < ? GROUP BY field ORDER BY field",
        (project, prefix, prefix + "\U0010ffff"),
    )
    for field, n_cells, kinds, is_same, every in found:
        if not is_same:
            kinds = int(np.bitwise_or.reduce([int(k) for k in every.split(",")]))
        yield FieldCount(field, n_cells, kinds)


def replace_part(
    connection: sqlite3.Connection,
    project: int,
    first_key: int,
    keys: Sequence[int],
    chunks: Iterable[NewChunk],
) -> None:
    """Write a part; one that begins at the same key must be gone."""
    stored = np.array(keys, "<i8").tobytes()
    cursor = connection.execute(
        "INSERT INTO parts (project, first_key, keys) VALUES (?, ?, ?)", (project, first_key, stored)
    )
    connection.executemany(
        "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
        ((project, c.field, cursor.lastrowid, c.n_cells, c.kinds, c.data) for c in chunks),
    )


def drop_parts(connection: sqlite3.Connection, parts: Iterable[int]) -> None:
    """Delete parts with all their chunks."""
    for part in parts:
        connection.execute("DELETE FROM chunks WHERE part = ?", (part,))
        connection.execute("DELETE FROM parts WHERE part = ?", (part,))


def set_version(connection: sqlite3.Connection, project: int, version: int) -> None:
    """Say that the parts of a project hold every change up to `version`."""
    connection.execute("INSERT OR REPLACE INTO projects VALUES (?, ?)", (project, version))
