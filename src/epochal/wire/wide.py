"""Brings wide rows into columns whole rows at a time: ten thousand keys and more cost some operations each.

Rows that have the same keys in the same order are one array of all their numbers, row after row; a column is
every n-th of them.  What is no number, or not of one type in all of the rows, is left to the plain way.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple, cast

from epochal.runlog.columns import RESERVED_KEYS, ColumnKind, LoggedRow, flatten

MIN_KEYS = 32  # of a row; with fewer the plain way takes no longer
_KIND_OF_TYPE: dict[type, ColumnKind] = {float: "f", int: "i", bool: "b"}
_TYPECODES: dict[ColumnKind, str] = {"f": "d", "i": "q", "b": "B"}
_BEYOND_64_BITS = 2**63


class WideRows(NamedTuple):
    """Rows with the same keys, and the columns of those keys that are numbers of one kind in all of them."""

    members: list[int]  # which of the rows they are, ascending
    keys: list[str]
    kinds: list[ColumnKind]
    values: list[bytes]  # little-endian, one for each member


def take_wide(rows: Sequence[LoggedRow]) -> tuple[list[WideRows], list[LoggedRow]]:
    """Return the columns of the wide ones of `rows`, and as many rows with what is left of each.

    A row's time is the user's `_timestamp` if there is one.
    """
    left = list(rows)
    groups: dict[tuple[str, ...], tuple[list[int], list[Mapping[str, object]]]] = {}
    for index, row in enumerate(rows):
        if not _is_wide(row.data):
            continue
        flat = _flat(row.data)
        if flat is not row.data:
            left[index] = row = LoggedRow(row.step, _time_of(row, flat), _without_reserved(flat))
        members, data = groups.setdefault(tuple(row.data), ([], []))
        members.append(index)
        data.append(row.data)
    return [_take(keys, members, data, left) for keys, (members, data) in groups.items()], left


def _is_wide(data: Mapping[str, object]) -> bool:
    return len(data) >= MIN_KEYS or any(type(v) is dict and _is_wide(v) for v in data.values())


def _flat(data: Mapping[str, object]) -> Mapping[str, object]:
    """Return `data` itself if it is flat and all of its keys are metrics."""
    is_flat = (
        RESERVED_KEYS.isdisjoint(data)
        and set(map(type, data)) == {str}
        and dict not in set(map(type, data.values()))
    )
    return data if is_flat else flatten(data)


def _time_of(row: LoggedRow, flat: Mapping[str, object]) -> float:
    said = flat.get("_timestamp")
    return float(said) if isinstance(said, (int, float)) else row.time


def _without_reserved(flat: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for key, value in flat.items() if key not in RESERVED_KEYS}


def _take(
    keys: tuple[str, ...], members: list[int], data: list[Mapping[str, object]], left: list[LoggedRow]
) -> WideRows:
    """Return the columns of rows of equal keys, and put what is left of each into `left`."""
    rows = [list(row.values()) for row in data]
    kinds = _kinds(rows)
    columns: list[bytes | None] = [None] * len(keys)
    for kind in ("f", "i", "b"):
        chosen = [of_key == kind for of_key in kinds]
        n = sum(chosen)
        if n:
            values = _columns(rows, kind, chosen if n < len(keys) else None, n)
            for place, column in zip(compress(range(len(keys)), chosen), values, strict=True):
                columns[place] = column
    is_left = [kind is None for kind in kinds]
    for index, row in zip(members, rows, strict=True):
        rest = dict(zip(compress(keys, is_left), compress(row, is_left), strict=True))
        left[index] = left[index]._replace(data=rest)
    found = [(k, kind, c) for k, kind, c in zip(keys, kinds, columns, strict=True) if c is not None]
    return WideRows(
        members,
        [k for k, _, _ in found],
        [cast("ColumnKind", kind) for _, kind, _ in found],
        [c for *_, c in found],
    )


def _kinds(rows: Sequence[Sequence[object]]) -> list[ColumnKind | None]:
    """Return the kind of every column; None for one that is left to the plain way."""
    types = list(map(type, rows[0]))
    kinds = list(map(_KIND_OF_TYPE.get, types))
    for row in rows:
        others = list(map(type, row))
        if others != types:
            kinds = [k if a is b else None for k, a, b in zip(kinds, types, others, strict=True)]
    if "i" in kinds:
        for row in rows:
            integers = cast("Iterable[int]", compress(row, [kind == "i" for kind in kinds]))
            if max(integers, default=0) >= _BEYOND_64_BITS:
                kinds = [
                    None if kind == "i" and cast("int", value) >= _BEYOND_64_BITS else kind
                    for kind, value in zip(kinds, row, strict=True)
                ]
    return kinds


def _columns(
    rows: Sequence[Sequence[object]], kind: ColumnKind, chosen: Sequence[bool] | None, n: int
) -> list[bytes]:
    """Return the bytes of the `n` columns of one kind: those that are `chosen`, or all of them."""
    numbers: array[Any] = array(_TYPECODES[kind])
    for row in rows:
        numbers.fromlist(list(row if chosen is None else compress(row, chosen)))
    if sys.byteorder == "big":
        numbers.byteswap()
    if len(rows) == 1:
        width, data = numbers.itemsize, numbers.tobytes()
        return [data[at : at + width] for at in range(0, len(data), width)]
    return [numbers[place::n].tobytes() for place in range(n)]
