"""Is a metric store's file what was written: every checksum, and everything that must be so in every file?

It only reads, one state of the file per run, so it works beside a running server and holds nothing up.
docs/formats/metric-store.md says what must be so.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from epochal.errors import DamagedStoreError, NewerDataFolderError
from epochal.ids import RunId
from epochal.store.metrics.embedded.blocks import KeySets, n_values
from epochal.store.metrics.embedded.cache import Cache
from epochal.store.metrics.embedded.check_series import check_series
from epochal.store.metrics.embedded.checksum import is_line
from epochal.store.metrics.embedded.chunks import Chunks, ChunkSizes, SeriesRow
from epochal.store.metrics.embedded.schema import VERSION
from epochal.store.metrics.embedded.snapshot import Snapshot, read_block
from epochal.store.metrics.embedded.upgrade import is_unfinished

ProblemKind = Literal["file", "version", "block", "series", "axis", "console", "count", "orphan", "metadata"]
Tell = Callable[[int], None]

_CACHE_BYTES = 32 << 20
_MAX_SQLITE_MESSAGES = 100

ORPHANS = {
    "blocks": "run_no NOT IN (SELECT run_no FROM runs) OR writer_no NOT IN (SELECT writer_no FROM writers)",
    "writers": "run_no NOT IN (SELECT run_no FROM runs)",
    "series": "run_no NOT IN (SELECT run_no FROM runs)",
    "chunks": "series_no NOT IN (SELECT series_no FROM series)",
    "axes": "run_no NOT IN (SELECT run_no FROM runs)",
    "console": "run_no NOT IN (SELECT run_no FROM runs)",
    "console_open": "writer_no NOT IN (SELECT writer_no FROM writers)",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it must be."""

    kind: ProblemKind
    run: str | None = None  # its id; None if it is of the file
    what: str  # a sentence without its full stop


class _Run(NamedTuple):
    run_no: int
    run_id: str | None
    through: int
    n_lines: int
    n_bytes: int


def check_file(
    path: Path, runs: Collection[str] | None = None, tell: Tell = lambda _: None
) -> Iterator[Problem]:
    """Yield what is wrong with the metric store's file at `path`.

    Args:
        path: of the file; it is not changed.
        runs: look at these only, by id, and not at the file as a whole.
        tell: is given the bytes of everything that was looked at.

    Raises:
        NewerDataFolderError: a newer version wrote it.
    """
    try:
        with closing(open_to_read(path)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise NewerDataFolderError(path, str(version), str(VERSION))
            if version < VERSION or is_unfinished(connection):
                what = f"it is of version {version}, and will be upgraded when the server opens it"
                yield Problem(kind="version", what=what)
                return
            yield from _check_all(connection, runs, tell)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        yield Problem(kind="file", what=f"SQLite cannot read it: {error}")


def open_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot change the file.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _check_all(connection: sqlite3.Connection, runs: Collection[str] | None, tell: Tell) -> Iterator[Problem]:
    if runs is None:
        yield from _check_database(connection)
    found = connection.execute("SELECT run_no, run_id FROM runs ORDER BY run_no").fetchall()
    for run_no, run_id in found:
        if run_id is not None and (runs is None or run_id in runs):
            yield from check_run(connection, run_no, tell)
    if runs is None:
        yield from _check_orphans(connection)


def _check_database(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (message,) in connection.execute(f"PRAGMA integrity_check({_MAX_SQLITE_MESSAGES})"):
        if message != "ok":
            yield Problem(kind="file", what=f"SQLite: {message}")


def _check_orphans(connection: sqlite3.Connection) -> Iterator[Problem]:
    with one_state(connection):
        for table, condition in ORPHANS.items():
            (n,) = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()  # noqa: S608
            if n:
                yield Problem(kind="orphan", what=f"{n} rows of the table {table} belong to nothing")


@contextmanager
def one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """Read one state of the file for the time of the block."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def check_run(connection: sqlite3.Connection, run_no: int, tell: Tell = lambda _: None) -> Iterator[Problem]:
    """Yield what is wrong with one run; nothing if it is gone."""
    with one_state(connection):
        row = connection.execute(
            "SELECT run_no, run_id, through, n_lines, n_bytes FROM runs "
            "WHERE run_no = ? AND run_id IS NOT NULL",
            (run_no,),
        ).fetchone()
        if row is None:
            return
        run = _Run(*row)
        try:
            yield from (
                msgspec.structs.replace(p, run=run.run_id)
                for p in _RunCheck(connection, run, tell).problems()
            )
        except sqlite3.Error as error:
            yield Problem(kind="file", run=run.run_id, what=f"SQLite cannot read it: {error}")


class _RunCheck:
    def __init__(self, connection: sqlite3.Connection, run: _Run, tell: Tell) -> None:
        self._execute, self._run, self._tell = connection.execute, run, tell
        cache = Cache(_CACHE_BYTES).part()
        self._chunks = Chunks(connection, cache, ChunkSizes())
        self._n_bytes = 0

    def problems(self) -> Iterator[Problem]:
        yield from self._blocks()
        yield from self._all_series()
        yield from self._axes()
        yield from self._console()
        if self._n_bytes != self._run.n_bytes:
            what = f"it says that it takes {self._run.n_bytes} bytes, and takes {self._n_bytes}"
            yield Problem(kind="count", what=what)

    def _blocks(self) -> Iterator[Problem]:
        writers = self._execute(
            "SELECT writer_no, writer, end_offset, released FROM writers WHERE run_no = ?",
            (self._run.run_no,),
        ).fetchall()
        for writer_no, writer, end_offset, released in writers:
            at = 0
            rows = self._execute(
                "SELECT block_no, first_offset, end_offset, is_stripped, n_values, body FROM blocks "
                "WHERE writer_no = ? ORDER BY first_offset",
                (writer_no,),
            )
            for block_no, first, end, is_stripped, n, body in rows:
                self._count(body)
                if first < at or first > max(at, released):
                    yield Problem(
                        kind="block", what=f"the block {block_no} of {writer} begins at {first}, not at {at}"
                    )
                at = end
                yield from self._block(block_no, (writer, first, end), is_stripped, n, body)
            if (at < end_offset and end_offset > released) or at > end_offset:
                yield Problem(kind="block", what=f"the blocks of {writer} end at {at}, not at {end_offset}")

    def _block(
        self, block_no: int, name: tuple[str, int, int], is_stripped: int, n: int, body: object
    ) -> Iterator[Problem]:
        try:
            block = read_block(block_no, body)
        except DamagedStoreError as error:
            yield Problem(kind="block", what=error.what)
            return
        if (block.run_id, block.writer, block.first_offset, block.end_offset) != (self._run.run_id, *name):
            yield Problem(kind="block", what=f"the block {block_no} is not the one that its row says")
        if is_stripped and (block.n_rows or block_no > self._run.through):
            yield Problem(
                kind="block", what=f"the block {block_no} should have rows, or none, and is otherwise"
            )
        if not is_stripped and n != n_values(block):
            yield Problem(kind="block", what=f"the block {block_no} has {n_values(block)} values, not {n}")

    def _all_series(self) -> Iterator[Problem]:
        streams = ((0, "history"), (1, "system"))
        for number, stream in streams:
            for (kind, key), series in self._chunks.series_of_run(self._run.run_no, number).items():
                name = f"{key!r}" if key else "the rows"
                yield from (
                    Problem(kind="series", what=f"{name} of the {stream}: {what}")
                    for what in self._series(series, kind)
                )

    def _series(self, series: SeriesRow, kind: int) -> Iterator[str]:
        (n_bytes,) = self._execute(
            "SELECT ifnull(sum(length(body)), 0) FROM chunks WHERE series_no = ?", (series.series_no,)
        ).fetchone()
        self._n_bytes += n_bytes
        found = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'blocks'").fetchone()
        last_block = 0 if found is None else found[0]
        if max(series.through, self._run.through) > last_block:
            yield f"it has blocks up to {series.through}, and there are only {last_block}"
        yield from check_series(self._chunks, series, kind, self._tell)

    def _axes(self) -> Iterator[Problem]:
        used: dict[int, int] = defaultdict(int)
        for axis_no, n in self._execute(
            "SELECT axis_no, count(*) FROM chunks JOIN series USING (series_no) "
            "WHERE run_no = ? GROUP BY axis_no",
            (self._run.run_no,),
        ):
            used[axis_no] = n
        for axis_no, n, n_bytes in self._execute(
            "SELECT axis_no, n_chunks, length(body) FROM axes WHERE run_no = ?", (self._run.run_no,)
        ):
            self._n_bytes += n_bytes
            self._tell(n_bytes)
            if n != used.pop(axis_no, 0):
                yield Problem(
                    kind="axis", what=f"the axis {axis_no} does not have the {n} chunks that it says"
                )
            if n == 0:
                yield Problem(kind="axis", what=f"the axis {axis_no} is used by nothing")
        if used:
            yield Problem(kind="axis", what=f"{len(used)} axes that chunks need are missing")

    def _console(self) -> Iterator[Problem]:
        n_lines = expected = 0
        is_gapless = True
        for sequence, part, time, stream, text, checksum in self._execute(
            "SELECT sequence, part, time, CAST(stream AS BLOB), CAST(text AS BLOB), checksum FROM console "
            "WHERE run_no = ? ORDER BY sequence, part",
            (self._run.run_no,),
        ):
            if part == 0:
                n_lines, expected = n_lines + 1, 0
            is_gapless = is_gapless and (sequence, part) == (n_lines - 1, expected)
            expected += 1
            if isinstance(text, bytes):
                self._n_bytes += len(text.decode(errors="replace")) + 16
                self._tell(len(text))
            if not is_line(sequence, part, time, stream, text, checksum):
                yield Problem(
                    kind="console", what=f"line {sequence} of the console does not have its checksum"
                )
        if n_lines != self._run.n_lines or not is_gapless:
            what = f"the console should have {self._run.n_lines} whole lines, and has {n_lines}"
            yield Problem(kind="console", what=what)
        (n_open,) = self._execute(
            "SELECT count(*) FROM console_open JOIN writers USING (writer_no) WHERE run_no = ?",
            (self._run.run_no,),
        ).fetchone()
        # The newline of a line that has its end is not stored, and counts.
        self._n_bytes += n_lines - n_open

    def _count(self, body: object) -> None:
        n_bytes = len(body) if isinstance(body, bytes) else 0
        self._n_bytes += n_bytes
        self._tell(n_bytes)


def rows_of(path: Path, run: RunId) -> tuple[int, int | None]:
    """Return how many distinct steps a run has, and the highest of them.

    Raises:
        DamagedStoreError, sqlite3.Error: it cannot be told.
    """
    from epochal.store.metrics.embedded.history import MAX_STEP, MIN_STEP, row_windows

    with closing(open_to_read(path)) as connection, one_state(connection):
        cache = Cache(_CACHE_BYTES).part()
        snapshot = Snapshot(connection, cache, Chunks(connection, cache, ChunkSizes()), KeySets())
        found = snapshot.run(run)
        n, last = 0, None
        for points in [] if found is None else row_windows(snapshot, found, "history", MIN_STEP, MAX_STEP):
            n, last = n + len(points), int(points.steps[-1])
        return n, last
