"""Takes rows of one shape out of their encoded form without decoding them one by one.

A training loop logs the same keys again and again, so the payloads of its rows are of one length, and equal
byte for byte but for the numbers.  Such payloads are laid one after the other, and a column is gathered by
slices with their length as stride: some 16 operations for a column in place of one for each value.  All other
bytes (keys, types, sizes) are compared with the first row's, so a row that is different is never taken for
one that is not.

Source: the msgpack specification, "Formats".
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import msgspec

from epochal.runlog.columns import RESERVED_KEYS
from epochal.runlog.format import RecordType

MIN_ROWS = 64  # fewer are decoded in no more time
_MAX_SPLITS = 4
_ROW, _UNPLACED_ROW = int(RecordType.ROW), int(RecordType.UNPLACED_ROW)
_FALSE, _TRUE, _FLOAT64 = 0xC2, 0xC3, 0xCB
_UNSIGNED_BYTES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_TIME_AT = 3
_STEP_AT = 11
_AS_BOOLEANS = bytes(int(b == _TRUE) for b in range(256))

NumberKind = Literal["f", "i", "b"]
_TYPECODES: dict[NumberKind, Literal["d", "q", "B"]] = {"f": "d", "i": "q", "b": "B"}
_decode = msgspec.msgpack.Decoder().decode

if TYPE_CHECKING:  # Python itself cannot evaluate these
    Floats = array[float]
    Integers = array[int]


class Numbers(NamedTuple):
    """One column: f64, i64, or booleans as u8."""

    key: str
    kind: NumberKind
    values: Floats | Integers


class UniformRows(NamedTuple):
    """Rows with the same keys and the same types of numbers."""

    members: Sequence[int]  # which of the payloads they are, ascending
    is_unplaced: bool
    times: Floats
    steps: Integers
    columns: list[Numbers]


class _Field(NamedTuple):
    at: int  # where its bytes begin in the payload
    n_bytes: int
    kind: NumberKind
    highest: int = 0xFF  # that its first byte can be


class _Layout(NamedTuple):
    """Where the numbers of a row are in its payload; all other bytes are the same in every row."""

    step: _Field
    fields: list[tuple[str, _Field]]
    constant: list[int]  # positions


def take_uniform(payloads: Sequence[bytes]) -> tuple[list[UniformRows], list[int]]:
    """Return the rows of `payloads` that come in groups of one shape, and which payloads are left over."""
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(map(len, payloads)):
        by_length.setdefault(length, []).append(index)
    found: list[UniformRows] = []
    rest: list[int] = []
    for members in by_length.values():
        _take(payloads, members, found, rest, _MAX_SPLITS)
    rest.sort()
    return found, rest


def _take(
    payloads: Sequence[bytes], members: list[int], found: list[UniformRows], rest: list[int], n_splits: int
) -> None:
    """Move `members`, whose payloads are of one length, to `found` or `rest`."""
    layout = _layout_of(payloads[members[0]]) if len(members) >= MIN_ROWS else None
    if layout is None:
        rest += members
        return
    together = b"".join(payloads if len(members) == len(payloads) else [payloads[i] for i in members])
    stride = len(payloads[members[0]])
    differs_at = _first_difference(together, stride, layout.constant)
    if differs_at is None:
        rows = _gathered(together, stride, layout, members)
        if rows is None:
            rest += members
        else:
            found.append(rows)
    elif n_splits == 0:
        rest += members
    else:
        parts: dict[int, list[int]] = {}
        for member, byte in zip(members, together[differs_at::stride], strict=True):
            parts.setdefault(byte, []).append(member)
        for part in parts.values():
            _take(payloads, part, found, rest, n_splits - 1)


def _layout_of(payload: bytes) -> _Layout | None:
    """Return the layout of a row of plain numbers, or None of anything else."""
    if payload[:1] != b"\x94" or payload[1] not in (_ROW, _UNPLACED_ROW) or payload[2] != _FLOAT64:
        return None
    try:
        data = _decode(payload)[3]
        step, at = _field(payload, _STEP_AT)
        n_keys, at = _length(payload, at, 0x80, 15, {0xDE: 2, 0xDF: 4})
        fields = []
        for _ in range(n_keys):
            n_bytes, begin = _length(payload, at, 0xA0, 31, {0xD9: 1, 0xDA: 2})
            field, at = _field(payload, begin + n_bytes)
            fields.append((payload[begin : begin + n_bytes].decode(), field))
    except (msgspec.MsgspecError, _NotPlainError, IndexError, UnicodeDecodeError):
        return None
    keys = [key for key, _ in fields]
    if step.kind != "i" or at != len(payload) or list(data) != keys or not RESERVED_KEYS.isdisjoint(keys):
        return None
    numbers = {_TIME_AT + i for i in range(8)}
    for field in (step, *(field for _, field in fields)):
        numbers.update(range(field.at, field.at + field.n_bytes))
    return _Layout(step, fields, [i for i in range(len(payload)) if i not in numbers])


class _NotPlainError(Exception):
    """A value that is not a number of a fixed size."""


def _field(payload: bytes, at: int) -> tuple[_Field, int]:
    """Return the number whose first byte is at `at`, and where the next thing begins."""
    tag = payload[at]
    if tag == _FLOAT64:
        return _Field(at + 1, 8, "f"), at + 9
    if tag in (_FALSE, _TRUE):
        return _Field(at, 1, "b"), at + 1
    if tag < 0x80:  # a small number by itself
        return _Field(at, 1, "i", 0x7F), at + 1
    if tag in _UNSIGNED_BYTES:
        n_bytes = _UNSIGNED_BYTES[tag]
        return _Field(at + 1, n_bytes, "i", 0x7F if n_bytes == 8 else 0xFF), at + 1 + n_bytes
    raise _NotPlainError


def _length(payload: bytes, at: int, short: int, most: int, long: dict[int, int]) -> tuple[int, int]:
    """Return the length of the text or map that begins at `at`, and where what is in it begins."""
    tag = payload[at]
    if short <= tag <= short + most:
        return tag - short, at + 1
    if tag not in long:
        raise _NotPlainError
    begin = at + 1 + long[tag]
    return int.from_bytes(payload[at + 1 : begin], "big"), begin


def _first_difference(together: bytes, stride: int, constant: Sequence[int]) -> int | None:
    n = len(together) // stride
    for at in constant:
        if together[at::stride] != together[at : at + 1] * n:
            return at
    return None


def _gathered(together: bytes, stride: int, layout: _Layout, members: Sequence[int]) -> UniformRows | None:
    """Return the columns, or None if a number is not of the size that the first one has."""
    times = _column(together, stride, _Field(_TIME_AT, 8, "f"))
    steps = _column(together, stride, layout.step)
    columns = []
    for key, field in layout.fields:
        values = _column(together, stride, field)
        if values is None:
            return None
        columns.append(Numbers(key, field.kind, values))
    if steps is None:
        return None
    is_unplaced = together[1] == _UNPLACED_ROW
    return UniformRows(members, is_unplaced, cast("Floats", times), cast("Integers", steps), columns)


def _column(together: bytes, stride: int, field: _Field) -> Floats | Integers | None:
    first = together[field.at :: stride]
    if field.kind == "b":
        is_boolean = not first.translate(None, bytes((_FALSE, _TRUE)))
        return array("B", first.translate(_AS_BOOLEANS)) if is_boolean else None
    if field.highest < 0xFF and max(first) > field.highest:
        return None
    gathered = bytearray(8 * len(first))
    for i in range(field.n_bytes):
        gathered[field.n_bytes - 1 - i :: 8] = together[field.at + i :: stride]
    values = array(_TYPECODES[field.kind])
    values.frombytes(gathered)
    if sys.byteorder == "big":
        values.byteswap()
    return values
