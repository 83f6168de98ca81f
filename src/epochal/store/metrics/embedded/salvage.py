"""A new file with every row of a damaged one that SQLite can still give.

Rows are read by their numbers and never by an index, and what cannot be read is stepped over.  Whether a
row's body is sound is not asked here: the repair does that.
"""

# ruff: noqa: S608  (statements are put together from constants of this file only)

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from epochal.errors import DamagedStoreError
from epochal.store.metrics.embedded.schema import VERSION, open_file

_TABLES = ("runs", "writers", "blocks", "series", "chunks", "axes")
# Without row numbers, and their keys.
_KEYED_TABLES = {
    "console": ("run_no", "sequence", "part"),
    "console_open": ("writer_no", "stream"),
    "deleted_runs": ("run_id",),
}
_MAX_NUMBER = 1 << 40
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, OverflowError)


def salvage(path: Path, aside: Path) -> list[str]:
    """Replace the file at `path` by a sound one with what can be read of it; return what was done.

    A kill at any moment leaves the old file or the new one.

    Args:
        path: of the damaged file; nobody else may have it open.
        aside: where the damaged file is kept.

    Raises:
        DamagedStoreError: it was written by another version, so nothing can be told of its rows.
    """
    new = path.with_name(f"{path.name}.new")
    for leftover in (new, Path(f"{new}-wal"), Path(f"{new}-shm")):
        leftover.unlink(missing_ok=True)
    open_file(new)
    counts = _copy(path, new)
    aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for end in ("", "-wal"):
        with suppress(FileNotFoundError):
            _keep(Path(f"{path}{end}"), Path(f"{aside}{end}"))
    # What is in the log was read with the file.  It goes first: it must never be applied to the new one.
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    new.replace(path)
    _sync(path.parent)
    told = ", ".join(f"{n} of {table}" for table, n in counts.items())
    return [f"the file was made anew from what could be read of it ({told}); the old one is {aside}"]


def _copy(path: Path, new: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    with closing(sqlite3.connect(new, isolation_level=None)) as target:
        target.execute("PRAGMA synchronous = OFF")
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as source:
                source.text_factory = lambda text: text.decode(errors="replace")
                _check_version(source, path)
                for table in _TABLES:
                    counts[table] = _insert(target, table, _numbered_rows(source, table))
                for table in _KEYED_TABLES:
                    counts[table] = _insert(target, table, _rows_from_both_ends(source, table))
        except sqlite3.Error:
            pass  # Not even the names of its tables: nothing can be had of it.
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with new.open("rb") as file:
        os.fsync(file.fileno())
    return counts


def _check_version(source: sqlite3.Connection, path: Path) -> None:
    (version,) = source.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise DamagedStoreError(
            f"{path.name} is of version {version} and cannot be upgraded since it is damaged"
        )


def _insert(target: sqlite3.Connection, table: str, rows: Iterator[Sequence[object]]) -> int:
    n = 0
    target.execute("BEGIN")
    for row in rows:
        places = ", ".join("?" * len(row))
        # A row of the wrong types, or one whose like is there already, is none.
        with suppress(sqlite3.IntegrityError, sqlite3.OperationalError, OverflowError):
            n += target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row).rowcount
    target.execute("COMMIT")
    return n


def _numbered_rows(source: sqlite3.Connection, table: str) -> Iterator[Sequence[object]]:
    """Yield the rows of a table by number; what cannot be read is stepped over."""
    at: int | None = -1
    while at is not None:
        try:
            for number, *row in source.execute(
                f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid > ? ORDER BY rowid", (at,)
            ):
                yield row
                at = number
            return
        except _UNREADABLE:
            at = _past_damage(source, table, at)


def _past_damage(source: sqlite3.Connection, table: str, at: int) -> int | None:
    """Return behind which number rows can be read again, when they cannot be behind `at`; None if nowhere.

    The distance is doubled until it is far enough and then halved: a lost page holds hundreds of rows.
    """
    far = 1
    while not _can_read(source, table, at + far):
        far *= 2
        if far > _MAX_NUMBER:
            return None
    near = far // 2
    while far - near > 1:
        middle = (near + far) // 2
        near, far = (near, middle) if _can_read(source, table, at + middle) else (middle, far)
    return at + far


def _can_read(source: sqlite3.Connection, table: str, at: int) -> bool:
    try:
        source.execute(
            f"SELECT * FROM {table} NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT 1", (at,)
        ).fetchone()
    except _UNREADABLE:
        return False
    return True


def _rows_from_both_ends(source: sqlite3.Connection, table: str) -> Iterator[Sequence[object]]:
    """Yield the rows of a table without numbers, from the first and from the last on until damage."""
    for order in ("", " DESC"):
        by = ", ".join(f"{column}{order}" for column in _KEYED_TABLES[table])
        try:
            yield from source.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY {by}")
        except _UNREADABLE:
            continue
        return


def _keep(path: Path, aside: Path) -> None:
    """Give a file a second name, or a copy where the file system has no such names."""
    import shutil

    try:
        os.link(path, aside)
    except FileExistsError:
        return
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, aside)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
