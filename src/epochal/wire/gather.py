"""Brings the rows of many payloads into columns: uniform ones as they are encoded, the others decoded.

Most keys come in one group of rows with the same keys, and their columns are made at once.  Only a key that
comes in several groups is put together value by value.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

from epochal.runlog.columns import ColumnKind, LoggedRow, columns_of, little_endian
from epochal.runlog.format import RecordType
from epochal.runlog.reader import decode_record
from epochal.wire.block import Column
from epochal.wire.uniform import UniformRows, take_uniform
from epochal.wire.wide import WideRows, take_wide

# Plain integers: comparing with a member of an enum costs more than everything else about a row.
_ROW, _UNPLACED_ROW = int(RecordType.ROW), int(RecordType.UNPLACED_ROW)
_CHECKPOINT = int(RecordType.CHECKPOINT)
_BEYOND_64_BITS = 2**63

_TYPECODES: dict[ColumnKind, Literal["d", "q", "B"]] = {"f": "d", "i": "q", "b": "B"}
_WIDTHS: dict[ColumnKind, int] = {"f": 8, "i": 8, "b": 1}  # bytes of a value
_Values = bytes | list[object]  # little-endian; a list for kind "v"


class Gathered(NamedTuple):
    """Rows in columns, and the other records in order, each with the number of rows before it."""

    n_rows: int
    steps: array[int]
    times: array[float]
    unplaced: bytes | None  # u8 per row
    columns: list[Column]
    records: list[tuple[int, list[Any]]]


def gather(payloads: Sequence[bytes]) -> Gathered:
    """Return what the payloads, in order, hold; those that no version writes are left out."""
    uniform, rest = take_uniform(payloads)
    decoded = [decode_record(payloads[place]) for place in rest]
    return _gathered(len(payloads), uniform, decoded, rest)


def gather_records(records: Sequence[list[Any]]) -> Gathered:
    """Return the same of records that are decoded."""
    return _gathered(len(records), [], records, range(len(records)))


def _gathered(
    n: int, uniform: Sequence[UniformRows], decoded: Sequence[list[Any] | None], rest: Sequence[int]
) -> Gathered:
    """Return the columns of `n` records: those in groups, and those decoded, at the places `rest`."""
    rows, row_places, others, no_rows = _sorted_out(decoded, rest)
    n_rows = n - len(no_rows)

    def row_indices(places: Sequence[int]) -> Sequence[int]:
        if len(places) == n:
            return range(n_rows)
        return [place - bisect_left(no_rows, place) for place in places] if no_rows else places

    into = _Into(n_rows)
    for group in uniform:
        into.add_uniform(group, row_indices(group.members))
    into.add_decoded(rows, row_indices(row_places))
    return Gathered(
        n_rows,
        into.steps,
        into.times,
        bytes(into.unplaced) if any(into.unplaced) else None,
        into.columns(),
        [(place - bisect_left(no_rows, place), record) for place, record in others],
    )


def is_row(record: list[Any]) -> bool:
    """A row of the shape that every version writes; anything else is carried along as a record."""
    return (
        record[0] in (_ROW, _UNPLACED_ROW)
        and len(record) >= 4
        and type(record[1]) is float
        and type(record[2]) is int
        and record[2] < _BEYOND_64_BITS
        and type(record[3]) is dict
    )


def _sorted_out(
    decoded: Sequence[list[Any] | None], places: Sequence[int]
) -> tuple[list[list[Any]], list[int], list[tuple[int, list[Any]]], list[int]]:
    """Return the rows, their places, the other records with theirs, and every place of no row."""
    rows: list[list[Any]] = []
    row_places: list[int] = []
    others: list[tuple[int, list[Any]]] = []
    no_rows: list[int] = []
    for place, record in zip(places, decoded, strict=True):
        if record is not None and is_row(record):
            rows.append(record)
            row_places.append(place)
            continue
        no_rows.append(place)
        if record is not None and record[0] != _CHECKPOINT:  # It repeats what other records say.
            others.append((place, record))
    return rows, row_places, others, no_rows


class _Part(NamedTuple):
    """Columns of keys that have values in the same rows."""

    rows: Sequence[int]  # ascending, at least one
    keys: Sequence[str]
    kinds: Sequence[ColumnKind]
    values: Sequence[_Values]


class _Into:
    """Collects parts of columns until all are there."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.steps: array[int] = array("q", bytes(8 * n_rows))
        self.times: array[float] = array("d", bytes(8 * n_rows))
        self.unplaced = bytearray(n_rows)
        self._parts: list[_Part] = []

    def add_uniform(self, group: UniformRows, rows: Sequence[int]) -> None:
        if len(rows) == self.n_rows:
            self.steps, self.times = group.steps, group.times
        else:
            for row, step, time in zip(rows, group.steps, group.times, strict=True):
                self.steps[row], self.times[row] = step, time
        if group.is_unplaced:
            for row in rows:
                self.unplaced[row] = 1
        keys, kinds, values = zip(*group.columns, strict=True) if group.columns else ((), (), ())
        self._parts.append(_Part(rows, keys, kinds, [_bytes_of(column) for column in values]))

    def add_decoded(self, records: Sequence[list[Any]], rows: Sequence[int]) -> None:
        wide, left = take_wide([LoggedRow(r[2], r[1], r[3]) for r in records])
        for group in wide:
            self._add_wide(group, rows)
        columns, times = columns_of(left)
        for row, record, time in zip(rows, records, times, strict=True):
            self.steps[row], self.times[row] = record[2], time
            self.unplaced[row] = record[0] == _UNPLACED_ROW
        for key, kind, indices, values in columns:
            here = rows if indices is None else [rows[i] for i in indices]
            typed = list(values) if kind == "v" else little_endian(_TYPECODES[kind], values)
            self._parts.append(_Part(here, (key,), (kind,), (typed,)))

    def _add_wide(self, group: WideRows, rows: Sequence[int]) -> None:
        here = [rows[i] for i in group.members]
        self._parts.append(_Part(here, group.keys, group.kinds, group.values))

    def columns(self) -> list[Column]:
        """Return them in order of first appearance."""
        parts = sorted(self._parts, key=lambda part: part.rows[0])
        shared = _in_several(parts)
        merging = _Merging(self.n_rows, parts, shared)
        found: list[Column] = []
        for part in parts:
            rows = _row_bytes(part.rows, self.n_rows)
            own = zip(part.keys, part.kinds, part.values, strict=True)
            if shared.isdisjoint(part.keys):
                found += [Column(key, kind, rows, values) for key, kind, values in own]
                continue
            for key, kind, values in own:
                if key not in shared:
                    found.append(Column(key, kind, rows, values))
                elif (column := merging.take(key, kind)) is not None:
                    found.append(column)
        return found


def _in_several(parts: Sequence[_Part]) -> set[str]:
    """Return the keys that are in more than one of `parts`."""
    seen: set[str] = set()
    shared: set[str] = set()
    for part in parts:
        if not seen.isdisjoint(part.keys):
            shared.update(seen.intersection(part.keys))
        seen.update(part.keys)
    return shared


class _Merging:
    """Puts columns together whose values are in several parts."""

    def __init__(self, n_rows: int, parts: Sequence[_Part], shared: set[str]) -> None:
        self._n_rows, self._parts = n_rows, parts
        self._pieces: dict[tuple[str, ColumnKind], list[tuple[int, _Values]]] = {}
        # Keys that are logged together have values in the same parts, so this is worked out once for all.
        self._orders: dict[tuple[int, ...], tuple[bytes | None, list[int] | None]] = {}
        for number, part in enumerate(parts if shared else ()):
            for key, kind, values in zip(part.keys, part.kinds, part.values, strict=True):
                if key in shared:
                    self._pieces.setdefault((key, kind), []).append((number, values))

    def take(self, key: str, kind: ColumnKind) -> Column | None:
        """Return the column of `key` and `kind`; None if it was returned before."""
        pieces = self._pieces.pop((key, kind), None)
        if pieces is None:
            return None
        rows, order = self._order(tuple([number for number, _ in pieces]))
        if kind == "v":
            values = [value for _, more in pieces for value in more]
            return Column(key, kind, rows, values if order is None else [values[i] for i in order])
        data = b"".join([cast("bytes", more) for _, more in pieces])
        if order is not None:
            width = _WIDTHS[kind]
            data = b"".join([data[width * i : width * i + width] for i in order])
        return Column(key, kind, rows, data)

    def _order(self, numbers: tuple[int, ...]) -> tuple[bytes | None, list[int] | None]:
        """Return the rows of some parts together, and the order of their values if it is another one."""
        found = self._orders.get(numbers)
        if found is None:
            rows = [row for number in numbers for row in self._parts[number].rows]
            order = sorted(range(len(rows)), key=rows.__getitem__)
            rows.sort()
            is_same = order == list(range(len(order)))
            found = _row_bytes(rows, self._n_rows), None if is_same else order
            self._orders[numbers] = found
        return found


def _row_bytes(rows: Sequence[int], n_rows: int) -> bytes | None:
    return None if len(rows) == n_rows else little_endian("I", rows)


def _bytes_of(numbers: array[Any]) -> bytes:
    return little_endian(cast('Literal["d", "q", "B"]', numbers.typecode), numbers)
