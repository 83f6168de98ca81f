"""Arrays as bytes: what a chunk consists of.

Each array is written in the way that suits it: one value repeated, an arithmetic progression, or its bytes
with all first bytes together, then all second ones, and so on, which zstd packs far better.  Floats that
change little from one to the next are written as the differences of their bits, or as the differences of
those, whichever a sample says is shortest.  Readers decode only the arrays they ask for.
docs/formats/metric-store.md describes the bytes.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
import zstandard
from numpy.typing import NDArray

Array = NDArray[np.int64] | NDArray[np.float64] | NDArray[np.uint8]

CONSTANT, ARITHMETIC, PLANES, DIFFERENCES, SINGLE_PRECISION, RAW = range(6)
# Differences of the bits of floats, folded so that small ones of either sign have high bytes of zero; and
# the differences of those.
SINGLE_FOLDED, SINGLE_FOLDED_TWICE, DOUBLE_FOLDED, DOUBLE_FOLDED_TWICE = range(6, 10)

_DTYPES: Final = (np.dtype("<i8"), np.dtype("<f8"), np.dtype("u1"))
_ENTRY = struct.Struct("<BBIQ")  # dtype, encoding, items, bytes
_ZSTD_LEVEL = 1
# Below so many floats what a better encoding saves is less than what finding it costs.
_MIN_SAMPLED = 1024
_SAMPLE = 256
_ENCODINGS: Final = {
    4: (SINGLE_PRECISION, SINGLE_FOLDED, SINGLE_FOLDED_TWICE),
    8: (PLANES, DOUBLE_FOLDED, DOUBLE_FOLDED_TWICE),
}

Bits = NDArray[np.int32] | NDArray[np.int64]


class _Contexts(threading.local):
    """zstd's working memory, which takes longer to make than to use, one a thread."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd: Final = _Contexts()


def pack(arrays: Sequence[Array]) -> bytes:
    """Return `arrays`, of at most 255 items of 64 bits or bytes and any length, as bytes."""
    # A column of a matrix has gaps between its items.
    encoded = [_encode(cast("Array", np.ascontiguousarray(array))) for array in arrays]
    head = [bytes([len(arrays)])]
    for array, (encoding, data) in zip(arrays, encoded, strict=True):
        dtype_code = _DTYPES.index(array.dtype)
        head.append(_ENTRY.pack(dtype_code, encoding, array.size, len(data)))
    return b"".join(head + [data for _, data in encoded])


def unpack(data: bytes, which: Sequence[int]) -> list[Array]:
    """Return the arrays at the places `which` of what `pack` made.  They may be read-only.

    Raises:
        ValueError, zstandard.ZstdError, struct.error: the bytes are damaged.
    """
    entries = list(_ENTRY.iter_unpack(memoryview(data)[1 : 1 + data[0] * _ENTRY.size]))
    begins, at = [], 1 + data[0] * _ENTRY.size
    for *_, n_bytes in entries:
        begins.append(at)
        at += n_bytes
    return [_decode(memoryview(data)[begins[i] :][: entries[i][3]], *entries[i][:3]) for i in which]


def _encode(array: Array) -> tuple[int, bytes]:
    if array.size == 0:
        return RAW, b""
    bits = array.view(np.int64) if array.itemsize == 8 else array
    if bits[0] == bits[-1] and (bits == bits[0]).all():
        return CONSTANT, bits[:1].tobytes()
    if array.dtype == np.float64:
        return _encode_floats(cast("NDArray[np.float64]", array))
    if array.dtype == np.uint8:
        return PLANES, _compress(array.tobytes())
    return _encode_ints(cast("NDArray[np.int64]", array))


def _encode_floats(array: NDArray[np.float64]) -> tuple[int, bytes]:
    with np.errstate(over="ignore", invalid="ignore"):
        short = array.astype(np.float32)
    if (short.astype(np.float64).view(np.int64) == array.view(np.int64)).all():
        return _encode_bits(short.view(np.int32))
    return _encode_bits(array.view(np.int64))


def _encode_bits(bits: Bits) -> tuple[int, bytes]:
    order = 0
    if bits.size >= _MIN_SAMPLED:
        sample = bits[bits.size // 2 :][:_SAMPLE]
        order = int(np.argmin([len(_compress(_planes(_folded(sample, n)))) for n in range(3)]))
    return _ENCODINGS[bits.itemsize][order], _compress(_planes(_folded(bits, order)))


def _folded(bits: Bits, order: int) -> Bits:
    """Return the differences of `bits`, taken `order` times, the sign of each in its lowest bit."""
    for _ in range(order):
        # They wrap around and so does their sum, hence nothing is lost.
        differences = bits.copy()
        differences[1:] -= bits[:-1]
        bits = differences
    return (bits << 1) ^ (bits >> (8 * bits.itemsize - 1)) if order else bits


def _unfolded(folded: Bits, order: int) -> Bits:
    unsigned = folded.view(f"u{folded.itemsize}")
    bits = cast("Bits", (unsigned >> 1).view(folded.dtype) ^ -(folded & 1))
    for _ in range(order):
        bits = cast("Bits", bits.cumsum(dtype=bits.dtype))
    return bits


def _encode_ints(array: NDArray[np.int64]) -> tuple[int, bytes]:
    # Differences wrap around and so does their sum, hence nothing is lost beyond 64 bits.
    differences = np.diff(array, prepend=array.dtype.type(0))
    strides = differences[1:]
    if strides.size and strides[0] == strides[-1] and (strides == strides[0]).all():
        return ARITHMETIC, np.array([array[0], strides[0]], "<i8").tobytes()
    return DIFFERENCES, _compress(_planes(differences))


def _decode(data: memoryview, dtype_code: int, encoding: int, n: int) -> Array:
    dtype = _DTYPES[dtype_code]
    if n == 0:
        return np.empty(0, dtype)
    if encoding == CONSTANT:
        return np.full(n, np.frombuffer(data, dtype)[0], dtype)
    if encoding == ARITHMETIC:
        first, stride = np.frombuffer(data, "<i8")
        return cast("Array", first + stride * np.arange(n, dtype=np.int64))
    raw = _zstd.decompress(data)
    planes = np.frombuffer(raw, np.uint8).reshape(-1, n)
    array = np.ascontiguousarray(planes.T).reshape(-1)
    if encoding == SINGLE_PRECISION:
        return array.view("<f4").astype(np.float64)
    if encoding in (SINGLE_FOLDED, SINGLE_FOLDED_TWICE):
        return _unfolded(array.view("<i4"), encoding - SINGLE_FOLDED + 1).view("<f4").astype(np.float64)
    if encoding in (DOUBLE_FOLDED, DOUBLE_FOLDED_TWICE):
        return cast("Array", _unfolded(array.view("<i8"), encoding - DOUBLE_FOLDED + 1).view("<f8"))
    if encoding == DIFFERENCES:
        return array.view("<i8").cumsum(dtype=np.int64)
    if encoding == PLANES:
        return cast("Array", array.view(dtype))
    raise ValueError(f"an array of the unknown encoding {encoding}")


def _planes(array: NDArray[np.generic]) -> bytes:
    # A key's values may be one column of a table of many keys.
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize).T.tobytes()


def _compress(data: bytes) -> bytes:
    return _zstd.compress(data)
