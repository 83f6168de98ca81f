"""Turns whatever a user logs into what a run log can hold.

msgspec encodes plain values by itself, at tens of nanoseconds each.  It calls `plain` for every other one, so
an unusual value costs one dictionary look-up by its type.  Libraries are never imported here: a value of a
library's type proves that the user imported it, so it is found in `sys.modules`.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Set

import msgspec

from epochal.sdk.terminal import terminal

MAX_DEPTH = 100
MAX_REPR_CHARACTERS = 2_000

Convert = Callable[[object], object]


class NeedsCareError(Exception):
    """Raised while encoding: this value must be stored by the slow way, which knows its run and its key."""


class Media:
    """Base of the values that are stored as a file, with a map that names it in the row."""


def needs_care(value: object) -> object:
    """Refuse the fast way for `value`."""
    raise NeedsCareError(type(value).__name__)


def plain(value: object) -> object:
    """Return `value` as plain data, perhaps holding further values to convert.

    Raises:
        NeedsCareError: only the slow way can store it: media, a value still on a device, an iterator.
    """
    kind = type(value)
    convert = _converters.get(kind)
    if convert is None:
        convert = _converters[kind] = _find(kind)
    return convert(value)


def tidy(value: object, depth: int = 0) -> object:
    """Return `value` as plain data all the way down, whatever it is; waits for a value on a device.

    What msgspec cannot encode becomes something that it can: integers beyond 64 bits floats, keys texts,
    surrogates question marks, endless nesting the text of itself.
    """
    if isinstance(value, str):
        return value if type(value) is str and value.isprintable() else _clean_text(value)
    if value is None or isinstance(value, (bool, float)):
        return value if value is None or isinstance(value, bool) else float(value)
    if isinstance(value, int):
        return _clean_int(int(value))
    if isinstance(value, (bytes, bytearray)):
        return _decoded(value)
    if depth > MAX_DEPTH:
        return text_of(value)
    if isinstance(value, Mapping):
        return {key_text(k): tidy(v, depth + 1) for k, v in list(value.items())}
    if isinstance(value, (list, tuple, Set, Iterator)):
        return [tidy(v, depth + 1) for v in list(value)]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    try:
        # What the encoder knows (dataclasses, enums, decimals, …) is stored here as it is on the fast way.
        return _decode(encode(value))
    except Exception:  # noqa: BLE001  of a part of it; each part gets its own chance below
        converted = _or_repr(_convert)(value)
    return text_of(value) if converted is value else tidy(converted, depth + 1)


def _convert(value: object) -> object:
    """Return `value` one step plainer, waiting for it if it is on a device."""
    try:
        return plain(value)
    except NeedsCareError:
        from epochal.sdk import arrays

        return arrays.read_now(value)


def key_text(key: object) -> str:
    """Return a key of a map as text."""
    return _clean_text(key) if isinstance(key, str) else text_of(key)


def text_of(value: object) -> str:
    """Return a text that stands for `value`, never raising and never endless."""
    try:
        shown = str(value) if isinstance(value, (int, float, complex)) else repr(value)
    except Exception:  # noqa: BLE001  a user's __repr__ may raise anything
        shown = f"<{type(value).__qualname__}>"
    return _clean_text(shown[:MAX_REPR_CHARACTERS])


def _clean_text(value: str) -> str:
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _decoded(value: object) -> str:
    return bytes(value).decode("utf-8", "replace")  # type: ignore[call-overload, no-any-return]


def _clean_int(value: int) -> object:
    if -(2**63) <= value < 2**63:
        return value
    try:
        return float(value)
    except OverflowError:
        return text_of(value) if value.bit_length() < 10_000 else f"<an integer of {value.bit_length()} bits>"


def _repr_with_warning(value: object) -> object:
    kind = type(value)
    terminal.warn_once(
        ("type", kind),
        f"A value of type {kind.__module__}.{kind.__qualname__} is no data that can be stored; its text is.",
    )
    return text_of(value)


def _name_of(value: object) -> object:
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", None)
    return text_of(value) if name is None else f"{module}.{name}" if module else name


def _find(kind: type) -> Convert:
    """Return what converts values of type `kind`."""
    for library, find in _LIBRARIES:
        if any(base.__module__.partition(".")[0] == library for base in kind.__mro__):
            found = find(kind)
            if found is not None:
                return found
    for base, convert in _BASES:
        if issubclass(kind, base):
            return convert
    return _find_by_shape(kind)


_FUNCTIONS = frozenset({"function", "builtin_function_or_method", "method", "method-wrapper"})


def _find_by_shape(kind: type) -> Convert:
    """Return a converter for a type of no library we know, by what it can do."""
    if issubclass(kind, type) or kind.__name__ in _FUNCTIONS:
        return _name_of
    for method, convert in (
        ("__index__", lambda v: _clean_int(v.__index__())),
        ("__float__", lambda v: float(v)),
        ("to_numpy", lambda v: v.to_numpy()),
        ("to_dict", lambda v: v.to_dict()),
        ("model_dump", lambda v: v.model_dump()),
        ("_asdict", lambda v: v._asdict()),
    ):
        if hasattr(kind, method):
            return _or_repr(convert)
    if hasattr(kind, "__array__") and "numpy" in sys.modules:
        return _or_repr(lambda v: sys.modules["numpy"].asarray(v))
    if kind.__name__ in ("Namespace", "SimpleNamespace"):
        return lambda v: dict(vars(v))
    if issubclass(kind, Collection):
        return lambda v: list(v)  # type: ignore[call-overload]
    return _repr_with_warning


def _or_repr(convert: Callable[[object], object]) -> Convert:
    """Return `convert`, with the text of the value where it fails."""

    def safely(value: object) -> object:
        try:
            return convert(value)
        except NeedsCareError:
            raise
        except Exception:  # noqa: BLE001  foreign code; whatever it raises, training goes on
            return _repr_with_warning(value)

    return safely


def _numpy(kind: type) -> Convert | None:
    from epochal.sdk import arrays

    return _or_repr(arrays.from_numpy)


def _torch(kind: type) -> Convert | None:
    from epochal.sdk import arrays

    if issubclass(kind, sys.modules["torch"].Tensor):
        return _or_repr(arrays.from_torch_scalar)
    return None


def _jax(kind: type) -> Convert | None:
    from epochal.sdk import arrays

    jax = sys.modules.get("jax")
    if jax is None or not issubclass(kind, jax.Array) or issubclass(kind, jax.core.Tracer):
        return None
    return _or_repr(arrays.from_jax)


def _tensorflow(kind: type) -> Convert | None:
    return _or_repr(lambda v: v.numpy()) if hasattr(kind, "numpy") else None  # type: ignore[attr-defined]


def _figure_or_frame(kind: type) -> Convert | None:
    return needs_care if kind.__name__ in ("DataFrame", "Figure", "Axes", "FigureWidget") else None


def _image(kind: type) -> Convert | None:
    return needs_care


_LIBRARIES: tuple[tuple[str, Callable[[type], Convert | None]], ...] = (
    ("numpy", _numpy),
    ("torch", _torch),
    ("jax", _jax),
    ("jaxlib", _jax),
    ("tensorflow", _tensorflow),
    ("pandas", _figure_or_frame),
    ("matplotlib", _figure_or_frame),
    ("plotly", _figure_or_frame),
    ("PIL", _image),
)

_BASES: tuple[tuple[type, Convert], ...] = (
    (Media, needs_care),
    (bool, bool),
    (int, lambda v: _clean_int(int(v))),  # type: ignore[call-overload]
    (float, lambda v: float(v)),  # type: ignore[arg-type]
    (str, lambda v: _clean_text(v)),  # type: ignore[arg-type]
    (complex, text_of),
    (bytes, _decoded),
    (datetime.date, lambda v: v.isoformat()),  # type: ignore[attr-defined]
    (os.PathLike, lambda v: os.fspath(v)),  # type: ignore[call-overload]
    (Mapping, lambda v: dict(v)),  # type: ignore[call-overload]
    (range, lambda v: list(v)),  # type: ignore[call-overload]
    # It can be read once only, and the fast way may have to be given up half way.
    (Iterator, needs_care),
)

_converters: dict[type, Convert] = {}

encode = msgspec.msgpack.Encoder(enc_hook=plain).encode
"""Encode a record, converting what msgspec does not know.  Raises what `plain` raises, and msgspec's own."""


def plain_copy(value: object) -> object:
    """Return `value` as plain, independent data: maps, lists, numbers, texts.  Fast for large lists."""
    try:
        return _decode(_plain_encode(value))
    except Exception:  # noqa: BLE001  the slow way takes whatever the fast one refuses
        return tidy(value)


def _plain_in_full(value: object) -> object:
    from epochal.sdk import arrays

    return arrays.in_full(value)


_plain_encode = msgspec.msgpack.Encoder(enc_hook=_plain_in_full).encode
_decode = msgspec.msgpack.Decoder().decode
