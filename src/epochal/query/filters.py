"""Which runs somebody asks for: one tree of conditions, whatever it was written in.

A run that does not have a field matches no comparison with it, `!=` and `not in` included; `not` around a
condition turns it round for every run.  Types are kept apart: the text "1", the number 1 and true are three
values.  A list matches what one of its items matches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from epochal.errors import UsageError

Scalar: TypeAlias = bool | float | str | None
Value: TypeAlias = Scalar | tuple[Scalar, ...]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]
TypeName = Literal["null", "bool", "number", "string", "array", "object"]

MAX_CONDITIONS = 500
MAX_DEPTH = 50
MAX_VALUES = 10_000  # of one list
MAX_FIELDS = 50


class FilterError(UsageError):
    """A filter that cannot be understood.

    Args:
        message: what is wrong.
        text: what was written, if the place in it is known.
        column: of the place, counted from 1.
    """

    def __init__(self, message: str, text: str | None = None, column: int | None = None) -> None:
        self.column = column
        if text is not None and column is not None:
            # Of a long filter, the part around the place.
            start = max(0, column - 60)
            shown = text[start : start + 100].replace("\n", " ").replace("\t", " ")
            message = f"column {column}: {message}\n  {shown}\n  {' ' * (column - 1 - start)}^"
        super().__init__(message)


class Compare(msgspec.Struct, frozen=True, tag=True):
    """A field has a value, and it stands so to another one.

    `= null` and `!= null` ask whether there is a value at all.  NaN is equal to NaN and to nothing else, and
    neither less nor more than anything.
    """

    field: str
    operator: Operator
    value: Value


class OneOf(msgspec.Struct, frozen=True, tag=True):
    """A field has one of these values, or with `negated` a value that is none of them."""

    field: str
    values: tuple[Scalar, ...]
    negated: bool = False


class Matches(msgspec.Struct, frozen=True, tag=True):
    """A field has a text in which a regular expression is found, or with `negated` a value without one."""

    field: str
    pattern: str
    ignore_case: bool = False
    negated: bool = False


class Contains(msgspec.Struct, frozen=True, tag=True):
    """A field has a text with this in it, whatever the case, or with `negated` a value without."""

    field: str
    text: str
    negated: bool = False


class Exists(msgspec.Struct, frozen=True, tag=True):
    """A field was given, if only as null, or fields below it were."""

    field: str


class HasType(msgspec.Struct, frozen=True, tag=True):
    """A field has a value of a type; an object has fields below it."""

    field: str
    type_name: TypeName


class And(msgspec.Struct, frozen=True, tag=True):
    """All of them; of none: every run."""

    parts: tuple[Filter, ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """At least one of them."""

    parts: tuple[Filter, ...]


class Not(msgspec.Struct, frozen=True, tag=True):
    """Every run that the part does not match."""

    part: Filter


Condition: TypeAlias = Compare | OneOf | Matches | Contains | Exists | HasType
Filter: TypeAlias = Condition | And | Or | Not

EVERY_RUN = And(())


def conditions(tree: Filter) -> Iterator[Condition]:
    """Yield the conditions of a tree, from left to right."""
    if isinstance(tree, (And, Or)):
        for part in tree.parts:
            yield from conditions(part)
    elif isinstance(tree, Not):
        yield from conditions(tree.part)
    else:
        yield tree


def fields_of(tree: Filter) -> set[str]:
    """Return the fields that a filter asks for."""
    return {condition.field for condition in conditions(tree)}


def check_size(tree: Filter) -> None:
    """Make sure that a filter is not too large to be answered.

    Raises:
        FilterError: it is.
    """
    n_conditions, n_values, fields = 0, 0, set()
    for condition in conditions(tree):
        n_conditions += 1
        fields.add(condition.field)
        n_values += len(condition.values) if isinstance(condition, OneOf) else 1
    for n, most, what in (
        (n_conditions, MAX_CONDITIONS, "conditions"),
        (n_values, MAX_VALUES, "values"),
        (len(fields), MAX_FIELDS, "different fields"),
    ):
        if n > most:
            raise FilterError(f"a filter has at most {most} {what}, not {n}")


def both(*trees: Filter) -> Filter:
    """Return the filter that is all of `trees` together."""
    parts = tuple(tree for tree in trees if tree != EVERY_RUN)
    return parts[0] if len(parts) == 1 else And(parts)
