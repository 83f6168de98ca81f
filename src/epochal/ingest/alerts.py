"""Alerts as they stand in run logs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import cast, get_args

from epochal.ids import WriterId
from epochal.store.metadata.records import AlertLevel, NewAlert

MAX_TITLE = 200  # characters; what is longer is cut: nobody reads it on a phone
MAX_TEXT = 10_000


def said_alert(writer: WriterId, record: list[object]) -> NewAlert:
    """Return the alert in a record of a run log.

    Its place is a digest of what it says and when: a run log that is read again, in other blocks, brings
    nothing twice.
    """
    said = record[2] if len(record) > 2 and isinstance(record[2], dict) else {}
    when = _number(record[1])
    title, text, level = _text(said, "title", MAX_TITLE), _text(said, "text", MAX_TEXT), said.get("level")
    return NewAlert(
        source=writer,
        place=_digest(when, title, text, level),
        created_at=when,
        level=cast("AlertLevel", level) if level in get_args(AlertLevel) else "INFO",
        title=title or "Alert",
        text=text,
        wait_s=max(0.0, _number(said.get("wait_s"))),
    )


def _digest(*parts: object) -> int:
    """Return 63 bits of what `parts` are."""
    whole = hashlib.blake2b(repr(parts).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(whole, "big") >> 1


def _text(said: Mapping[str, object], name: str, longest: int) -> str:
    value = said.get(name)
    return value[:longest] if isinstance(value, str) else ""


def _number(value: object) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    number = float(cast("float", value)) if is_number else 0.0
    return number if math.isfinite(number) else 0.0
