"""The tables of a metric store's file, and how the file is opened.  docs/formats/metric-store.md says why."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from epochal.base.sqlite_errors import told_apart
from epochal.errors import NewerDataFolderError
from epochal.store.metrics.embedded import key_table
from epochal.store.metrics.embedded.upgrade import is_unfinished, upgrade

VERSION = 3

# A chunk is a value of a few kilobytes, at the end of which half a page is empty on average; with 8 KiB that
# is half a byte a point.
_PAGE_BYTES = 4096
# The write-ahead log is folded into the file by the compactor; this many pages (64 MB) are the limit beyond
# which an append does it itself.
_CHECKPOINT_PAGES = 16384
# What the log's file is cut to once it is folded.
_LOG_BYTES = 8 << 20

_TABLES = """
CREATE TABLE runs (
    run_no INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: what is left of a deleted run goes later
    run_id TEXT UNIQUE,                        -- NULL once the run is deleted
    through INTEGER NOT NULL DEFAULT 0,        -- every block up to this one is in chunks
    first_time REAL,                           -- the earliest time of a row
    first_sample_time REAL,                    -- the earliest time of a system sample
    n_lines INTEGER NOT NULL DEFAULT 0,        -- of the console
    n_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE writers (
    writer_no INTEGER PRIMARY KEY,
    run_no INTEGER NOT NULL,
    writer TEXT NOT NULL,
    end_offset INTEGER NOT NULL DEFAULT 0,
    released INTEGER NOT NULL DEFAULT 0,       -- nobody asks for rows before this offset again
    UNIQUE (run_no, writer)
) STRICT;
CREATE TABLE blocks (
    block_no INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of arrival: the later block's write wins
    run_no INTEGER NOT NULL,
    writer_no INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    n_values INTEGER NOT NULL,
    is_stripped INTEGER NOT NULL DEFAULT 0,    -- its rows and columns are in chunks only
    body BLOB NOT NULL
) STRICT;
CREATE INDEX whole_blocks_of_run ON blocks (run_no, block_no, n_values) WHERE is_stripped = 0;
CREATE INDEX blocks_of_writer ON blocks (writer_no, first_offset);
CREATE TABLE series (
    series_no INTEGER PRIMARY KEY,
    run_no INTEGER NOT NULL,
    stream INTEGER NOT NULL,                   -- 0 history, 1 system
    kind INTEGER NOT NULL,                     -- 0 the rows themselves, 1 numbers, 2 other values
    key TEXT NOT NULL,
    through INTEGER NOT NULL DEFAULT 0,        -- every block up to this one is in chunks
    type TEXT NOT NULL,
    n_points INTEGER NOT NULL DEFAULT 0,       -- in chunks
    first_step INTEGER,
    last_step INTEGER,
    min_time REAL,
    max_time REAL,
    is_time_sorted INTEGER NOT NULL DEFAULT 1,  -- times never fall as steps rise
    top_level INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run_no, stream, kind, key)
) STRICT;
CREATE TABLE chunks (
    chunk_no INTEGER PRIMARY KEY AUTOINCREMENT,
    series_no INTEGER NOT NULL,
    level INTEGER NOT NULL,                    -- 0: points; above: buckets
    is_sealed INTEGER NOT NULL,                -- full: the level above tells about it
    first_step INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    n INTEGER NOT NULL,
    axis_no INTEGER NOT NULL,                  -- steps and times, shared by keys logged together
    body BLOB NOT NULL                         -- ends in its checksum
) STRICT;
CREATE UNIQUE INDEX chunks_of_series ON chunks (series_no, level, first_step);
CREATE TABLE axes (
    axis_no INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: readers keep what they decoded
    run_no INTEGER NOT NULL,
    n_chunks INTEGER NOT NULL,                 -- that share it
    body BLOB NOT NULL                         -- ends in its checksum
) STRICT;
CREATE INDEX axes_of_run ON axes (run_no);
CREATE TABLE console (
    run_no INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    part INTEGER NOT NULL,                     -- a line that grows gets further parts
    time REAL NOT NULL,
    stream TEXT NOT NULL,
    text TEXT NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_no, sequence, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE console_open (                    -- lines without an end yet
    writer_no INTEGER NOT NULL,
    stream TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    n_parts INTEGER NOT NULL,
    PRIMARY KEY (writer_no, stream)
) STRICT, WITHOUT ROWID;
"""


# Made where it is missing, of whatever version the file is.
_DELETED_RUNS = """
CREATE TABLE IF NOT EXISTS deleted_runs (      -- ids of runs deleted for good
    run_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID
"""


def open_file(path: Path) -> None:
    """Create the file with its tables if it is not there; bring one of an older version up to this one.

    Raises:
        NewerDataFolderError: the file was written by a newer version.
        DamagedStoreError: it is not a metric store's file, or damaged.
        DiskFullError: there is no room to make or to upgrade it.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        with told_apart(path):
            _create_or_upgrade(connection, path)
    finally:
        connection.close()


def _create_or_upgrade(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise NewerDataFolderError(path, str(version), str(VERSION))
    if version == 0:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        tables = ";".join([_TABLES, *key_table.STATEMENTS])
        connection.executescript(f"BEGIN IMMEDIATE; {tables}; PRAGMA user_version = {VERSION}; COMMIT;")
    elif version < VERSION or is_unfinished(connection):
        upgrade(connection, path.name, version, VERSION)
    connection.execute(_DELETED_RUNS)


def connect(path: Path, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> sqlite3.Connection:
    """Return a connection in which nothing begins a transaction by itself.

    Args:
        path: of a file that `open_file` has seen.
        synchronous: FULL syncs the log at every commit, so what an append returned from survives a power
            cut.  NORMAL leaves that to the next FULL commit, which is enough for work that can be done again.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60.0)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    # Debian's SQLite writes zeros over all that is deleted; where that costs writing more, it is not done.
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute("PRAGMA cache_size = -16384")
    return connection
