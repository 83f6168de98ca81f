"""Ids and names, as distinct types, and the rules for writing them.

Names come from users' scripts and end up in addresses, so the rules are those of the stock client:
what it accepts, this accepts.
"""

from __future__ import annotations

import os
from typing import NewType

from epochal.errors import UsageError

RunId = NewType("RunId", str)
WriterId = NewType("WriterId", str)
Entity = NewType("Entity", str)
Project = NewType("Project", str)

DEFAULT_ENTITY = Entity("local")
DEFAULT_PROJECT = Project("uncategorized")

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def generate_id(length: int = 8) -> str:
    """Return `length` random lower-case letters and digits.

    From the operating system: a script that calls random.seed() in every process must not give all
    of them the same run id.
    """
    # 252 is the largest multiple of 36 in a byte; higher bytes would favour the first letters.
    fair = [b for b in os.urandom(4 * length + 16) if b < 252]
    return "".join(_ALPHABET[b % 36] for b in fair[:length])


def check_run_id(value: str) -> RunId:
    """Return `value` as a run id.

    Raises:
        UsageError: it is empty, over 128 characters, has outer blanks or a character of `:;,#?/\\'`, or
            begins with a dot.
    """
    return RunId(_checked("run id", value, ":;,#?/\\'"))


def check_project(value: str) -> Project:
    """Return `value` as a project name.

    Raises:
        UsageError: it is empty, over 128 characters, has outer blanks or a character of `/\\#?%:`, or
            begins with a dot.
    """
    return Project(_checked("project name", value, "/\\#?%:"))


def check_entity(value: str) -> Entity:
    """Return `value` as an entity name; the rules are those of a project's."""
    return Entity(_checked("entity name", value, "/\\#?%:"))


def _checked(what: str, value: str, forbidden: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"a {what} is a non-empty text, not {value!r}")
    if len(value) > 128:
        raise UsageError(f"a {what} has at most 128 characters; this one has {len(value)}: {value[:40]}…")
    if value != value.strip():
        raise UsageError(f"a {what} has no blanks at its ends: {value!r}")
    bad = sorted({c for c in value if c in forbidden or not c.isprintable()})
    if bad:
        raise UsageError(
            f"the {what} {value!r} has {' '.join(map(repr, bad))}, which an address cannot carry; "
            f"not allowed are {' '.join(forbidden)} and control characters"
        )
    if value.startswith("."):
        raise UsageError(f"a {what} does not begin with a dot: {value!r}")
    return value
