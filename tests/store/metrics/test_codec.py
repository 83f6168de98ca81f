"""Every array comes back bit by bit, in whatever way it was written."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from epochal.store.metrics.embedded import codec
from epochal.store.metrics.embedded.chunks import decode_stats, encode_stats
from epochal.store.metrics.embedded.codec import Array, pack, unpack
from epochal.store.metrics.embedded.pyramid import single

N = 4096
T = np.arange(N)
RNG = np.random.default_rng(0)
ODD = [math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, -1e308, 3.4e38]
FLOATS: dict[str, NDArray[np.float64]] = {
    "cosine": np.cos(T / 500),
    "walk": np.cumsum(RNG.standard_normal(N)),
    "noise": RNG.standard_normal(N),
    "few values": RNG.integers(0, 5, N) / 4,
    "odd": np.resize(ODD, N),
    "random bits": RNG.integers(-(2**63), 2**63 - 1, N).view(np.float64),
}


def is_same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("n", [1, 2, 100, 1023, 1024, N])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_floats_come_back_bit_by_bit(
    name: str, n: int, precision: type[np.float32] | type[np.float64]
) -> None:
    with np.errstate(all="ignore"):
        values = FLOATS[name][:n].astype(precision).astype(np.float64)
    (back,) = unpack(pack([values]), [0])
    assert is_same(back, values)


def test_smooth_floats_take_far_less_than_their_bytes() -> None:
    smooth = FLOATS["cosine"].astype(np.float32).astype(np.float64)
    assert len(pack([smooth])) < 1.0 * N
    assert len(pack([FLOATS["cosine"]])) < 5.0 * N
    assert len(pack([FLOATS["few values"]])) < 0.6 * N
    assert len(pack([FLOATS["random bits"]])) < 8.1 * N


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40),
    st.lists(st.floats(width=64), max_size=40),
    st.binary(max_size=40),
)
def test_any_arrays_come_back_together_or_one_by_one(
    ints: list[int], floats: list[float], data: bytes
) -> None:
    arrays: list[Array] = [np.array(ints, np.int64), np.array(floats), np.frombuffer(data, np.uint8)]
    packed = pack(arrays)
    assert all(is_same(a, b) for a, b in zip(unpack(packed, [0, 1, 2]), arrays, strict=True))
    assert is_same(unpack(packed, [1])[0], arrays[1])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_bits_folded_and_unfolded_are_the_bits(order: int, dtype: type[np.int32] | type[np.int64]) -> None:
    limits = np.iinfo(dtype)
    bits: NDArray[Any] = np.array([0, limits.max, limits.min, -1, 1, limits.min, limits.max, 7], dtype)
    folded = codec._folded(bits, order)
    if order:
        assert is_same(codec._unfolded(folded, order), bits)  # type: ignore[arg-type]


def test_buckets_written_by_version_1_are_read() -> None:
    stats = single(np.array([1.0, math.nan, 3.5, -math.inf]))
    old = pack(
        [
            np.concatenate([stats.first, stats.last, stats.low, stats.high, stats.mean]),
            stats.n_points,
            np.concatenate([stats.n_nan, stats.n_posinf, stats.n_neginf]),
        ]
    )
    for body in (old, encode_stats(stats)):
        back = decode_stats(body)
        assert [array.tobytes() for array in back] == [array.tobytes() for array in stats]
