"""Copies a run into another file while both are read and written.

What is in chunks goes first; the run is not compacted meanwhile, so nothing of it changes but that blocks and
console lines come, which further rounds take along.  Until the last one the copy has no run id.  That is how
a deleted run looks, so nobody sees it, and one that is cut short, by whatever, is cleared away as such.
"""

# ruff: noqa: S608  (statements are put together from names of columns only)

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.errors import DamagedStoreError
from epochal.ids import RunId
from epochal.store.metrics.contract import RunGoneError
from epochal.store.metrics.embedded.checksum import N_BYTES, seal, spoil, unseal
from epochal.store.metrics.embedded.snapshot import Snapshots
from epochal.store.metrics.embedded.writing import FileWriter, Pace

# Of one transaction, so that nobody waits for long.
_BATCH_BYTES = 1 << 20
# Of one question to the file.
_PAGE_ROWS = 64
_LINES_A_PAGE = 1000
# A state of the file that somebody holds keeps its log from being folded.
_READS_A_SNAPSHOT = 200

_Put = tuple[int, Callable[[sqlite3.Connection], None]]  # bytes, and how to write them
_Row = tuple[Any, ...]


class EmbeddedRunCopy:
    """Implements `contract.RunCopy`.

    Args:
        source: reads the file that the run is in, where it is not compacted.
        target: writes the other one.
        run: which.
        run_no: of the run in the source.
        new_no: of its copy in the target, which nobody purges.
        fold_log: folds the target's log if it is long.
    """

    def __init__(
        self,
        source: Snapshots,
        target: FileWriter,
        run: RunId,
        run_no: int,
        new_no: int,
        fold_log: Callable[[], None],
    ) -> None:
        self._source, self._target = _Reader(source), target
        self._run, self._run_no, self._new_no, self._fold_log = run, run_no, new_no, fold_log
        self._turn = target.later
        self._pace = Pace(first=50, least=10, most=2000)
        self._writers: dict[int, int] = {}  # numbers there by numbers here
        self._blocks: _Numbers | None = None
        self._last_block = 0
        self._n_lines = 0  # those below are copied, but for:
        self._open_lines: set[int] = set()

    def catch_up(self, tell: Callable[[int], None] = lambda _: None) -> int:
        """Copy what came since the last call.  See the contract."""
        self._tell = tell
        with self._source:
            self._find_run()
            n_blocks = self._copy_all() if self._blocks is None else self._copy_new()
            self._copy_lines()
        return n_blocks

    def finish(self) -> None:
        """Copy the rest and show the run.  See the contract."""
        self._turn = self._target.now
        self.catch_up()
        with self._source:
            lines = self._open_lines
            rows = self._source.rows(
                "SELECT writer_no, stream, sequence, n_parts FROM console_open JOIN writers "
                "USING (writer_no) WHERE run_no = ?",
                self._run_no,
            )
            self._write(self._lines_numbered(sorted(lines)))
            ends = self._source.rows(
                "SELECT end_offset, released, writer_no FROM writers WHERE run_no = ?", self._run_no
            )
            run = self._find_run()
        through, *others = run
        with self._target.now() as connection:
            many = connection.executemany
            many(
                "INSERT INTO console_open VALUES (?, ?, ?, ?)",
                [(self._writers[no], *line) for no, *line in rows],
            )
            many(
                "UPDATE writers SET end_offset = ?, released = ? WHERE writer_no = ?",
                [(end, released, self._writers[no]) for end, released, no in ends],
            )
            connection.execute(
                "UPDATE runs SET run_id = ?, through = ?, first_time = ?, first_sample_time = ?, "
                "n_lines = ?, n_bytes = ? WHERE run_no = ?",
                (self._run, self._through(through), *others, self._new_no),
            )

    def _find_run(self) -> _Row:
        found = self._source.rows(
            "SELECT through, first_time, first_sample_time, n_lines, n_bytes FROM runs "
            "WHERE run_no = ? AND run_id = ?",
            self._run_no,
            self._run,
        )
        if not found:
            raise RunGoneError(self._run)
        return found[0]

    def _copy_all(self) -> int:
        rows = self._source.rows
        blocks = rows(
            "SELECT block_no FROM blocks JOIN writers USING (writer_no) WHERE writers.run_no = ?",
            self._run_no,
        )
        axes = rows("SELECT axis_no FROM axes WHERE run_no = ?", self._run_no)
        with self._target.later() as connection:
            # Reserved as a whole: what others write meanwhile gets higher numbers.
            self._blocks = _reserve(connection, "blocks", blocks)
            self._axes = _reserve(connection, "axes", axes)
        self._write(self._new_writers())
        self._write(self._all_blocks())
        self._write(self._all_axes())
        self._write(self._all_series())
        return len(blocks)

    def _copy_new(self) -> int:
        numbers = self._source.rows(
            "SELECT block_no FROM blocks WHERE run_no = ? AND block_no > ? AND is_stripped = 0 "
            "ORDER BY block_no",
            self._run_no,
            self._last_block,
        )
        self._write(self._new_writers())
        self._write(self._block(no, None) for (no,) in numbers)
        if numbers:
            self._last_block = numbers[-1][0]
        return len(numbers)

    def _new_writers(self) -> Iterator[_Put]:
        for old, *row in self._source.rows(
            "SELECT writer_no, writer, end_offset, released FROM writers WHERE run_no = ?", self._run_no
        ):
            if old not in self._writers:
                yield 0, self._put_writer(old, (self._new_no, *row))

    def _put_writer(self, old: int, row: _Row) -> Callable[[sqlite3.Connection], None]:
        def put(connection: sqlite3.Connection) -> None:
            statement = "INSERT INTO writers (run_no, writer, end_offset, released) VALUES (?, ?, ?, ?)"
            self._writers[old] = _new_number(connection.execute(statement, row))

        return put

    def _all_blocks(self) -> Iterator[_Put]:
        assert self._blocks is not None
        for no in self._blocks.old.tolist():
            yield self._block(no, self._blocks.new(no))
            self._last_block = no

    def _block(self, no: int, new: int | None) -> _Put:
        """Return how to write a block, as the next one if it has no number yet."""
        found = self._source.rows(
            "SELECT writer_no, first_offset, end_offset, n_values, is_stripped, body FROM blocks "
            "WHERE block_no = ?",
            no,
        )
        if not found:
            raise RunGoneError(self._run)
        writer, *row = found[0]

        def put(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO blocks (block_no, run_no, writer_no, first_offset, end_offset, n_values, "
                "is_stripped, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (new, self._new_no, self._writers[writer], *row),
            )

        return len(row[-1]), put

    def _all_axes(self) -> Iterator[_Put]:
        for no in self._axes.old.tolist():
            for n_chunks, body in self._source.rows("SELECT n_chunks, body FROM axes WHERE axis_no = ?", no):
                row = (self._axes.new(no), self._new_no, n_chunks, body)
                yield len(body), _insertion("INSERT INTO axes VALUES (?, ?, ?, ?)", row)

    def _all_series(self) -> Iterator[_Put]:
        """Yield every series, its chunks right behind it: those need its new number."""
        at: _Row = (-1, -1, "")
        while rows := self._source.rows(
            f"SELECT series_no, {_SERIES} FROM series WHERE run_no = ? AND (stream, kind, key) > (?, ?, ?) "
            "ORDER BY stream, kind, key LIMIT ?",
            self._run_no,
            *at,
            _PAGE_ROWS,
        ):
            for old, stream, kind, key, through, *others in rows:
                row = (self._new_no, stream, kind, key, self._through(through), *others)
                numbers: list[int] = []
                yield len(key), _series(row, numbers)
                yield from self._chunks(old, numbers)
                at = (stream, kind, key)

    def _chunks(self, series_no: int, new_series: list[int]) -> Iterator[_Put]:
        level, first_step = -1, 0
        while rows := self._source.rows(
            "SELECT level, is_sealed, first_step, last_step, n, axis_no, body FROM chunks "
            "WHERE series_no = ? AND (level, first_step) > (?, ?) ORDER BY level, first_step LIMIT ?",
            series_no,
            level,
            first_step,
            _PAGE_ROWS,
        ):
            for *columns, axis_no, body in rows:
                yield len(body), self._put_chunk(series_no, new_series, tuple(columns), axis_no, body)
            level, first_step = rows[-1][0], rows[-1][2]

    def _put_chunk(
        self, series_no: int, new_series: list[int], columns: _Row, axis_no: int, body: bytes
    ) -> Callable[[sqlite3.Connection], None]:
        def put(connection: sqlite3.Connection) -> None:
            row = (new_series[0], *columns, self._axes.new(axis_no))
            connection.execute(
                "INSERT INTO chunks (series_no, level, is_sealed, first_step, last_step, n, axis_no, body) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, _resealed(body, (series_no, *columns, axis_no), row)),
            )

        return put

    def _copy_lines(self) -> None:
        """Copy the lines that have their end: of others there may come more."""
        n_lines, still_open = self._find_run()[3], self._open_now()
        self._write(self._lines_numbered(sorted(self._open_lines - still_open)))
        self._write(self._lines_between(self._n_lines, n_lines, still_open))
        self._n_lines, self._open_lines = n_lines, still_open

    def _open_now(self) -> set[int]:
        rows = self._source.rows(
            "SELECT sequence FROM console_open JOIN writers USING (writer_no) WHERE run_no = ?", self._run_no
        )
        return {sequence for (sequence,) in rows}

    def _lines_between(self, first: int, end: int, but: Collection[int]) -> Iterator[_Put]:
        at: _Row = (first, -1)
        while rows := self._source.rows(
            f"{_LINES} WHERE run_no = ? AND (sequence, part) > (?, ?) AND sequence < ? "
            "ORDER BY sequence, part LIMIT ?",
            self._run_no,
            *at,
            end,
            _LINES_A_PAGE,
        ):
            yield from (self._line(row) for row in rows if row[0] not in but)
            at = rows[-1][:2]

    def _lines_numbered(self, sequences: Iterable[int]) -> Iterator[_Put]:
        for sequence in sequences:
            yield from self._lines_between(sequence, sequence + 1, ())

    def _line(self, row: _Row) -> _Put:
        # Text may be damaged, and then be no text any more: it goes as the bytes that it is.
        statement = "INSERT INTO console VALUES (?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?)"
        return len(row[4]), _insertion(statement, (self._new_no, *row))

    def _through(self, block_no: int) -> int:
        assert self._blocks is not None
        return self._blocks.new_up_to(block_no)

    def _write(self, puts: Iterable[_Put]) -> None:
        """Write everything, in transactions that hold nobody up."""
        batch: list[Callable[[sqlite3.Connection], None]] = []
        n_bytes = 0
        for size, put in puts:
            batch.append(put)
            n_bytes += size
            if n_bytes >= _BATCH_BYTES or len(batch) >= self._pace.n:
                self._write_batch(batch, n_bytes)
                batch, n_bytes = [], 0
        if batch:
            self._write_batch(batch, n_bytes)

    def _write_batch(self, batch: Iterable[Callable[[sqlite3.Connection], None]], n_bytes: int) -> None:
        with self._turn() as connection, self._pace.timed():
            for put in batch:
                put(connection)
        self._fold_log()
        self._tell(n_bytes)


_SERIES = (
    "stream, kind, key, through, type, n_points, first_step, last_step, min_time, max_time, is_time_sorted, "
    "top_level"
)
_LINES = "SELECT sequence, part, time, CAST(stream AS BLOB), CAST(text AS BLOB), checksum FROM console"


class _Reader:
    """Reads a file in states that it does not hold for long.  To be entered, as often as one likes."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._open = ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._n_reads = 0

    def __enter__(self) -> None:
        self._close()

    def __exit__(self, *_: object) -> None:
        self._close()

    def rows(self, query: str, *values: object) -> list[_Row]:
        """Return what `query` finds now, or a moment ago."""
        if self._connection is None or self._n_reads >= _READS_A_SNAPSHOT:
            self._close()
            self._connection = self._open.enter_context(self._snapshots.open()).connection
        self._n_reads += 1
        return self._connection.execute(query, values).fetchall()

    def _close(self) -> None:
        self._connection, self._n_reads = None, 0
        self._open.close()


class _Numbers:
    """New numbers for old ones, in the same order."""

    def __init__(self, old: NDArray[np.int64], last_used: int) -> None:
        self.old, self._last_used = old, last_used

    def new(self, old: int) -> int:
        """Return the new number of one that there is; 0 for others, which a damaged file may name."""
        at = int(np.searchsorted(self.old, old))
        is_there = at < self.old.size and int(self.old[at]) == old
        return self._last_used + 1 + at if is_there else 0

    def new_up_to(self, old: int) -> int:
        """Return the new number of the highest one up to `old`."""
        n = int(np.searchsorted(self.old, old, side="right"))
        return self._last_used + n if n else 0


def _reserve(connection: sqlite3.Connection, table: str, rows: list[_Row]) -> _Numbers:
    """Take as many numbers of a table as there are `rows` with one each."""
    old = np.array(sorted(no for (no,) in rows), np.int64)
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    last_used = 0 if found is None else int(found[0])
    if found is None:
        connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, old.size))
    else:
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last_used + old.size, table))
    return _Numbers(old, last_used)


def _insertion(statement: str, row: _Row) -> Callable[[sqlite3.Connection], None]:
    return lambda connection: _run(connection, statement, row)


def _run(connection: sqlite3.Connection, statement: str, row: _Row) -> None:
    connection.execute(statement, row)


def _series(row: _Row, numbers: list[int]) -> Callable[[sqlite3.Connection], None]:
    """Return how to write a series, which tells its number."""

    def put(connection: sqlite3.Connection) -> None:
        marks = ", ".join("?" * len(row))
        statement = f"INSERT INTO series (run_no, {_SERIES}) VALUES ({marks})"
        numbers.append(_new_number(connection.execute(statement, row)))

    return put


def _new_number(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _resealed(body: bytes, old: _Row, new: _Row) -> bytes:
    """Return the body of a chunk with the checksum for its new row; what is damaged stays so."""
    try:
        return seal(unseal(body, "the chunk", *old), *new)
    except DamagedStoreError:
        return spoil(body[:-N_BYTES], *new)
