"""What a run says about itself, cut into named cells.

A field is named by its section and its path: `config.model.width`, `summary.loss`, `run.name`.
Documents are nested as users made them; a dot in a key counts as a level, so `{"a.b": 1}` and
`{"a": {"b": 1}}` are the same field.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

Section = Literal["run", "config", "summary", "metadata"]
SECTIONS: tuple[Section, ...] = ("run", "config", "summary", "metadata")

# What a user put into a config by mistake (a dataset, a source file) must not fill the index.
MAX_FIELDS_A_DOCUMENT = 20_000
MAX_DEPTH = 32
MAX_TEXT = 1_000  # characters
MAX_ITEMS = 100

# The columns of `runs` that are fields, in the order in which rows of the source have them.
RUN_FIELDS = (
    "id",
    "name",
    "created_at",
    "heartbeat_at",
    "end_state",
    "ended_at",
    "notes",
    "group",
    "job_type",
    "tags",
    "last_step",
    "n_rows",
)


class Kind(enum.IntEnum):
    """What a cell holds."""

    MISSING = 0
    NULL = 1
    BOOL = 2
    NUMBER = 3
    TEXT = 4
    LIST = 5
    OBJECT = 6  # has fields below it, or is nothing that can be compared


class _Nothing(enum.Enum):
    MISSING = 0


MISSING: Final = _Nothing.MISSING

decode_document = msgspec.msgpack.Decoder(dict[str, Any]).decode
_decode_tags = msgspec.msgpack.Decoder(list[str]).decode


def section_of(field: str) -> str:
    """Return the section of a field; it may be none of SECTIONS."""
    return field.partition(".")[0]


def leaves(section: Section, document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every field of a document with its value; a field above others has an (empty) dict.

    Of two keys that mean the same field, `find` and this agree on the first one.
    """
    left = MAX_FIELDS_A_DOCUMENT
    todo: list[tuple[str, Mapping[str, Any], int]] = [(f"{section}.", document, 1)]
    for prefix, mapping, depth in todo:
        for key, value in mapping.items():
            left -= 1
            if left < 0:
                return
            name = prefix + str(key)
            if type(value) is dict:
                yield name, {}
                if depth < MAX_DEPTH:
                    todo.append((f"{name}.", value, depth + 1))
            else:
                yield name, value


def find(document: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401  whatever a user logged
    """Return the value at a path, or MISSING."""
    if path in document:
        return document[path]
    dot = path.find(".")
    while dot >= 0:
        inner = document.get(path[:dot])
        if type(inner) is dict:
            found = find(inner, path[dot + 1 :])
            if found is not MISSING:
                return found
        dot = path.find(".", dot + 1)
    return MISSING


def run_cell(row: Sequence[Any], name: str) -> Any:  # noqa: ANN401
    """Return a field of the section `run` out of a row of the source, or MISSING."""
    if name not in RUN_FIELDS:
        return MISSING
    value = row[RUN_FIELDS.index(name)]
    if name == "tags":
        return [] if value is None else _decode_tags(value)
    return MISSING if value is None else value


def run_leaves(row: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of the section `run` that a run has."""
    for name in RUN_FIELDS:
        value = run_cell(row, name)
        if value is not MISSING:
            yield f"run.{name}", value


def cell(value: object) -> tuple[Kind, float, str]:
    """Return what a column keeps of a value: its kind, and a number or a text (a list as JSON)."""
    if value is MISSING:
        return Kind.MISSING, 0.0, ""
    if value is None:
        return Kind.NULL, 0.0, ""
    if isinstance(value, bool):
        return Kind.BOOL, float(value), ""
    if isinstance(value, (int, float)):
        return Kind.NUMBER, number(value), ""
    if isinstance(value, str):
        return Kind.TEXT, 0.0, value[:MAX_TEXT]
    if isinstance(value, (list, tuple)):
        return Kind.LIST, 0.0, list_text(value)
    return Kind.OBJECT, 0.0, ""


def number(value: float) -> float:
    """Return a number as the float that it is compared as; one beyond all floats is infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def list_text(values: Sequence[Any]) -> str:
    """Return the JSON that stands for a list: equal lists have equal texts, 1 and 1.0 are the same."""
    items = [_item(value) for value in values[:MAX_ITEMS]]
    return json.dumps(items, separators=(",", ":"), ensure_ascii=False)


def _item(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        return value[:MAX_TEXT]
    return "…"  # what is deeper is not compared
