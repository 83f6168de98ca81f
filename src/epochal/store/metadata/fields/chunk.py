"""A field of neighbouring runs, as bytes.

Only the runs that have it take room: a field that one run in a thousand has costs a thousandth.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.store.metadata.fields.cells import Kind
from epochal.store.metadata.fields.column import Cells, encode_cells


class DamagedError(sqlite3.DatabaseError):
    """Bytes of the file are not those that were written; SQLite itself does not look at that."""


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """The stored form.  Arrays are little-endian."""

    rows: bytes  # uint32, within the part; empty: every run of the part
    kinds: bytes  # uint8; a single one stands for all
    numbers: bytes = b""  # float64, of the cells of a kind with a number
    codes: bytes = b""  # int32, of the cells of a kind with a text
    texts: list[str] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Chunk).decode
_HAS_NUMBER = np.isin(np.arange(256), (Kind.BOOL, Kind.NUMBER))
_HAS_TEXT = np.isin(np.arange(256), (Kind.TEXT, Kind.LIST))


def pack(rows: Sequence[int], values: Sequence[Any], n_rows: int) -> tuple[bytes, int, int]:
    """Return (chunk, cells, kinds) of the values at `rows` of a part of `n_rows` runs.

    Of two values of one row the first counts.  `kinds` has the bit 1 << kind for every kind that occurs.
    """
    places = np.array(rows, np.uint32)
    repeated = np.flatnonzero(places[1:] == places[:-1]) + 1
    if repeated.size:
        places = np.delete(places, repeated)
        doubles = set(repeated.tolist())
        values = [value for i, value in enumerate(values) if i not in doubles]
    cells = encode_cells(values)
    kinds = np.unique(cells.kinds)
    chunk = Chunk(
        rows=b"" if places.size == n_rows else places.astype("<u4").tobytes(),
        kinds=kinds.tobytes() if kinds.size == 1 else cells.kinds.tobytes(),
        numbers=b"" if cells.numbers is None else _packed(cells.numbers, cells, _HAS_NUMBER, "<f8"),
        codes=b"" if cells.codes is None else _packed(cells.codes, cells, _HAS_TEXT, "<i4"),
        texts=cells.texts,
    )
    encoded = _encode(chunk)
    data = zlib.crc32(encoded).to_bytes(4, "little") + encoded
    return data, places.size, int(np.bitwise_or.reduce(1 << kinds.astype(np.int64)))


def unpack(data: bytes, n_rows: int) -> tuple[NDArray[np.int64] | None, Cells]:
    """Return the rows (None: all) and the cells of a chunk of a part of `n_rows` runs.

    Raises:
        DamagedError: it is not what was packed.
    """
    if int.from_bytes(data[:4], "little") != zlib.crc32(data[4:]):
        raise DamagedError("a chunk of the file with the fields of runs is damaged")
    chunk = _decode(data[4:])
    rows = np.frombuffer(chunk.rows, "<u4").astype(np.int64) if chunk.rows else None
    n = n_rows if rows is None else rows.size
    kinds = np.frombuffer(chunk.kinds, np.uint8)
    if kinds.size == 1:
        kinds = np.full(n, kinds[0])
    numbers = codes = None
    if chunk.numbers:
        numbers = np.full(n, np.nan)
        numbers[_HAS_NUMBER[kinds]] = np.frombuffer(chunk.numbers, "<f8")
    if chunk.codes:
        codes = np.full(n, -1, np.int32)
        codes[_HAS_TEXT[kinds]] = np.frombuffer(chunk.codes, "<i4")
    return rows, Cells(kinds, numbers, codes, chunk.texts)


def _packed(array: NDArray[Any], cells: Cells, has: NDArray[np.bool_], dtype: str) -> bytes:
    return array[has[cells.kinds]].astype(dtype).tobytes()
