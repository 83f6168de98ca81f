"""How the schema's own scalars are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from ariadne import ScalarType

date_time = ScalarType("DateTime")
json_string = ScalarType("JSONString")
int64 = ScalarType("Int64")


@date_time.serializer
def write_time(seconds: float) -> str:
    """Return Unix seconds as ISO 8601 in UTC, to the millisecond."""
    # What a broken clock wrote must not make a page fail.
    bounded = min(max(seconds, 0.0), 253_402_300_799.0)
    return datetime.fromtimestamp(bounded, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@json_string.serializer
def write_json(value: object) -> str:
    """Return `value` as JSON; NaN and infinities are the bare tokens that JavaScript and Python know."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=repr)


@int64.serializer
def write_int(value: int) -> int:
    """Return a whole number as it is."""
    return int(value)
