"""Brings the rows of many payloads into columns: uniform ones as they are encoded, the others decoded."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from epochal.runlog.columns import ColumnKind, LoggedRow, columns_of
from epochal.runlog.format import RecordType
from epochal.runlog.reader import decode_record
from epochal.wire.uniform import UniformRows, take_uniform

# Plain integers: comparing with a member of an enum costs more than everything else about a row.
_ROW, _UNPLACED_ROW = int(RecordType.ROW), int(RecordType.UNPLACED_ROW)
_CHECKPOINT = int(RecordType.CHECKPOINT)
_BEYOND_64_BITS = 2**63

_TYPECODES: dict[ColumnKind, str] = {"f": "d", "i": "q", "b": "B"}
_Values = Any  # an array, or a list of anything


class GatheredColumn(NamedTuple):
    """The values of one key and one kind: an array, or a list for kind "v"."""

    key: str
    kind: ColumnKind
    rows: Sequence[int] | None  # ascending row indices; None if every row has a value
    values: _Values


class Gathered(NamedTuple):
    """Rows in columns, and the other records in order, each with the number of rows before it."""

    n_rows: int
    steps: array[int]
    times: array[float]
    unplaced: bytes | None  # u8 per row
    columns: list[GatheredColumn]
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


class _Into:
    """Collects parts of columns until all are there."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.steps: array[int] = array("q", bytes(8 * n_rows))
        self.times: array[float] = array("d", bytes(8 * n_rows))
        self.unplaced = bytearray(n_rows)
        self._parts: dict[tuple[str, ColumnKind], list[tuple[Sequence[int], _Values]]] = {}

    def add_uniform(self, group: UniformRows, rows: Sequence[int]) -> None:
        if len(rows) == self.n_rows:
            self.steps, self.times = group.steps, group.times
        else:
            for row, step, time in zip(rows, group.steps, group.times, strict=True):
                self.steps[row], self.times[row] = step, time
        if group.is_unplaced:
            for row in rows:
                self.unplaced[row] = 1
        for key, kind, values in group.columns:
            self._parts.setdefault((key, kind), []).append((rows, values))

    def add_decoded(self, records: Sequence[list[Any]], rows: Sequence[int]) -> None:
        columns, times = columns_of([LoggedRow(r[2], r[1], r[3]) for r in records])
        for row, record, time in zip(rows, records, times, strict=True):
            self.steps[row], self.times[row] = record[2], time
            self.unplaced[row] = record[0] == _UNPLACED_ROW
        for key, kind, indices, values in columns:
            here = rows if indices is None else [rows[i] for i in indices]
            typed = list(values) if kind == "v" else array(_TYPECODES[kind], cast("Sequence[float]", values))
            self._parts.setdefault((key, kind), []).append((here, typed))

    def columns(self) -> list[GatheredColumn]:
        """Return them in order of first appearance."""
        merged = [(_merged(parts), key, kind) for (key, kind), parts in self._parts.items()]
        merged.sort(key=lambda column: column[0][0][0])
        return [
            GatheredColumn(key, kind, None if len(rows) == self.n_rows else rows, values)
            for (rows, values), key, kind in merged
        ]


def _merged(parts: list[tuple[Sequence[int], _Values]]) -> tuple[Sequence[int], _Values]:
    """Return the parts of one column as one, its rows ascending."""
    if len(parts) == 1:
        return parts[0]
    rows = [row for part, _ in parts for row in part]
    values = parts[0][1][:]
    for _, more in parts[1:]:
        values.extend(more)
    order = sorted(range(len(rows)), key=rows.__getitem__)
    in_order = [values[i] for i in order]
    typed = in_order if isinstance(values, list) else array(values.typecode, in_order)
    return [rows[i] for i in order], typed
