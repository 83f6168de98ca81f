"""What SQLite says about a file and its disk, told apart by number and never by text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal.errors import DamagedStoreError, DiskFullError, EpochalError

# What is not ENOSPC, such as a used up quota, comes as a failed write.
_NO_ROOM = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}
_UNREADABLE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def meaning(error: BaseException | None, path: Path) -> EpochalError | None:
    """Return the error of ours that says what `error` of SQLite means for the file at `path`.

    None if it is about neither the file nor the disk, or not from SQLite.
    """
    if isinstance(error, UnicodeDecodeError):
        return DamagedStoreError(f"{path.name}: a text in it is damaged")
    if not isinstance(error, sqlite3.Error):
        return None
    code: int = getattr(error, "sqlite_errorcode", 0)
    if isinstance(error, sqlite3.OperationalError) and not code:
        # Python's own word for a text that is not UTF-8; SQLite's all have a code.
        return DamagedStoreError(f"{path.name}: {error}")
    if code in _NO_ROOM:
        return DiskFullError(path)
    if code in _UNREADABLE or code & 0xFF in _DAMAGED:
        return DamagedStoreError(f"{path.name}: {error}")
    return None


@contextmanager
def told_apart(path: Path) -> Iterator[None]:
    """Turn what SQLite says about the file at `path` or its disk into errors that say what to do.

    Raises:
        DamagedStoreError: the file is damaged, or none of SQLite's.
        DiskFullError: there is no room.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        told = meaning(error, path)
        if told is None:
            raise
        raise told from error
