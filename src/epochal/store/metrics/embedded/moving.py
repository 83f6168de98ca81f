"""Copies a run from one file to another, as it lies: blocks, chunks and levels, console.

Nothing is decoded but the checksums, which cover the numbers of a row and so are made anew.  The copy has no
run id until it is whole, which is what a deleted run looks like: nobody sees it, and if the copying is cut
short, the background takes it away.
"""

# ruff: noqa: S608  (statements are put together from names of tables and columns only)

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from epochal.errors import DamagedStoreError
from epochal.store.metrics.embedded.checksum import N_BYTES, seal, spoil, unseal
from epochal.store.metrics.embedded.writing import FileWriter

_Row = dict[str, Any]
_SEALED = ("series_no", "level", "is_sealed", "first_step", "last_step", "n", "axis_no")
# Of one transaction.
_BATCH_ROWS = 200
_BATCH_BYTES = 1 << 20


def copy_run(source: sqlite3.Connection, target: FileWriter, run_no: int) -> int:
    """Copy the run `run_no` of one file into another; return its number there, where nobody sees it yet.

    Args:
        source: in a read transaction.
        target: writes to the other file, of which nobody else may write series, chunks and axes meanwhile.
        run_no: of the run in `source`.
    """
    return _Copy(source, target, run_no).do()


class _Copy:
    def __init__(self, source: sqlite3.Connection, target: FileWriter, run_no: int) -> None:
        self._source, self._target, self._old = source, target, run_no
        self._new = 0
        self._writers: dict[int, int] = {}  # numbers there by numbers here, as of the following
        self._old_blocks: list[int] = []
        self._new_blocks: list[int] = []

    def do(self) -> int:
        """Copy everything."""
        (run,) = self._rows("runs", "run_no = ?", self._old)
        self._begin(run)
        self._copy_blocks()
        axis_shift = self._copy_axes()
        self._copy_series(axis_shift)
        self._copy_console()
        with self._target.later() as connection:
            through = (self._through(run["through"]), self._new)
            connection.execute("UPDATE runs SET through = ? WHERE run_no = ?", through)
        return self._new

    def _begin(self, run: _Row) -> None:
        del run["run_no"]
        with self._target.later() as connection:
            self._new = _insert(connection, "runs", run | {"run_id": None, "through": 0})
            for row in self._rows("writers", "run_no = ?", self._old):
                old = row.pop("writer_no")
                self._writers[old] = _insert(connection, "writers", row | {"run_no": self._new})

    def _copy_blocks(self) -> None:
        """Copy blocks in the order in which they came, which says whose write wins."""
        writers = "(SELECT writer_no FROM writers WHERE run_no = ?)"
        numbers = [
            number
            for (number,) in self._source.execute(
                f"SELECT block_no FROM blocks WHERE writer_no IN {writers} ORDER BY block_no", (self._old,)
            )
        ]
        rows = (row for number in numbers for row in self._rows("blocks", "block_no = ?", number))
        for batch in _batches(rows):
            with self._target.later() as connection:
                for row in batch:
                    self._old_blocks.append(row.pop("block_no"))
                    here = {"run_no": self._new, "writer_no": self._writers[row["writer_no"]]}
                    self._new_blocks.append(_insert(connection, "blocks", row | here))

    def _copy_axes(self) -> int:
        """Copy axes; return by how much their numbers are higher."""
        with self._target.later() as connection:
            found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'axes'").fetchone()
        first = self._least("axes", "axis_no")
        shift = (found[0] if found else 0) + 1 - first
        self._copy_rows(
            self._rows("axes", "run_no = ? ORDER BY axis_no", self._old),
            "axes",
            lambda row: row | {"axis_no": row["axis_no"] + shift, "run_no": self._new},
        )
        return shift

    def _copy_series(self, axis_shift: int) -> None:
        with self._target.later() as connection:
            (last,) = connection.execute("SELECT ifnull(max(series_no), 0) FROM series").fetchone()
        shift = last + 1 - self._least("series", "series_no")

        def renumber(row: _Row) -> _Row:
            here = {"series_no": row["series_no"] + shift, "run_no": self._new}
            return row | here | {"through": self._through(row["through"])}

        def reseal(row: _Row) -> _Row:
            del row["chunk_no"]
            here = {"series_no": row["series_no"] + shift, "axis_no": row["axis_no"] + axis_shift}
            return row | here | {"body": _resealed(row, row | here)}

        numbers = [
            number
            for (number,) in self._source.execute(
                "SELECT series_no FROM series WHERE run_no = ? ORDER BY series_no", (self._old,)
            )
        ]
        self._copy_rows(self._rows("series", "run_no = ? ORDER BY series_no", self._old), "series", renumber)
        chunks = (
            row
            for number in numbers
            for row in self._rows("chunks", "series_no = ? ORDER BY level, first_step", number)
        )
        self._copy_rows(chunks, "chunks", reseal)

    def _copy_console(self) -> None:
        ordered = "run_no = ? ORDER BY sequence, part"
        self._copy_rows(
            self._rows("console", ordered, self._old), "console", lambda row: row | {"run_no": self._new}
        )
        opened = (
            row for writer in self._writers for row in self._rows("console_open", "writer_no = ?", writer)
        )
        self._copy_rows(
            opened, "console_open", lambda row: row | {"writer_no": self._writers[row["writer_no"]]}
        )

    def _copy_rows(self, rows: Iterable[_Row], table: str, change: Callable[[_Row], _Row]) -> None:
        for batch in _batches(rows):
            changed = [change(row) for row in batch]
            with self._target.later() as connection:
                for row in changed:
                    _insert(connection, table, row)
            self._target.fold_log_if_long()

    def _rows(self, table: str, condition: str, value: int) -> Iterator[_Row]:
        cursor = self._source.execute(f"SELECT * FROM {table} WHERE {condition}", (value,))
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))

    def _least(self, table: str, number: str) -> int:
        query = f"SELECT ifnull(min({number}), 1) FROM {table} WHERE run_no = ?"
        return int(self._source.execute(query, (self._old,)).fetchone()[0])

    def _through(self, block_no: int) -> int:
        """Return the number there of the last block up to `block_no`; 0 if there is none."""
        at = bisect_right(self._old_blocks, block_no)
        return self._new_blocks[at - 1] if at else 0


def _insert(connection: sqlite3.Connection, table: str, row: _Row) -> int:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    cursor = connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
    return cursor.lastrowid or 0


def _batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Yield `rows` in lists that go into one transaction each."""
    following = iter(rows)
    while batch := list(islice(following, 1)):
        n_bytes = _size(batch[0])
        while n_bytes < _BATCH_BYTES and len(batch) < _BATCH_ROWS and (row := next(following, None)):
            batch.append(row)
            n_bytes += _size(row)
        yield batch


def _size(row: _Row) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, (bytes, str)))


def _resealed(old: _Row, new: _Row) -> object:
    """Return the body of a chunk for its new row; one that is damaged stays so."""
    body = old["body"]
    columns = [new[name] for name in _SEALED]
    try:
        return seal(unseal(body, "the chunk", *(old[name] for name in _SEALED)), *columns)
    except DamagedStoreError:
        return spoil(body[:-N_BYTES], *columns) if isinstance(body, bytes) else body
