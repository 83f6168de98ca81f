"""Filters as JSON, in the style of MongoDB, as scripts for W&B's public interface have them.

{"$and": [{"config.lr": {"$gt": 0.1}}, {"state": "finished"}, {"display_name": {"$regex": "^foo"}}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from epochal.query.field_names import field_of
from epochal.query.filters import (
    EVERY_RUN,
    MAX_DEPTH,
    And,
    Compare,
    Exists,
    Filter,
    FilterError,
    HasType,
    Matches,
    Not,
    OneOf,
    Operator,
    Or,
    Scalar,
    TypeName,
    Value,
    check_size,
)
from epochal.query.patterns import compile_pattern

MAX_JSON_CHARACTERS = 1_000_000
_COMPARISONS: dict[str, Operator] = {
    "$eq": "=",
    "$ne": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
}
_KNOWN = (*_COMPARISONS, "$in", "$nin", "$exists", "$type", "$regex", "$options", "$not")


def parse_json_filter(filters: str | Mapping[str, Any] | None) -> Filter:
    """Return the filter that a JSON text, or what was read of one, means.

    Raises:
        FilterError: it means none.
    """
    if filters is None or filters == "":
        return EVERY_RUN
    tree = _Reader().group(_read(filters) if isinstance(filters, str) else filters, 1)
    check_size(tree)
    return tree


def _read(text: str) -> object:
    if len(text) > MAX_JSON_CHARACTERS:
        raise FilterError(f"a filter has at most {MAX_JSON_CHARACTERS:,} characters, not {len(text):,}")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FilterError(f"this is not JSON: {error.msg}", text, error.pos + 1) from error
    except (RecursionError, ValueError) as error:
        raise FilterError(f"this is not JSON that can be read: {error}") from error


class _Reader:
    def group(self, said: object, depth: int) -> Filter:
        """Return what an object means: all of its entries together."""
        if depth > MAX_DEPTH:
            raise FilterError(f"a filter is nested at most {MAX_DEPTH} levels deep")
        if not isinstance(said, Mapping):
            raise FilterError(f'expected an object such as {{"config.lr": 0.1}}, not {_shown(said)}')
        return _all([self._entry(name, value, depth) for name, value in said.items()])

    def _entry(self, name: object, value: object, depth: int) -> Filter:
        if not isinstance(name, str):
            raise FilterError(f"expected a name, not {_shown(name)}")
        if name == "$not":
            return Not(self.group(value, depth + 1))
        if name in ("$and", "$or", "$nor"):
            parts = [self.group(part, depth + 1) for part in _list(name, value)]
            if name == "$and":
                return _all(parts)
            if not parts:
                raise FilterError(f"{name} needs at least one part")
            either = parts[0] if len(parts) == 1 else Or(tuple(parts))
            return either if name == "$or" else Not(either)
        if name.startswith("$"):
            raise FilterError(f"there is no {name}; groups are $and, $or, $nor and $not")
        return self._field(field_of(name), value, depth)

    def _field(self, field: str, said: object, depth: int) -> Filter:
        if not isinstance(said, Mapping):
            return Compare(field, "=", _value(said))
        if depth > MAX_DEPTH:
            raise FilterError(f"a filter is nested at most {MAX_DEPTH} levels deep")
        if not said:
            raise FilterError(f"{field}: expected an operator such as $gt in {{}}")
        return _all([self._operator(field, name, said, depth) for name in said if name != "$options"])

    def _operator(self, field: str, name: str, said: Mapping[str, Any], depth: int) -> Filter:
        value = said[name]
        if name in _COMPARISONS:
            return Compare(field, _COMPARISONS[name], _value(value))
        if name in ("$in", "$nin"):
            values = tuple(_scalar(item) for item in _list(name, value))
            return OneOf(field, values, negated=name == "$nin")
        if name == "$exists":
            if not isinstance(value, (bool, int)):
                raise FilterError(f"$exists is true or false, not {_shown(value)}")
            return Exists(field) if value else Not(Exists(field))
        if name == "$type":
            if value not in get_args(TypeName):
                raise FilterError(f"$type is one of {', '.join(get_args(TypeName))}, not {_shown(value)}")
            return HasType(field, value)
        if name == "$regex":
            return self._regex(field, value, said.get("$options", ""))
        if name == "$not":
            return Not(self._field(field, value, depth + 1))
        raise FilterError(f"there is no operator {name!r}; there are {', '.join(_KNOWN)}")

    def _regex(self, field: str, pattern: object, options: object) -> Filter:
        if not isinstance(pattern, str):
            raise FilterError(f"$regex is a text, not {_shown(pattern)}")
        if options not in ("", "i"):
            raise FilterError(f'$options may be "i", to ignore the case, not {_shown(options)}')
        compile_pattern(pattern, ignore_case=options == "i")
        return Matches(field, pattern, ignore_case=options == "i")


def _all(parts: Sequence[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise FilterError(f"{name} takes a list, not {_shown(value)}")
    return list(value)


def _value(value: object) -> Value:
    if isinstance(value, (list, tuple)):
        return tuple(_scalar(item) for item in value)
    return _scalar(value)


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, (bool, str)):
        return cast("Scalar", value)
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    raise FilterError(f"expected a number, a text, true, false or null, not {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
