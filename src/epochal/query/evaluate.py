"""Which runs a filter matches, column by column."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.query.field_names import TIME_FIELDS
from epochal.query.filters import (
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    HasType,
    Matches,
    Not,
    OneOf,
    Operator,
    Or,
    Scalar,
    TypeName,
    Value,
)
from epochal.query.patterns import Deadline, compile_pattern
from epochal.query.run_view import RunView, seconds_of
from epochal.store.metadata.fields import Column, Kind
from epochal.store.metadata.fields.cells import MAX_TEXT, list_text

Mask = NDArray[np.bool_]
# For texts: which of them hold.
_Predicate = Callable[[Sequence[str]], Mask]

_COMPARED: dict[Operator, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}

_KINDS: dict[TypeName, Kind] = {
    "null": Kind.NULL,
    "bool": Kind.BOOL,
    "number": Kind.NUMBER,
    "string": Kind.TEXT,
    "array": Kind.LIST,
    "object": Kind.OBJECT,
}


def matching(view: RunView, tree: Filter) -> Mask:
    """Return which runs of `view` a filter matches, shape (n,).

    Raises:
        UsageError: a pattern takes too long, or a date is none.
    """
    return _Evaluator(view).evaluate(tree) & view.is_there


class _Evaluator:
    def __init__(self, view: RunView) -> None:
        self._view = view
        self._deadline = Deadline()

    def evaluate(self, tree: Filter) -> Mask:
        match tree:
            case And(parts):
                result = np.ones(len(self._view), np.bool_)
                for part in parts:
                    result &= self.evaluate(part)
                return result
            case Or(parts):
                result = np.zeros(len(self._view), np.bool_)
                for part in parts:
                    result |= self.evaluate(part)
                return result
            case Not(part):
                return ~self.evaluate(part)
            case Compare(field, operator, value):
                return self._compare(field, operator, value)
            case OneOf(field, values, negated):
                return self._one_of(field, values, negated=negated)
            case Matches(field, pattern, ignore_case, negated):
                compiled = compile_pattern(pattern, ignore_case=ignore_case)
                found = self._texts(field, lambda texts: self._deadline.match_all(compiled, texts))
                return self._given(field) & ~found if negated else found
            case Contains(field, text, negated):
                wanted = text.casefold()
                found = self._texts(field, lambda texts: _bools(wanted in x.casefold() for x in texts))
                return self._given(field) & ~found if negated else found
            case HasType(field, kind):
                return np.asarray(self._view.column(field).kinds == _KINDS[kind], np.bool_)
            case Exists(field):
                return np.asarray(self._view.column(field).kinds != Kind.MISSING, np.bool_)

    def _given(self, field: str) -> Mask:
        """Return where there is a value to compare."""
        return np.asarray(self._view.column(field).kinds > Kind.NULL, np.bool_)

    def _compare(self, field: str, operator: Operator, value: Value) -> Mask:
        if field in TIME_FIELDS and isinstance(value, str):
            value = seconds_of(value, self._view.now)
        if operator == "!=":
            given = self._given(field)
            return given if value is None else given & ~self._compare(field, "=", value)
        column = self._view.column(field)
        if value is None:
            return ~self._given(field) if operator == "=" else np.zeros(len(column), np.bool_)
        if isinstance(value, tuple):
            return self._same_list(column, value) if operator == "=" else np.zeros(len(column), np.bool_)
        if isinstance(value, str):
            return self._compare_text(field, operator, value[:MAX_TEXT])
        found = _compare_number(column, operator, value)
        if operator == "=":
            found |= _lists(column, lambda items: any(same(item, value) for item in items))
        return found

    def _compare_text(self, field: str, operator: Operator, value: str) -> Mask:
        compared = _COMPARED[operator]
        if operator == "=":
            return self._texts(field, lambda texts: _bools(text == value for text in texts))
        # Only texts themselves have an order; a list has none.
        column = self._view.column(field)
        flags = _bools(bool(compared(text, value)) for text in column.texts)
        return np.asarray((column.kinds == Kind.TEXT) & _at(flags, column.codes), np.bool_)

    def _same_list(self, column: Column, value: tuple[Scalar, ...]) -> Mask:
        wanted = list_text(value)
        flags = _bools(text == wanted for text in column.texts)
        return np.asarray((column.kinds == Kind.LIST) & _at(flags, column.codes), np.bool_)

    def _one_of(self, field: str, values: Sequence[Scalar], *, negated: bool) -> Mask:
        if field in TIME_FIELDS:
            values = [seconds_of(v, self._view.now) if isinstance(v, str) else v for v in values]
        column = self._view.column(field)
        texts = {value[:MAX_TEXT] for value in values if isinstance(value, str)}
        found = self._texts(field, lambda every: _bools(text in texts for text in every))
        for kind, numbers in _numbers_by_kind(values):
            is_one = np.isin(column.numbers, numbers)
            if np.isnan(numbers).any():
                is_one |= np.isnan(column.numbers)
            found |= (column.kinds == kind) & is_one
        others = [value for value in values if value is not None and not isinstance(value, str)]
        if others:
            found |= _lists(column, lambda items: any(same(item, v) for item in items for v in others))
        given = column.kinds > Kind.NULL
        if None in values:
            found |= ~given
        return given & ~found if negated else found

    def _texts(self, field: str, predicate: _Predicate) -> Mask:
        """Return where a text, or a text in a list, holds."""
        column = self._view.column(field)
        found = np.zeros(len(column), np.bool_)
        if not column.has_texts:
            return found
        is_text = column.kinds == Kind.TEXT
        if is_text.any():
            found = is_text & _at(predicate(column.texts), column.codes)

        def holds(items: list[Any]) -> bool:
            texts = [item for item in items if isinstance(item, str)]
            return bool(texts) and bool(predicate(texts).any())

        return found | _lists(column, holds)


def same(a: object, b: object) -> bool:
    """Return whether two values are equal, types and NaN included."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return a == b or (a != a and b != b)


def _compare_number(column: Column, operator: Operator, value: float) -> Mask:
    if not column.has_numbers:
        return np.zeros(len(column), np.bool_)
    kind = Kind.BOOL if isinstance(value, bool) else Kind.NUMBER
    if operator == "=" and value != value:
        found = np.isnan(column.numbers)
    else:
        found = _COMPARED[operator](column.numbers, float(value))
    return np.asarray((column.kinds == kind) & found, np.bool_)


def _numbers_by_kind(values: Sequence[Scalar]) -> list[tuple[Kind, NDArray[np.float64]]]:
    found = []
    for kind, of_kind in (
        (Kind.BOOL, [float(value) for value in values if isinstance(value, bool)]),
        (
            Kind.NUMBER,
            [value for value in values if isinstance(value, float) and not isinstance(value, bool)],
        ),
    ):
        if of_kind:
            found.append((kind, np.array(of_kind)))
    return found


def _lists(column: Column, predicate: Callable[[list[Any]], bool]) -> Mask:
    """Return where a list holds.  Each different list is looked at once."""
    is_list = np.asarray(column.kinds == Kind.LIST, np.bool_)
    if not is_list.any():
        return is_list
    texts = column.texts
    flags = np.zeros(len(texts), np.bool_)
    for code in np.unique(column.codes[is_list]).tolist():
        flags[code] = predicate(json.loads(texts[code]))
    return is_list & _at(flags, column.codes)


def _at(flags: Mask, codes: NDArray[np.int32]) -> Mask:
    """Return the flag of every code; False for -1, which takes the last place."""
    return np.asarray(np.append(flags, np.False_)[codes], np.bool_)


def _bools(flags: Any) -> Mask:  # noqa: ANN401  an iterable of bools
    return np.fromiter(flags, np.bool_)
