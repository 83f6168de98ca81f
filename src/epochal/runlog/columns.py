"""Turns logged rows into columns, in plain Python so that the sidecar stays small.

Training loops log the same keys again and again, so rows are gathered by their keys and transposed by `zip`,
at tens of nanoseconds a value; only rows with nested or reserved keys are looked at one by one.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, cast

ColumnKind = Literal["f", "i", "b", "v"]

# Names that the stock client adds to every row; a user's value for them is not a metric.
RESERVED_KEYS = frozenset({"_step", "_runtime", "_timestamp"})
_LITTLE_ENDIAN = sys.byteorder == "little"
_MAX_DEPTH = 64


class LoggedRow(NamedTuple):
    """One row record."""

    step: int  # or the ordinal of an unplaced row
    time: float  # Unix seconds
    data: Mapping[str, object]  # nested as logged


class KeyColumn(NamedTuple):
    """The values of one key and one kind."""

    key: str
    kind: ColumnKind
    rows: Sequence[int] | None  # ascending row indices; None if every row has a value
    values: Sequence[object]


def flatten(data: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return `data` with nested maps as dotted keys.

    A map with the key `_type` is one value (media); an empty map vanishes; keys become text.  Beyond
    64 levels a map is kept as a value.
    """
    flat: dict[str, object] = {}
    _flatten_into(flat, data, prefix, 0)
    return flat


def _flatten_into(flat: dict[str, object], data: Mapping[str, object], prefix: str, depth: int) -> None:
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and "_type" not in value and depth < _MAX_DEPTH:
            _flatten_into(flat, value, f"{name}.", depth + 1)
        else:
            flat[name] = value


def columns_of(rows: Sequence[LoggedRow]) -> tuple[list[KeyColumn], list[float]]:
    """Return the columns of `rows` in order of first appearance, and the time of every row.

    The time of a row is the user's `_timestamp` if there is one.
    """
    groups: dict[tuple[str, ...], tuple[list[int], list[Iterable[object]]]] = {}
    times = [row[1] for row in rows]
    last_keys, take_index, take_values = None, None, None
    for index, (_, _, data) in enumerate(rows):
        keys = tuple(data)
        if keys != last_keys or take_index is None or take_values is None:
            indices, values = groups.setdefault(keys, ([], []))
            last_keys, take_index, take_values = keys, indices.append, values.append
        take_index(index)
        take_values(data.values())
    parts: dict[tuple[str, ColumnKind], tuple[list[int], list[object]]] = {}
    for keys, (indices, values) in groups.items():
        if _is_plain(keys) and _gather(parts, keys, indices, values):
            continue
        for index in indices:
            _gather_one(parts, index, rows[index][2], times)
    return [_column(key, kind, part, len(rows)) for (key, kind), part in parts.items()], times


def little_endian(typecode: Literal["d", "q", "B", "I"], values: Sequence[object]) -> bytes:
    """Return `values` as a little-endian array of f64, i64, u8 or u32."""
    numbers = array(typecode, cast("Sequence[float]", values))
    if not _LITTLE_ENDIAN:
        numbers.byteswap()
    return numbers.tobytes()


def _is_plain(keys: tuple[str, ...]) -> bool:
    return RESERVED_KEYS.isdisjoint(keys) and set(map(type, keys)) <= {str}


def _gather(
    parts: dict[tuple[str, ColumnKind], tuple[list[int], list[object]]],
    keys: tuple[str, ...],
    indices: list[int],
    values: list[Iterable[object]],
) -> bool:
    """Add rows of equal keys to `parts` column by column.

    Returns False, having added nothing, if a map is nested in one of them.
    """
    columns = list(zip(*values, strict=True))
    kinds = [set(map(type, column)) for column in columns]
    if any(dict in kind for kind in kinds):
        return False
    for key, column, kind in zip(keys, columns, kinds, strict=True):
        only = _KIND_OF_TYPE.get(next(iter(kind))) if len(kind) == 1 else None
        if only is None or (only == "i" and not _fits_64_bits(column)):
            for index, value in zip(indices, column, strict=True):
                _add(parts, index, key, value)
        else:
            part = parts.get((key, only))
            if part is None:
                parts[key, only] = (indices[:], list(column))
            else:
                part[0].extend(indices)
                part[1].extend(column)
    return True


_KIND_OF_TYPE: dict[type, ColumnKind] = {float: "f", int: "i", bool: "b"}


def _fits_64_bits(values: Sequence[object]) -> bool:
    return max(values) < 2**63  # type: ignore[type-var, operator]


def _gather_one(
    parts: dict[tuple[str, ColumnKind], tuple[list[int], list[object]]],
    index: int,
    data: Mapping[str, object],
    times: list[float],
) -> None:
    for key, value in flatten(data).items():
        if key not in RESERVED_KEYS:
            _add(parts, index, key, value)
        elif key == "_timestamp" and isinstance(value, (int, float)):
            times[index] = float(value)


def _add(
    parts: dict[tuple[str, ColumnKind], tuple[list[int], list[object]]], index: int, key: str, value: object
) -> None:
    kind = _KIND_OF_TYPE.get(type(value), "v")
    if kind == "v":
        value = _as_data(value)
    if kind == "i" and not -(2**63) <= value < 2**63:  # type: ignore[operator]
        kind, value = "f", float(value)  # type: ignore[arg-type]
    part = parts.setdefault((key, kind), ([], []))
    part[0].append(index)
    part[1].append(value)


# What JSON knows.  msgpack knows bytes and times too, and the encoder writes them as such.
_DATA_TYPES = frozenset({str, float, int, bool, type(None)})


def _as_data(value: object) -> object:
    """Return a value with bytes in it as text, and times in it as ISO 8601."""
    kind = type(value)
    if kind in _DATA_TYPES:
        return value
    if isinstance(value, list):
        return value if _DATA_TYPES.issuperset(map(type, value)) else [_as_data(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _as_data(v) for k, v in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if isinstance(value, datetime) else value


def _column(key: str, kind: ColumnKind, part: tuple[list[int], list[object]], n_rows: int) -> KeyColumn:
    indices, values = part
    if len(indices) == n_rows and _ascends(indices):
        return KeyColumn(key, kind, None, values)
    if not _ascends(indices):
        pairs = sorted(zip(indices, range(len(values)), strict=True))
        indices, values = [pair[0] for pair in pairs], [values[pair[1]] for pair in pairs]
    return KeyColumn(key, kind, None if len(indices) == n_rows else indices, values)


def _ascends(indices: list[int]) -> bool:
    return indices == sorted(indices)  # linear for what is sorted already
