"""Puts runs in order by any fields, so that pages fit together while runs come and go.

Numbers (and switches, as 0 and 1) come before texts, and texts before lists; NaN, null and a missing value
come last, in this order, ascending or descending.  Runs that are equal in all of it are in the order in which
they were made.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.errors import UsageError
from epochal.query.field_names import field_of, name_of
from epochal.query.run_view import RunView
from epochal.store.metadata.fields import Column, Kind

MAX_ORDERS = 10
_NAN = 8  # among the classes: behind every kind that has a value
_NULL = 9
_MISSING = 10
_CLASSES = np.zeros(256, np.uint8)
_CLASSES[Kind.MISSING], _CLASSES[Kind.NULL] = _MISSING, _NULL
_CLASSES[Kind.TEXT], _CLASSES[Kind.LIST], _CLASSES[Kind.OBJECT] = 1, 2, 3


class Order(NamedTuple):
    """One field to sort by."""

    field: str
    is_descending: bool


class SortKey(NamedTuple):
    """One order applied.  Both arrays have shape (n,); sorting both ascending gives the order."""

    classes: NDArray[np.uint8]
    values: NDArray[np.float64]


class Place(msgspec.Struct, array_like=True, frozen=True):
    """Where a run stands in a list: its class and its value by every order, and its key."""

    orders: list[str]
    values: list[tuple[int, float | str]]
    key: int


def parse_order(order: str) -> list[Order]:
    """Return what a text such as `-summary_metrics.acc,+created_at` orders by.

    Raises:
        UsageError: it is no order.
    """
    found = []
    for part in _split(order):
        name = part.strip().removeprefix("+")
        is_descending = name.startswith("-")
        name = name.removeprefix("-").replace("`", "")
        if not name:
            raise UsageError(
                f"runs are ordered by + or - and a field, such as -created_at, perhaps more behind commas, "
                f"not by {order!r}"
            )
        found.append(Order(field_of(name), is_descending))
    if len(found) > MAX_ORDERS:
        raise UsageError(f"runs are ordered by at most {MAX_ORDERS} fields, not {len(found)}")
    return found


def sort_runs(
    view: RunView, chosen: NDArray[np.int64], orders: list[Order], after: Place | None
) -> NDArray[np.int64]:
    """Return those of the slots `chosen` that stand behind `after`, in order.

    Ties are in the direction of the first order, so that turning it round turns the list round.
    """
    is_descending = orders[0].is_descending
    keys = view.keys[chosen]
    sort_keys = [_sort_key(view.column(order.field), order, chosen) for order in orders]
    if after is not None:
        behind = _behind(view, orders, sort_keys, keys, after)
        chosen, keys = chosen[behind], keys[behind]
        sort_keys = [SortKey(key.classes[behind], key.values[behind]) for key in sort_keys]
    order = _sorted_by_key(keys, descending=is_descending)
    for key in reversed(sort_keys):
        order = order[_stable_order(key.values[order])]
        if key.classes.size and key.classes.min() != key.classes.max():
            order = order[np.argsort(key.classes[order], kind="stable")]
    return chosen[order]


def _stable_order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    # The sort that is not stable is several times faster, and as good where no two are equal.
    order = np.argsort(values)
    ordered = values[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(values, kind="stable")
    return order


def place_of(view: RunView, orders: list[Order], slot: int) -> str:
    """Return the cursor of a run."""
    values: list[tuple[int, float | str]] = []
    for order in orders:
        column = view.column(order.field)
        only = np.array([slot])
        kind = int(_classes(column, only)[0])
        if kind == 0:
            values.append((kind, float(column.numbers[slot])))
        elif kind in (1, 2):
            values.append((kind, column.text_at(slot)))
        else:
            values.append((kind, 0.0))
    place = Place(_names(orders), values, int(view.keys[slot]))
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode()


def read_place(cursor: str, orders: list[Order]) -> Place:
    """Return what a cursor says.

    Raises:
        UsageError: it is none, or of a list in another order.
    """
    try:
        place = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor), type=Place)
    except (ValueError, msgspec.MsgspecError, binascii.Error) as error:
        raise UsageError(f"{cursor!r} is not a cursor that a list gave") from error
    if place.orders != _names(orders) or len(place.values) != len(orders):
        raise UsageError(f"the cursor {cursor!r} belongs to a list in another order")
    return place


def _sort_key(column: Column, order: Order, slots: NDArray[np.int64]) -> SortKey:
    classes = _classes(column, slots)
    values = np.zeros(slots.size)
    if column.has_numbers:
        values = np.where(classes == 0, column.numbers[slots], 0.0)
    if column.has_texts:
        ranks = np.append(column.rank_texts(), np.int32(0))
        has_text = (classes == 1) | (classes == 2)
        values = np.where(has_text, ranks[column.codes[slots]], values)
    return SortKey(classes, -values if order.is_descending else values)


def _classes(column: Column, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
    classes = _CLASSES[column.kinds[slots]]
    if column.has_numbers:
        classes[(classes == 0) & np.isnan(column.numbers[slots])] = _NAN
    return classes


def _behind(
    view: RunView,
    orders: list[Order],
    sort_keys: list[SortKey],
    keys: NDArray[np.int64],
    place: Place,
) -> NDArray[np.bool_]:
    """Return which runs stand behind a place.  By value, not by key: that run may have moved, or be gone."""
    behind = keys < place.key if orders[0].is_descending else keys > place.key
    for order, key, (kind, value) in reversed(list(zip(orders, sort_keys, place.values, strict=True))):
        at = _rank(view.column(order.field), value) if isinstance(value, str) else value
        at = -at if order.is_descending else at
        is_same_class = key.classes == kind
        later = (key.classes > kind) | (is_same_class & (key.values > at))
        behind = later | (is_same_class & (key.values == at) & behind)
    return behind


def _rank(column: Column, text: str) -> float:
    """Return the rank of a text; one between two ranks if no run has it any more."""
    texts = column.sorted_texts()
    at = bisect_left(texts, text)
    return float(at) if at < len(texts) and texts[at] == text else at - 0.5


def _sorted_by_key(keys: NDArray[np.int64], *, descending: bool) -> NDArray[np.int64]:
    # Nearly always in order already.
    order = np.arange(keys.size) if (keys[1:] > keys[:-1]).all() else np.argsort(keys)
    return order[::-1] if descending else order


def _names(orders: list[Order]) -> list[str]:
    return [("-" if order.is_descending else "+") + name_of(order.field) for order in orders]


def _split(order: str) -> list[str]:
    """Split at commas that are not in backticks."""
    parts, in_backticks = [""], False
    for character in order:
        in_backticks ^= character == "`"
        if character == "," and not in_backticks:
            parts.append("")
        else:
            parts[-1] += character
    return parts
