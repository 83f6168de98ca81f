"""Values of numpy, torch and JAX, on the host.

A single number is stored as a number of full precision, up to 32 elements as a nested list, more as a
histogram of 32 bins: what the stock client does, except that nothing here waits for a device.
"""

from __future__ import annotations

import sys
from typing import Any

from epochal.sdk.histogram import MAX_LIST_ELEMENTS, Histogram, numpy_histogram, torch_histogram
from epochal.sdk.values import needs_care, plain, text_of

_HOST = ("cpu", "meta")
# Arrays of foreign libraries have no types here: none of them is imported, so they are Any.
Array = Any


def from_numpy(array: Array) -> object:
    """Return a numpy scalar or array as plain data; a date as its ISO text."""
    np = sys.modules["numpy"]
    if isinstance(array, np.ndarray) and array.size != 1:
        return _from_many(array)
    return _number(array)


def from_torch_scalar(tensor: Array) -> object:
    """Return a torch tensor of one element on the host as a number.

    Raises:
        NeedsCareError: it has more elements, which may be a whole model's, or is on a device.
    """
    if tensor.numel() != 1 or tensor.device.type not in _HOST:
        needs_care(tensor)
    return from_torch(tensor)


def from_torch(tensor: Array) -> object:
    """Return a torch tensor as plain data, waiting for its device if it is on one."""
    tensor = tensor.detach()
    if tensor.numel() == 1:
        return plain(tensor.item()) if tensor.is_complex() else tensor.item()
    if tensor.layout is not sys.modules["torch"].strided:
        tensor = tensor.to_dense()
    if tensor.numel() <= MAX_LIST_ELEMENTS:
        return tensor.tolist()
    return torch_histogram(tensor).to_map()  # counted where the tensor is


def from_jax(array: Array) -> object:
    """Return a JAX array that is computed already as plain data.

    Raises:
        NeedsCareError: it is still being computed.
    """
    if not array.is_ready():
        needs_care(array)
    return read_jax(array)


def read_jax(array: Array) -> object:
    """Return a JAX array as plain data, waiting for it.

    Raises:
        RuntimeError: its buffer was given away (donated) before it was read.
    """
    if not array.is_fully_addressable:
        # Every process of a multi-host job holds the whole of a replicated value.
        array = array.addressable_data(0)
    return from_numpy(sys.modules["numpy"].asarray(array))


def read_now(value: object) -> object:
    """Return a value that `log()` would not wait for as plain data, waiting for it.

    Returns `value` itself if nothing here knows it.
    """
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(value, torch.Tensor):
        return from_torch(value)
    if jax is not None and isinstance(value, jax.Array):
        return read_jax(value)
    if isinstance(value, Histogram):
        return value.to_map()
    return value


def in_full(value: object) -> object:
    """Return `value` as plain data with every element of an array, as config holds it."""
    np, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if np is not None and isinstance(value, np.ndarray):
        return _number(value) if value.ndim == 0 else _as_list(value)
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().tolist()
    return plain(value)


def _from_many(array: Array) -> object:
    if array.size <= MAX_LIST_ELEMENTS or (array.dtype.kind not in "biuf" and not _is_small_float(array)):
        return _as_list(array)
    return numpy_histogram(array).to_map()


def _is_small_float(array: Array) -> bool:
    """Whether it is of bfloat16 or an 8-bit float, which numpy itself does not know."""
    return array.dtype.kind == "V" and array.dtype.names is None and "float" in array.dtype.name


def _as_list(array: Array) -> object:
    if _is_small_float(array) or array.dtype.name in ("longdouble", "float128"):
        array = array.astype("float64")
    elif array.dtype.kind in "mM":
        array = array.astype("str")
    return array.tolist()


def _number(scalar: Array) -> object:
    kind = scalar.dtype.kind
    if kind in "mM":
        return str(scalar.reshape(()).astype("str"))
    value = scalar.item()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if kind == "f" or (kind == "V" and not isinstance(value, tuple)):
        # A long double's item() is a long double again.
        return float(value)
    return text_of(value) if kind in "cV" else value
