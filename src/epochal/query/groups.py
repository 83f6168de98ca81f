"""Runs in groups that have the same values, with what numbers come to over all runs of each.

A run without a value is in the group of those without one; null counts as none.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epochal.errors import UsageError
from epochal.query.evaluate import matching
from epochal.query.field_names import field_of, name_of
from epochal.query.filters import EVERY_RUN, Filter, fields_of
from epochal.query.run_view import RunView
from epochal.query.runs import check_page
from epochal.store.metadata import Metadata
from epochal.store.metadata.fields import Column, Kind

MAX_GROUP_FIELDS = 8
MAX_AGGREGATES = 50
# Among the kinds: those without a value are one, behind all others.
_PLACES = np.full(256, 6, np.int64)
_PLACES[[Kind.BOOL, Kind.NUMBER, Kind.TEXT, Kind.LIST, Kind.OBJECT]] = range(5)
_N_PLACES = 7
_STATISTICS = ("mean", "min", "max", "std", "median")


class Aggregate(NamedTuple):
    """Numbers of one field over the runs of a group.  A run's NaN is left out; NaN where none is left."""

    field: str
    n_values: int  # runs that have a number
    mean: float
    min: float
    max: float
    std: float  # of the population: divided by the count
    median: float


class RunGroup(NamedTuple):
    """Runs with the same values."""

    values: list[Any]  # one for each field; None for none
    n_runs: int
    aggregates: list[Aggregate]
    filters: dict[str, Any]  # as JSON, keeps exactly these runs


class GroupPage(NamedTuple):
    """Neighbouring groups of a list.  The cursor of a group is its number in the list."""

    n_total: int
    groups: list[tuple[str, RunGroup]]
    has_next: bool


class _Grouping(NamedTuple):
    """Groups of runs; slots are sorted by group."""

    slots: NDArray[np.int64]  # shape (n,)
    starts: NDArray[np.int64]  # shape (n_groups,): where each begins in `slots`
    firsts: NDArray[np.int64]  # shape (n_groups,): a slot of each

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.starts, append=self.slots.size)


def list_groups(
    metadata: Metadata,
    project_key: int,
    group_by: Sequence[str],
    *,
    now: float,
    aggregates: Sequence[str] = (),
    order: str = "-count",
    chosen: Filter = EVERY_RUN,
    first: int = 50,
    after: str | None = None,
) -> GroupPage:
    """Return a page of groups of the runs of a project.

    Args:
        metadata: where they are.
        project_key: `ProjectRecord.key`.
        group_by: names of fields.
        now: Unix seconds.
        aggregates: names of fields whose numbers are aggregated.
        order: `+` or `-` and `count`, one of `group_by`, or an aggregate such as `mean(summary_metrics.acc)`.
        chosen: which of the runs.
        first: at most so many groups.
        after: the cursor to go on behind.

    Raises:
        UsageError: an argument cannot be.
    """
    check_page(first)
    fields, measured = _fields(group_by, aggregates)
    statistic, of_order, is_descending = _order(order, fields)
    needed = {*fields, *measured, *fields_of(chosen)} | ({of_order} if of_order else set())
    view = RunView(metadata, project_key, needed, now)
    slots = np.flatnonzero(matching(view, chosen))
    grouping = _group(view, fields, slots)
    measure = functools.cache(lambda field: _Numbers(view.column(field), grouping))
    if statistic is not None and of_order is not None:
        values = getattr(measure(of_order), statistic)
    elif of_order is not None:
        values = _codes(view.column(of_order), grouping.firsts).astype(np.float64)
    else:
        values = grouping.sizes.astype(np.float64)
    ordered = _ordered(values, grouping, is_descending=is_descending)
    start = _start(after)
    page = ordered[start : start + first]
    numbers = [(field, measure(field)) for field in measured]
    groups = [
        (
            str(start + i + 1),
            _made(view, fields, grouping, group, numbers),
        )
        for i, group in enumerate(page.tolist())
    ]
    return GroupPage(ordered.size, groups, start + first < ordered.size)


def _fields(group_by: Sequence[str], aggregates: Sequence[str]) -> tuple[list[str], list[str]]:
    if not 1 <= len(group_by) <= MAX_GROUP_FIELDS:
        raise UsageError(f"runs are grouped by 1 to {MAX_GROUP_FIELDS} fields, not {len(group_by)}")
    if len(aggregates) > MAX_AGGREGATES:
        raise UsageError(f"at most {MAX_AGGREGATES} fields are aggregated at once, not {len(aggregates)}")
    return [field_of(name) for name in group_by], [field_of(name) for name in aggregates]


def _order(order: str, fields: list[str]) -> tuple[str | None, str | None, bool]:
    """Return (statistic, field, is descending); neither for the number of runs."""
    name = order.removeprefix("+")
    is_descending = name.startswith("-")
    name = name.removeprefix("-")
    if name == "count":
        return None, None, is_descending
    statistic, opening, rest = name.partition("(")
    if opening and rest.endswith(")") and statistic in _STATISTICS:
        return statistic, field_of(rest[:-1]), is_descending
    if name and not opening and field_of(name) in fields:
        return None, field_of(name), is_descending
    raise UsageError(
        f"groups are ordered by + or - and count, one of the fields that group, or "
        f"{', '.join(_STATISTICS)} of a field, such as -mean(summary_metrics.acc); not by {order!r}"
    )


def _group(view: RunView, fields: list[str], slots: NDArray[np.int64]) -> _Grouping:
    codes = np.zeros(slots.size, np.int64)
    n_codes = 1
    for field in fields:
        more = _codes(view.column(field), slots)
        n_more = int(more.max(initial=0)) + 1
        # Made small again each time, so that the product stays within 64 bits.
        codes = _compact(codes * n_more + more, n_codes * n_more)
        n_codes = int(codes.max(initial=0)) + 1
    order = _sorted_by_code(codes, n_codes)
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return _Grouping(slots[order], starts, slots[order][starts])


def _codes(column: Column, slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for each slot, equal for equal values, in the order in which values are sorted."""
    kinds = column.kinds[slots]
    # A value's place among its own kind; NaN sorts behind all numbers.
    within = np.zeros(slots.size, np.int64)
    if column.has_numbers:
        within = np.unique(column.numbers[slots], return_inverse=True)[1].astype(np.int64)
    if column.has_texts:
        ranks = np.append(column.rank_texts(), np.int32(0))[column.codes[slots]]
        within = np.where((kinds == Kind.TEXT) | (kinds == Kind.LIST), ranks, within)
    places = _PLACES[kinds]
    within[places >= _PLACES[Kind.OBJECT]] = 0
    n_within = int(within.max(initial=0)) + 1
    return _compact(places * n_within + within, _N_PLACES * n_within)


def _compact(codes: NDArray[np.int64], n_codes: int) -> NDArray[np.int64]:
    """Return codes without gaps, in the same order; all of `codes` are below `n_codes`."""
    if n_codes > 4 * codes.size + 1000:
        return np.asarray(np.unique(codes, return_inverse=True)[1], np.int64)
    # Counted, which is ten times faster than sorted.
    occurs = np.bincount(codes, minlength=n_codes) > 0
    return (np.cumsum(occurs) - 1)[codes]


def _sorted_by_code(codes: NDArray[np.int64], n_codes: int) -> NDArray[np.int64]:
    """Return a stable order.  Of 16-bit numbers numpy makes one without comparing."""
    return np.argsort(codes.astype(np.uint16) if n_codes < 2**16 else codes, kind="stable")


def _ordered(values: NDArray[np.float64], grouping: _Grouping, *, is_descending: bool) -> NDArray[np.int64]:
    """Return the groups in order; what is not a number last, ties in the order of the groups' values."""
    is_nan = np.isnan(values)
    keys = np.where(is_nan, 0.0, -values if is_descending else values)
    return np.lexsort((np.arange(values.size), keys, is_nan))


def _start(after: str | None) -> int:
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) < 12):
        raise UsageError(f"{after!r} is not a cursor that a list gave")
    return int(after)


class _Numbers:
    """The numbers of one field, by group.  Every array has shape (n_groups,)."""

    def __init__(self, column: Column, grouping: _Grouping) -> None:
        n_groups = grouping.starts.size
        numbers = column.numbers[grouping.slots]
        groups = np.repeat(np.arange(n_groups), grouping.sizes)
        is_number = (column.kinds[grouping.slots] == Kind.NUMBER) & ~np.isnan(numbers)
        numbers, groups = numbers[is_number], groups[is_number]
        order = np.argsort(numbers)
        order = order[_sorted_by_code(groups[order], n_groups)]
        numbers, groups = numbers[order], groups[order]
        count = self.n_values = np.bincount(groups, minlength=n_groups)
        starts = np.cumsum(count) - count
        ends = starts + count - 1
        has_any = count > 0
        nothing = np.full(n_groups, np.nan)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            self.mean = np.bincount(groups, numbers, n_groups) / count
            deviations = (numbers - self.mean[groups]) ** 2
            self.std = np.sqrt(np.bincount(groups, deviations, n_groups) / count)
        self.min, self.max, self.median = nothing.copy(), nothing.copy(), nothing.copy()
        self.min[has_any] = numbers[starts[has_any]]
        self.max[has_any] = numbers[ends[has_any]]
        low = numbers[(starts + (count - 1) // 2)[has_any]]
        high = numbers[(starts + count // 2)[has_any]]
        with np.errstate(invalid="ignore", over="ignore"):
            self.median[has_any] = np.where(low == high, low, low / 2 + high / 2)

    def of(self, field: str, group: int) -> Aggregate:
        """Return the numbers of one group."""
        return Aggregate(
            name_of(field),
            int(self.n_values[group]),
            *(float(getattr(self, name)[group]) for name in _STATISTICS),
        )


def _made(
    view: RunView,
    fields: list[str],
    grouping: _Grouping,
    group: int,
    numbers: list[tuple[str, _Numbers]],
) -> RunGroup:
    slot = int(grouping.firsts[group])
    values = [_value(view.column(field), slot) for field in fields]
    conditions = [
        _condition(field, view.column(field), slot, v) for field, v in zip(fields, values, strict=True)
    ]
    return RunGroup(
        values,
        int(grouping.sizes[group]),
        [one.of(field, group) for field, one in numbers],
        conditions[0] if len(conditions) == 1 else {"$and": conditions},
    )


def _value(column: Column, slot: int) -> Any:  # noqa: ANN401  whatever a user logged
    match column.kinds[slot]:
        case Kind.BOOL:
            return bool(column.numbers[slot])
        case Kind.NUMBER:
            number = float(column.numbers[slot])
            # 64 and not 64.0: most of them were given as whole numbers.
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case Kind.TEXT:
            return column.text_at(slot)
        case Kind.LIST:
            return json.loads(column.text_at(slot))
        case Kind.OBJECT:
            return {}
    return None


def _condition(field: str, column: Column, slot: int, value: object) -> dict[str, Any]:
    name = name_of(field)
    if column.kinds[slot] == Kind.OBJECT:
        return {name: {"$type": "object"}}
    if column.kinds[slot] == Kind.LIST or not (column.kinds == Kind.LIST).any():
        return {name: {"$eq": value}}
    # A list with this value in it is equal to it, too.
    types = {Kind.BOOL: "bool", Kind.NUMBER: "number", Kind.TEXT: "string"}
    kind = types.get(Kind(int(column.kinds[slot])))
    return {name: {"$eq": value, "$type": kind}} if kind else {name: {"$eq": value}}
