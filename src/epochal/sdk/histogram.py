"""Histograms: what a large array is stored as, and what `Histogram(...)` makes.

Bins are of equal width between the lowest and the highest finite value; what is not finite has no bin
and is left out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from epochal.errors import UsageError
from epochal.sdk.values import Media

AUTOMATIC_BINS = 32
DEFAULT_BINS = 64
MAX_BINS = 512
MAX_LIST_ELEMENTS = 32

Array = Any  # of numpy, torch or JAX; none of them is imported


class Bins(NamedTuple):
    """A histogram: n + 1 rising edges and n counts."""

    edges: list[float]
    counts: list[float]

    def to_map(self) -> dict[str, object]:
        """Return the value that goes into a row."""
        return {"_type": "histogram", "bins": self.edges, "values": self.counts}


class Histogram(Media):
    """The distribution of many values, stored as counts in bins.

    Args:
        sequence: numbers: a list, nested or not, or an array of any library.  An array on a device is
            counted there, and nothing waits for it.
        np_histogram: counts and edges as `numpy.histogram` gives them, in place of `sequence`.
        num_bins: at most 512.

    Raises:
        UsageError: neither or both were given, too many bins, or not one edge more than counts.
    """

    MAX_LENGTH = MAX_BINS

    def __init__(
        self,
        sequence: object = None,
        np_histogram: tuple[Sequence[float], Sequence[float]] | None = None,
        num_bins: int = DEFAULT_BINS,
    ) -> None:
        self._pending: DeviceBins | None = None
        self._bins: Bins | None = None
        if np_histogram is not None:
            self._bins = _given(np_histogram)
        elif sequence is None:
            raise UsageError("a Histogram needs `sequence`, or `np_histogram` with counts and edges")
        elif not 0 < num_bins <= MAX_BINS:
            raise UsageError(f"a Histogram has 1 to {MAX_BINS} bins, not {num_bins}")
        else:
            self._count(sequence, num_bins)

    @property
    def pending(self) -> DeviceBins | None:
        """What is still being counted on a device, if it is."""
        return self._pending if self._bins is None else None

    @property
    def histogram(self) -> list[float]:
        """The counts, one a bin; waits for a device."""
        return self._get().counts

    @property
    def bins(self) -> list[float]:
        """The edges, one more than there are bins; waits for a device."""
        return self._get().edges

    def to_map(self) -> dict[str, object]:
        """Return the value that goes into a row; waits for a device."""
        return self._get().to_map()

    def _get(self) -> Bins:
        if self._bins is None:
            assert self._pending is not None
            self._bins = self._pending.read()
        return self._bins

    def _count(self, values: object, n_bins: int) -> None:
        torch, np = sys.modules.get("torch"), sys.modules.get("numpy")
        if torch is not None and isinstance(values, torch.Tensor):
            if values.device.type == "cpu":
                self._bins = torch_histogram(values, n_bins)
            else:
                self._pending = DeviceBins(torch_counts(values, n_bins))
        elif np is not None and (hasattr(values, "__array__") or isinstance(values, np.generic)):
            self._bins = numpy_histogram(np.asarray(values), n_bins)
        else:
            numbers = list(_numbers(values))
            self._bins = (
                numpy_histogram(np.asarray(numbers, dtype=float), n_bins)
                if np is not None
                else count_numbers(numbers, n_bins)
            )


class DeviceBins:
    """A histogram that a device is still counting: a tensor of its counts, lowest and highest value."""

    def __init__(self, counts: Array) -> None:
        self.counts = counts

    def read(self) -> Bins:
        """Return the histogram, waiting for the device."""
        return bins_of(self.counts.tolist())


def numpy_histogram(array: Array, n_bins: int = AUTOMATIC_BINS) -> Bins:
    """Count the finite elements of a numpy array of any shape."""
    np = sys.modules["numpy"]
    if array.dtype.kind not in "iuf":
        array = array.astype("float64")
    flat = array.reshape(-1)
    if flat.dtype.kind == "f":
        if flat.dtype.itemsize < 4:
            flat = flat.astype("float32")  # the width of a bin would overflow in half precision
        finite = np.isfinite(flat)
        flat = flat if finite.all() else flat[finite]
    if flat.size == 0:
        return Bins(_edges(0.0, 0.0, n_bins), [0] * n_bins)
    low, high = _widened(float(flat.min()), float(flat.max()))
    counts, _ = np.histogram(flat.astype("float64", copy=False), bins=n_bins, range=(low, high))
    return Bins(_edges(low, high, n_bins), counts.tolist())


def torch_histogram(tensor: Array, n_bins: int = AUTOMATIC_BINS) -> Bins:
    """Count the finite elements of a torch tensor of any shape on the host."""
    return bins_of(torch_counts(tensor, n_bins).tolist())


def torch_counts(tensor: Array, n_bins: int) -> Array:
    """Return a tensor of `n_bins` counts and the lowest and highest finite value, on the tensor's device.

    Only operations that a device runs in order and without the host: nothing here waits.
    """
    torch = sys.modules["torch"]
    # Apple's devices have no double precision.
    wide = torch.float32 if tensor.device.type == "mps" else torch.float64
    with torch.no_grad():
        flat = tensor.detach().reshape(-1)
        flat = (flat.abs() if flat.is_complex() else flat).to(wide)
        if flat.numel() == 0:
            return torch.zeros(n_bins + 2, dtype=wide)
        finite = torch.isfinite(flat)
        low = torch.where(finite, flat, math.inf).min()
        high = torch.where(finite, flat, -math.inf).max()
        width = torch.where(high > low, high - low, torch.ones_like(low))
        start = torch.where(high > low, low, low - 0.5)
        place = torch.where(finite, (flat - start) / width * n_bins, torch.zeros_like(flat))
        place = place.to(torch.int64).clamp_(0, n_bins - 1)
        counts = torch.zeros(n_bins, dtype=wide, device=flat.device)
        counts.scatter_add_(0, place, finite.to(wide))
        return torch.cat([counts, low.reshape(1), high.reshape(1)])


def bins_of(numbers: list[float]) -> Bins:
    """Return the histogram that `torch_counts` gave as numbers."""
    counts, low, high = numbers[:-2], numbers[-2], numbers[-1]
    if low > high:  # no finite value: the extremes are still at their start
        low = high = 0.0
    low, high = _widened(low, high)
    return Bins(_edges(low, high, len(counts)), [int(c) for c in counts])


def count_numbers(numbers: Iterable[float], n_bins: int) -> Bins:
    """Count numbers in plain Python, where there is no numpy."""
    finite = [v for v in numbers if math.isfinite(v)]
    low, high = _widened(min(finite, default=0.0), max(finite, default=0.0))
    counts = [0] * n_bins
    scale = n_bins / (high - low)
    for value in finite:
        counts[min(n_bins - 1, int((value - low) * scale))] += 1
    return Bins(_edges(low, high, n_bins), [*counts])


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return a range of some width: equal values get a bin around them."""
    if high > low:
        return low, high
    half = max(0.5, abs(low) * 1e-9)
    return low - half, high + half


def _edges(low: float, high: float, n_bins: int) -> list[float]:
    if low == high:
        low, high = _widened(low, high)
    width = high / n_bins - low / n_bins  # divided first: the difference of extremes may overflow
    return [*(low + i * width for i in range(n_bins)), high]


def _given(np_histogram: tuple[Sequence[float], Sequence[float]]) -> Bins:
    counts, edges = ([float(v) for v in part] for part in np_histogram)
    if len(edges) != len(counts) + 1:
        raise UsageError(f"a histogram of {len(counts)} counts has {len(counts) + 1} edges, not {len(edges)}")
    if len(counts) > MAX_BINS:
        raise UsageError(f"a Histogram has at most {MAX_BINS} bins; this one has {len(counts)}")
    whole = all(c.is_integer() for c in counts)
    return Bins(edges, [int(c) for c in counts] if whole else counts)


def _numbers(values: object) -> Iterable[float]:
    """Yield the numbers of a list, of lists in it, and of tensors in those."""
    if isinstance(values, (str, bytes)):
        raise UsageError("a Histogram is made of numbers, not of text")
    if isinstance(values, Iterable):
        tolist = getattr(values, "tolist", None)
        inner = tolist() if tolist is not None else values
        return chain.from_iterable(map(_numbers, inner)) if isinstance(inner, Iterable) else (float(inner),)
    return (float(values),)  # type: ignore[arg-type]
