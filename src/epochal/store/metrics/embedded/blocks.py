"""Blocks as tables: the rows and columns of one stream, and the points of one key over many blocks.

A block is kept as it came until the compactor has made chunks of it.  What a query needs of it is a view
of its bytes, so a block that has just been stored costs a query next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.errors import BlockError
from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.points import (
    BOOL,
    FLOAT,
    INT,
    OTHER,
    Points,
    concat,
    empty,
    last_wins,
)
from epochal.wire.block import Block, Column, ColumnKind

# Record types of docs/formats/run-log.md that a store looks into.
CONSOLE_RECORD = 5
SYSTEM_RECORD = 6

_ITEM_BYTES: dict[ColumnKind, int] = {"f": 8, "i": 8, "b": 1}
_KINDS: dict[ColumnKind, int] = {"f": FLOAT, "i": INT, "b": BOOL, "v": OTHER}
_COLUMN_OVERHEAD_BYTES = 400  # of a decoded column's Python objects

encode_value = msgspec.msgpack.Encoder().encode


class Table:
    """The rows that one block has for one stream."""

    def __init__(
        self, steps: NDArray[np.int64], times: NDArray[np.float64], columns: Sequence[Column]
    ) -> None:
        self.steps, self.times = steps, times
        self.columns: dict[str, list[Column]] = {}
        for column in columns:
            self.columns.setdefault(column.key, []).append(column)

    def rows(self) -> Points:
        """Return one point a row, in row order, without values."""
        n = self.steps.size
        return Points(self.steps, self.times, np.zeros(n, np.uint8), np.zeros(n, np.int64), objects=None)

    def points(self, key: str) -> Points:
        """Return the points of `key` in row order; a step may occur more than once."""
        columns = self.columns.get(key, [])
        if not columns:
            return empty()
        rows, parts = zip(*(self._column_points(column) for column in columns), strict=True)
        if len(parts) == 1:
            return cast("Points", parts[0])
        return concat(parts).at(np.argsort(np.concatenate(rows), kind="stable"))

    def _column_points(self, column: Column) -> tuple[NDArray[np.uint32], Points]:
        if column.rows is None:
            rows = np.arange(self.steps.size, dtype=np.uint32)
            steps, times = self.steps, self.times
        else:
            rows = np.frombuffer(column.rows, "<u4")
            steps, times = self.steps[rows], self.times[rows]
        kinds = np.full(rows.size, _KINDS[column.kind], np.uint8)
        objects = None
        if column.kind == "v":
            words = np.zeros(rows.size, np.int64)
            objects = np.empty(rows.size, np.object_)
            objects[:] = [encode_value(value) for value in column.values]
        elif column.kind == "b":
            words = np.frombuffer(cast("bytes", column.values), np.uint8).astype(np.int64)
        else:
            words = np.frombuffer(cast("bytes", column.values), "<i8")
        return rows, Points(steps, times, kinds, words, objects)


class TailBlock:
    """A stored block and its tables, which are made when first asked for."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self._tables: dict[Stream, Table] = {}

    def size(self) -> int:
        """Return about how many bytes it takes in memory."""
        return _size(self.block)

    def table(self, stream: Stream) -> Table:
        """Return the rows of `stream`."""
        table = self._tables.get(stream)
        if table is None:
            table = self._tables[stream] = (
                _history(self.block) if stream == "history" else _samples(self.block)
            )
        return table


class Tail:
    """The rows of one stream in blocks that follow each other, as one.

    Args:
        blocks: in order of arrival; the later write to a step wins.
    """

    def __init__(self, blocks: Sequence[TailBlock], stream: Stream) -> None:
        self._tables = [table for block in blocks if (table := block.table(stream)).steps.size]
        self._dense_rows: dict[tuple[int, ...], Points] = {}

    def keys(self) -> dict[str, None]:
        """Return the keys, in order of first appearance."""
        return dict.fromkeys(key for table in self._tables for key in table.columns)

    def keys_of_others(self) -> set[str]:
        """Return the keys that have values that are no numbers."""
        return {
            key
            for table in self._tables
            for key, columns in table.columns.items()
            if any(column.kind == "v" for column in columns)
        }

    def rows(self) -> Points:
        """Return one point a row, without values, by step; the last row of a step wins."""
        return last_wins(concat([table.rows() for table in self._tables]))

    def points(self, key: str) -> Points:
        """Return the points of `key`, by step; the last write to a step wins."""
        having = [(i, columns) for i, table in enumerate(self._tables) if (columns := table.columns.get(key))]
        first = having[0][1][0] if having else None
        if first is None:
            return empty()
        if first.kind in "fi" and all(
            len(columns) == 1 and columns[0].rows is None and columns[0].kind == first.kind
            for _, columns in having
        ):
            return self._dense_points(having, _KINDS[first.kind])
        return last_wins(concat([self._tables[i].points(key) for i, _ in having]))

    def _dense_points(self, having: Sequence[tuple[int, list[Column]]], kind: int) -> Points:
        """Return the points of a key that is in every row of the tables that have it at all.

        Most keys are, and all that are in the same tables share their steps and times.
        """
        tables = tuple(i for i, _ in having)
        rows = self._dense_rows.get(tables)
        if rows is None:
            rows = self._dense_rows[tables] = concat([self._tables[i].rows() for i in tables])
        words = np.frombuffer(b"".join([cast("bytes", columns[0].values) for _, columns in having]), "<i8")
        kinds = np.full(words.size, kind, np.uint8)
        return last_wins(Points(rows.steps, rows.times, kinds, words, objects=None))


def check_block(block: Block) -> None:
    """Look whether the arrays of `block` fit together, so that no query can stumble over it later.

    Raises:
        BlockError: they do not, or a row has no place yet.
    """
    n_rows = block.n_rows
    if block.unplaced is not None and any(block.unplaced):
        raise BlockError("a block whose rows have no steps yet: give them steps before it is stored")
    if n_rows < 0 or len(block.times) != 8 * n_rows or block.first_offset > block.end_offset:
        raise BlockError(f"a block of {n_rows} rows with {len(block.times)} bytes of times")
    if isinstance(block.steps, bytes):
        if len(block.steps) != 8 * n_rows:
            raise BlockError(f"a block of {n_rows} rows with {len(block.steps)} bytes of steps")
        least = int(np.frombuffer(block.steps, "<i8").min()) if n_rows else 0
    else:
        first, stride = block.steps
        last = first + stride * max(0, n_rows - 1)
        if not all(-(2**63) <= step < 2**63 for step in (first, stride, last)):
            raise BlockError(f"a block whose steps go from {first} to {last}, beyond 64 bits")
        least = min(first, last) if n_rows else 0
    if least < 0:
        raise BlockError(f"a block with the step {least}: steps begin at 0")
    for column in block.columns:
        _check_column(column, n_rows)


def _check_column(column: Column, n_rows: int) -> None:
    n = n_rows
    if column.rows is not None:
        if len(column.rows) % 4:
            raise BlockError(f"the column {column.key!r} has {len(column.rows)} bytes of row indices")
        rows = np.frombuffer(column.rows, "<u4")
        n = rows.size
        if n and (rows[-1] >= n_rows or (n > 1 and not (rows[1:] > rows[:-1]).all())):
            raise BlockError(f"the row indices of the column {column.key!r} do not ascend below {n_rows}")
    item_bytes = _ITEM_BYTES.get(column.kind, 1)
    if isinstance(column.values, list) != (column.kind == "v") or len(column.values) != n * item_bytes:
        raise BlockError(f"the column {column.key!r} of kind {column.kind} does not hold {n} values")


def n_values(block: Block) -> int:
    """Return about how many single values the block holds."""
    n = block.n_rows
    for column in block.columns:
        n += len(column.values) // _ITEM_BYTES.get(column.kind, 1)
    for _, record in block.records:
        if is_sample(record):
            n += len(cast("dict[str, object]", record[2]))
    return n


def is_sample(record: list[object]) -> bool:
    """Return whether `record` is a system sample of the known shape."""
    return (
        len(record) >= 3
        and record[0] == SYSTEM_RECORD
        and isinstance(record[1], float)
        and isinstance(record[2], dict)
    )


def sample_step(time: float) -> int:
    """Return the step of a system sample: its Unix time in whole microseconds."""
    # A clock gone mad must not cost more than the sample's place.
    return round(time * 1e6) if abs(time) < 9e12 else 0


def _history(block: Block) -> Table:
    times = np.frombuffer(block.times, "<f8")
    if isinstance(block.steps, bytes):
        steps = np.frombuffer(block.steps, "<i8")
    else:
        first, stride = block.steps
        steps = first + stride * np.arange(block.n_rows, dtype=np.int64)
    return Table(steps, times, block.columns)


def _samples(block: Block) -> Table:
    samples = [record for _, record in block.records if is_sample(record)]
    times = [cast("float", record[1]) for record in samples]
    parts: dict[tuple[str, ColumnKind], tuple[list[int], list[object]]] = {}
    for row, record in enumerate(samples):
        for key, value in cast("dict[object, object]", record[2]).items():
            rows, values = parts.setdefault((str(key), _kind_of(value)), ([], []))
            rows.append(row)
            values.append(value)
    steps = np.array([sample_step(time) for time in times], np.int64)
    columns = [_column(key, kind, rows, values) for (key, kind), (rows, values) in parts.items()]
    return Table(steps, np.array(times, np.float64), columns)


def _kind_of(value: object) -> ColumnKind:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, float):
        return "f"
    return "i" if isinstance(value, int) and -(2**63) <= value < 2**63 else "v"


def _column(key: str, kind: ColumnKind, rows: list[int], values: list[object]) -> Column:
    row_bytes = np.array(rows, "<u4").tobytes()
    if kind == "v":
        return Column(key, kind, row_bytes, values)
    dtype = {"f": "<f8", "i": "<i8", "b": "u1"}[kind]
    return Column(key, kind, row_bytes, np.array(values, dtype).tobytes())


def _size(block: Block) -> int:
    """Return about how many bytes the decoded block takes in memory."""
    # Texts and lists are what they are encoded, and Python's own weight for each.
    size = len(block.times) + sum(400 + len(encode_value(record)) for _, record in block.records)
    for column in block.columns:
        size += _COLUMN_OVERHEAD_BYTES + len(column.rows or b"")
        if isinstance(column.values, list):
            size += 200 * len(column.values) + len(encode_value(column.values))
        else:
            size += len(column.values)
    return size
