"""Reads single values out of a block's columns, for what cannot be done on columns: the summary."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from epochal.runlog.format import RecordType
from epochal.runlog.summary import SummaryFold
from epochal.wire.block import Block, Column, ColumnKind

_SAID = (RecordType.DEFINE_METRIC, RecordType.SUMMARY)
_F64, _I64, _U32 = struct.Struct("<d"), struct.Struct("<q"), struct.Struct("<I")
_DTYPES = {"f": "<f8", "i": "<i8", "b": "?"}
_WIDTHS = {"f": 8, "i": 8, "b": 1}  # bytes of a value


def fold_summary(fold: SummaryFold, block: Block) -> bool:
    """Bring `fold` up to the end of `block`; return whether anything of the summary may have changed.

    Explicit summary values and definitions act between the rows where they were said.
    """
    if not fold.definitions and not any(record[0] in _SAID for _, record in block.records):
        return _fold_last(fold, block)
    values = BlockValues(block)
    said = False
    for n_before, record in block.records:
        if record[0] == RecordType.DEFINE_METRIC:
            said |= _define(fold, values, n_before, record)
        elif record[0] == RecordType.SUMMARY:
            said |= _set(fold, values, n_before, record)
    for key in values.keys:
        values.fold_until(fold, key, block.n_rows)
    return said or bool(values.keys)


def _fold_last(fold: SummaryFold, block: Block) -> bool:
    """Fold a block where nothing but the last value of a key counts: most of them, and the wide ones."""
    last: dict[str, tuple[int, Column]] = {}
    for column in block.columns:
        if column.rows is None and column.kind != "v":
            continue
        row = (
            block.n_rows - 1
            if column.rows is None
            else _U32.unpack_from(column.rows, len(column.rows) - 4)[0]
        )
        before = last.get(column.key)
        if before is None or before[0] < row:
            last[column.key] = (row, column)
    fold.add_last({key: _very_last(column) for key, (_, column) in last.items()})
    # A column with a value in every row is the only one of its key.
    for kind in ("f", "i", "b"):
        fold.add_last(_last_of_full(block, kind))
    return bool(block.columns)


def _last_of_full(block: Block, kind: ColumnKind) -> dict[str, object]:
    """Return the last value of every key that has one of `kind` in every row, all at once."""
    full = [column for column in block.columns if column.rows is None and column.kind == kind]
    width = _WIDTHS[kind]
    data = b"".join([cast("bytes", column.values)[-width:] for column in full])
    values = np.frombuffer(data, _DTYPES[kind]).tolist()
    return dict(zip([column.key for column in full], values, strict=True))


def _very_last(column: Column) -> object:
    values = column.values
    if column.kind == "f":
        return _F64.unpack_from(values, len(values) - 8)[0]  # type: ignore[arg-type]
    if column.kind == "i":
        return _I64.unpack_from(values, len(values) - 8)[0]  # type: ignore[arg-type]
    return bool(values[-1]) if column.kind == "b" else values[-1]


class BlockValues:
    """The values of a block by key, given out once each, in row order."""

    def __init__(self, block: Block) -> None:
        self._columns: dict[str, list[Column]] = {}
        for column in block.columns:
            self._columns.setdefault(column.key, []).append(column)
        self._done: dict[str, int] = {}  # rows given out, by key
        self._sorted: list[str] | None = None

    @property
    def keys(self) -> Iterable[str]:
        """Every key of the block."""
        return self._columns.keys()

    def below(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`."""
        if self._sorted is None:
            self._sorted = sorted(self._columns)
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[at].startswith(prefix):
                break
            yield self._sorted[at]

    def has(self, key: str) -> bool:
        """Return whether the block has a value of `key`."""
        return key in self._columns

    def fold_until(self, fold: SummaryFold, key: str, n_rows: int) -> None:
        """Add to `fold` the values of `key` in the first `n_rows` rows that it did not get yet."""
        start = self._done.get(key, 0)
        self._done[key] = n_rows
        columns = self._columns[key]
        take = _all_values if fold.wants_every_value(key) else _last_value
        if len(columns) == 1:
            values = [value for _, value in take(columns[0], start, n_rows)]
        else:
            # A key whose type changed on the way has several columns, of different rows.
            pairs = [pair for column in columns for pair in take(column, start, n_rows)]
            values = [value for _, value in sorted(pairs, key=lambda pair: pair[0])]
        if values:
            fold.add(key, values)


def _define(fold: SummaryFold, values: BlockValues, n_before: int, record: list[object]) -> bool:
    definition = record[2] if len(record) > 2 else None
    if not isinstance(definition, dict) or not isinstance(name := definition.get("name"), str):
        return False
    keys = list(values.below(name[:-1])) if name.endswith("*") else [name] * values.has(name)
    for key in keys:
        values.fold_until(fold, key, n_before)
    fold.define(definition)
    return True


def _set(fold: SummaryFold, values: BlockValues, n_before: int, record: list[object]) -> bool:
    said = False
    for path, value in _assignments(record):
        _fold_path(fold, values, path, n_before)
        fold.set(path, value)
        said = True
    for path in _paths(record[3] if len(record) > 3 else None):
        _fold_path(fold, values, path, n_before)
        fold.delete(path)
        said = True
    return said


def _fold_path(fold: SummaryFold, values: BlockValues, path: list[str], n_before: int) -> None:
    key = ".".join(path)
    for name in [key] * values.has(key) + list(values.below(f"{key}.")):
        values.fold_until(fold, name, n_before)


def _assignments(record: list[object]) -> Iterator[tuple[list[str], object]]:
    said = record[2] if len(record) > 2 else None
    for item in said if isinstance(said, list) else []:
        if isinstance(item, list) and len(item) == 2:
            for path in _paths([item[0]]):
                yield path, item[1]


def _paths(said: object) -> Iterator[list[str]]:
    for path in said if isinstance(said, list) else []:
        if isinstance(path, list) and path and all(isinstance(part, str) for part in path):
            yield path


def _rows(column: Column) -> NDArray[np.uint32] | None:
    return None if column.rows is None else np.frombuffer(column.rows, dtype="<u4")


def _all_values(column: Column, start: int, stop: int) -> list[tuple[int, object]]:
    """Return (row, value) for the rows from `start` to before `stop`."""
    rows = _rows(column)
    if rows is None:
        return list(zip(range(start, stop), _values(column, start, stop), strict=True))
    low, high = np.searchsorted(rows, [start, stop]).tolist()
    return list(zip(rows[low:high].tolist(), _values(column, low, high), strict=True))


def _last_value(column: Column, start: int, stop: int) -> list[tuple[int, object]]:
    """Return the last (row, value) of those rows, in a list; an empty one if there is none."""
    rows = _rows(column)
    at = stop - 1 if rows is None else int(np.searchsorted(rows, stop)) - 1
    row = at if rows is None or at < 0 else int(rows[at])
    return [(row, _values(column, at, at + 1)[0])] if row >= start else []


def _values(column: Column, start: int, stop: int) -> list[object]:
    if isinstance(column.values, list):
        return column.values[start:stop]
    return cast("list[object]", np.frombuffer(column.values, dtype=_DTYPES[column.kind])[start:stop].tolist())
