"""Blocks as tables: the rows and columns of one stream, and the points of one key over many blocks.

A block is kept as it came until the compactor has made chunks of it.  What a query needs of it is a view
of its bytes, so a block that has just been stored costs a query next to nothing.  Keys that have values in
the same rows lie together as one matrix, and blocks with the same keys share their names: ten thousand keys
of one row each take eighty kilobytes, not megabytes of small objects.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple, cast
from weakref import WeakValueDictionary

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
_NAME_BYTES = 200  # of a name in a set of keys
# From so many keys on, looking a key up in a table beats asking every group of a tail.
_ASKED_OFTEN = 8

encode_value = msgspec.msgpack.Encoder().encode


class KeySet:
    """Keys in their order, and the place of each."""

    __slots__ = ("__weakref__", "at", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.at = {name: place for place, name in enumerate(names)}


class KeySets:
    """Makes equal sets of keys one object, as long as anybody uses it.  Thread-safe."""

    def __init__(self) -> None:
        self._sets: WeakValueDictionary[tuple[str, ...], KeySet] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, names: tuple[str, ...]) -> tuple[KeySet, bool]:
        """Return the set of `names`, and whether it was made for this call."""
        with self._lock:
            found = self._sets.get(names)
            if found is not None:
                return found, False
            made = self._sets[names] = KeySet(names)
            return made, True


class Sheet(NamedTuple):
    """Numbers of one block: keys that have a value in the same rows, and in all of them."""

    keys: KeySet
    kinds: bytes  # FLOAT, INT or BOOL of each key
    words: NDArray[np.int64]  # as in `Points`; shape (keys, rows)
    rows: NDArray[np.uint32] | None  # which of the block's rows; None for all


class Table:
    """The rows that one block has for one stream."""

    def __init__(
        self,
        steps: NDArray[np.int64],
        times: NDArray[np.float64],
        columns: Sequence[Column],
        key_sets: KeySets,
    ) -> None:
        self.steps, self.times = steps, times
        self.sheets: list[Sheet] = []
        self.others: dict[str, list[Column]] = {}  # values that are no numbers
        self.n_bytes = 16 * steps.size  # about what it takes in memory
        by_rows: dict[bytes | None, list[Column]] = {}
        for column in columns:
            if column.kind == "v":
                self.others.setdefault(column.key, []).append(column)
                self.n_bytes += _size_of_others(column)
            else:
                of_rows = by_rows.get(column.rows)
                if of_rows is None:
                    of_rows = by_rows[column.rows] = []
                of_rows.append(column)
        for rows, of_rows in by_rows.items():
            self._add_sheet(rows, of_rows, key_sets)

    def _add_sheet(self, rows: bytes | None, columns: Sequence[Column], key_sets: KeySets) -> None:
        keys, is_new = key_sets.of(tuple([column.key for column in columns]))
        kinds = bytes([_KINDS[column.kind] for column in columns])
        data = b"".join([_words(c) if c.kind == "b" else cast("bytes", c.values) for c in columns])
        words = np.frombuffer(data, "<i8").reshape(len(columns), -1)
        self.n_bytes += len(data) + len(kinds) + is_new * _NAME_BYTES * len(columns)
        self.sheets.append(Sheet(keys, kinds, words, None if rows is None else np.frombuffer(rows, "<u4")))

    def keys(self) -> dict[str, None]:
        """Return the keys."""
        return dict.fromkeys([*(name for sheet in self.sheets for name in sheet.keys.names), *self.others])

    def rows(self) -> Points:
        """Return one point a row, in row order, without values."""
        n = self.steps.size
        return Points(self.steps, self.times, np.zeros(n, np.uint8), np.zeros(n, np.int64), objects=None)

    def points(self, key: str) -> Points:
        """Return the points of `key` in row order; a step may occur more than once."""
        parts = self.other_points(key)
        for sheet in self.sheets:
            place = sheet.keys.at.get(key)
            if place is not None:
                rows = np.arange(self.steps.size) if sheet.rows is None else sheet.rows
                kinds = np.full(rows.size, sheet.kinds[place], np.uint8)
                parts.append((rows, self._at(rows, kinds, sheet.words[place], None)))
        if not parts:
            return empty()
        points = concat([part for _, part in parts])
        return points if len(parts) == 1 else points.at(np.argsort(_joined(parts), kind="stable"))

    def other_points(self, key: str) -> list[tuple[NDArray[np.integer], Points]]:
        """Return the values of `key` that are no numbers, with their rows."""
        parts: list[tuple[NDArray[np.integer], Points]] = []
        for column in self.others.get(key, []):
            rows = np.arange(self.steps.size) if column.rows is None else np.frombuffer(column.rows, "<u4")
            objects = np.empty(rows.size, np.object_)
            objects[:] = [encode_value(value) for value in column.values]
            kinds = np.full(rows.size, OTHER, np.uint8)
            parts.append((rows, self._at(rows, kinds, np.zeros(rows.size, np.int64), objects)))
        return parts

    def _at(
        self,
        rows: NDArray[np.integer],
        kinds: NDArray[np.uint8],
        words: NDArray[np.int64],
        objects: NDArray[np.object_] | None,
    ) -> Points:
        return Points(self.steps[rows], self.times[rows], kinds, words, objects)


class TailBlock:
    """What queries need of a stored block."""

    def __init__(self, block: Block, key_sets: KeySets) -> None:
        self._tables = {"history": _history(block, key_sets), "system": _samples(block, key_sets)}

    def size(self) -> int:
        """Return about how many bytes it takes in memory."""
        return 1000 + sum(table.n_bytes for table in self._tables.values())

    def table(self, stream: Stream) -> Table:
        """Return the rows of `stream`."""
        return self._tables[stream]


class _Group:
    """The sheets of several tables that have the same keys, of the same kinds."""

    def __init__(self, keys: KeySet, kinds: bytes) -> None:
        self.keys, self.kinds = keys, kinds
        self._parts: list[tuple[int, Table, Sheet]] = []
        self._stacked: NDArray[np.int64] | None = None
        self._axis: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.intp]] | None = None
        self._index: NDArray[np.intp] | None = None  # of the writes that count; None for all

    def add(self, first_row: int, table: Table, sheet: Sheet) -> None:
        self._parts.append((first_row, table, sheet))

    def axis(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.intp]]:
        """Return the steps, strictly ascending, their times, and the rows of the tail that wrote them."""
        if self._axis is None:
            parts = [(table, sheet_rows(table, sheet), first) for first, table, sheet in self._parts]
            steps = np.concatenate([table.steps[rows] for table, rows, _ in parts])
            times = np.concatenate([table.times[rows] for table, rows, _ in parts])
            order = np.concatenate([first + rows for _, rows, first in parts])
            if not (steps[1:] > steps[:-1]).all():
                self._index = _last_writes(steps, order)
                steps, times, order = steps[self._index], times[self._index], order[self._index]
            self._axis = steps, times, order
        return self._axis

    def points(self, place: int) -> Points:
        """Return the points of the key at `place`, by step; the last write to a step wins."""
        steps, times, _ = self.axis()
        if self._stacked is not None:
            words = self._stacked[place]
        else:
            words = np.concatenate([sheet.words[place] for _, _, sheet in self._parts])
            words = words if self._index is None else words[self._index]
        kinds = np.full(words.size, self.kinds[place], np.uint8)
        return Points(steps, times, kinds, words, objects=None)

    def stack(self) -> None:
        """Put all keys side by side at once, for one who wants them all."""
        self.axis()
        if self._stacked is None and len(self._parts) > 1:
            stacked = np.concatenate([sheet.words for _, _, sheet in self._parts], axis=1)
            self._stacked = stacked if self._index is None else stacked.take(self._index, axis=1)


class Tail:
    """The rows of one stream in blocks that follow each other, as one.

    Args:
        blocks: in order of arrival; the later write to a step wins.
        stream: which of their rows.
    """

    def __init__(self, blocks: Sequence[TailBlock], stream: Stream) -> None:
        self._tables = [table for block in blocks if (table := block.table(stream)).steps.size]
        groups: dict[tuple[int, bytes], _Group] = {}
        self._others: list[tuple[int, Table]] = []
        first_row = 0
        for table in self._tables:
            for sheet in table.sheets:
                name = id(sheet.keys), sheet.kinds
                group = groups.get(name)
                if group is None:
                    group = groups[name] = _Group(sheet.keys, sheet.kinds)
                group.add(first_row, table, sheet)
            if table.others:
                self._others.append((first_row, table))
            first_row += table.steps.size
        self._groups = list(groups.values())
        self._groups_of: dict[str, list[_Group]] | None = None
        self._n_asked = 0

    def keys(self) -> dict[str, None]:
        """Return the keys."""
        sets = {id(group.keys): group.keys for group in self._groups}
        return dict.fromkeys(
            [name for keys in sets.values() for name in keys.names]
            + [key for _, table in self._others for key in table.others]
        )

    def keys_of_others(self) -> set[str]:
        """Return the keys that have values that are no numbers."""
        return {key for _, table in self._others for key in table.others}

    def rows(self) -> Points:
        """Return one point a row, without values, by step; the last row of a step wins."""
        return last_wins(concat([table.rows() for table in self._tables]))

    def points(self, key: str) -> Points:
        """Return the points of `key`, by step; the last write to a step wins.

        Keys that are always logged together have the very same arrays of steps and times.
        """
        groups = self._having(key)
        others = [part for first, table in self._others for part in _placed(table, key, first)]
        if len(groups) == 1 and not others:
            return groups[0].points(groups[0].keys.at[key])
        parts = [(group.axis()[2], group.points(group.keys.at[key])) for group in groups] + others
        points, order = concat([part for _, part in parts]), _joined(parts)
        return points if not parts else points.at(_last_writes(points.steps, order))

    def stack(self) -> None:
        """Prepare for being asked for every key."""
        for group in self._groups:
            group.stack()

    def _having(self, key: str) -> list[_Group]:
        if self._groups_of is None:
            self._n_asked += 1
            if self._n_asked <= _ASKED_OFTEN:
                return [group for group in self._groups if key in group.keys.at]
            self._groups_of = {}
            for group in self._groups:
                for name in group.keys.names:
                    self._groups_of.setdefault(name, []).append(group)
        return self._groups_of.get(key, [])


def _words(column: Column) -> bytes:
    """Return booleans as 64-bit words."""
    return np.frombuffer(cast("bytes", column.values), np.uint8).astype("<i8").tobytes()


def sheet_rows(table: Table, sheet: Sheet) -> NDArray[np.integer]:
    """Return which rows of `table` the values of `sheet` are in."""
    return np.arange(table.steps.size) if sheet.rows is None else sheet.rows


def _placed(table: Table, key: str, first_row: int) -> list[tuple[NDArray[np.integer], Points]]:
    return [(first_row + rows.astype(np.int64), points) for rows, points in table.other_points(key)]


def _joined(parts: Sequence[tuple[NDArray[np.integer], Points]]) -> NDArray[np.integer]:
    return np.concatenate([rows for rows, _ in parts]) if parts else np.empty(0, np.int64)


def _last_writes(steps: NDArray[np.int64], order: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the positions of the last write to each step, by step."""
    by_step = np.lexsort((order, steps))
    ordered = steps[by_step]
    kept: NDArray[np.intp] = by_step[np.append(ordered[1:] != ordered[:-1], True)]
    return kept


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
    n_bytes = 8 * n_rows
    n_of_rows: dict[bytes, int] = {}  # those that were looked at: the keys of a wide row share theirs
    for column in block.columns:
        # Most are of this kind, and there may be a hundred thousand of them.
        if column.rows is not None or column.kind not in "fi" or len(column.values) != n_bytes:
            _check_column(column, n_rows, n_of_rows)
        elif type(column.values) is not bytes:
            raise BlockError(f"the column {column.key!r} of kind {column.kind} has no array of values")


def _check_column(column: Column, n_rows: int, n_of_rows: dict[bytes, int]) -> None:
    n = n_rows
    if column.rows is not None:
        known = n_of_rows.get(column.rows)
        if known is None:
            known = n_of_rows[column.rows] = _checked_rows(column.key, column.rows, n_rows)
        n = known
    item_bytes = _ITEM_BYTES.get(column.kind, 1)
    if isinstance(column.values, list) != (column.kind == "v") or len(column.values) != n * item_bytes:
        raise BlockError(f"the column {column.key!r} of kind {column.kind} does not hold {n} values")


def _checked_rows(key: str, data: bytes, n_rows: int) -> int:
    """Return how many row indices a column has."""
    if len(data) % 4:
        raise BlockError(f"the column {key!r} has {len(data)} bytes of row indices")
    rows = np.frombuffer(data, "<u4")
    n = rows.size
    if n and (rows[-1] >= n_rows or (n > 1 and not (rows[1:] > rows[:-1]).all())):
        raise BlockError(f"the row indices of the column {key!r} do not ascend below {n_rows}")
    return n


def n_values(block: Block) -> int:
    """Return about how many single values the block holds."""
    n = block.n_rows
    for kind, item_bytes in (*_ITEM_BYTES.items(), ("v", 1)):
        n += sum([len(column.values) for column in block.columns if column.kind == kind]) // item_bytes
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


def _history(block: Block, key_sets: KeySets) -> Table:
    times = np.frombuffer(block.times, "<f8")
    if isinstance(block.steps, bytes):
        steps = np.frombuffer(block.steps, "<i8")
    else:
        first, stride = block.steps
        steps = first + stride * np.arange(block.n_rows, dtype=np.int64)
    return Table(steps, times, block.columns, key_sets)


def _samples(block: Block, key_sets: KeySets) -> Table:
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
    return Table(steps, np.array(times, np.float64), columns, key_sets)


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


def _size_of_others(column: Column) -> int:
    """Return about how many bytes a column of other values takes in memory."""
    # Texts and lists are what they are encoded, and Python's own weight for each.
    n = len(column.values)
    return _COLUMN_OVERHEAD_BYTES + len(column.rows or b"") + 200 * n + len(encode_value(column.values))
