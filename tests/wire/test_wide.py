"""Wide rows, brought into columns at once, are the rows that the plain way gives."""

from __future__ import annotations

import random
import struct
from array import array
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochal.runlog.columns import LoggedRow, columns_of
from epochal.wire.gather import gather, gather_records
from epochal.wire.wide import MIN_KEYS, take_wide

encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
NAN_WITH_PAYLOAD = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]

FLOATS: list[Any] = [0.5, -0.0, float("-inf"), NAN_WITH_PAYLOAD]
NUMBERS: list[Any] = [*FLOATS, 0, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, True, False]
VALUES: list[Any] = [*NUMBERS, None, "x", b"x", [1.0, b"y"], {"a": 1.0, "b": {"c": 2}}, {}, {"_type": "h"}]
TYPECODES = {"f": "d", "i": "q", "b": "B"}

Columns = dict[tuple[str, str], tuple[list[int], bytes | list[object]]]


def plainly(records: list[Any]) -> tuple[list[float], Columns]:
    """Return the times and the columns of row records by the plain way alone."""
    columns, times = columns_of([LoggedRow(r[2], r[1], r[3]) for r in records])
    return times, {
        (key, kind): (
            list(range(len(records)) if rows is None else rows),
            list(values) if kind == "v" else array(TYPECODES[kind], cast("list[float]", values)).tobytes(),
        )
        for key, kind, rows, values in columns
    }


def gathered(records: list[Any]) -> tuple[list[float], Columns]:
    """Return the same as blocks are built, once from the bytes; decoded records must give no other."""
    found = gather([encode(record) for record in records])
    decoded = gather_records([decode(encode(record)) for record in records])
    assert {(c.key, c.kind): c for c in found.columns} == {(c.key, c.kind): c for c in decoded.columns}
    assert len({(c.key, c.kind) for c in found.columns}) == len(found.columns)
    assert all(c.rows is None or len(c.rows) < 4 * found.n_rows for c in found.columns)
    every = list(range(found.n_rows))
    return found.times.tolist(), {
        (c.key, c.kind): (every if c.rows is None else array("I", c.rows).tolist(), c.values)
        for c in found.columns
    }


def logged(records: list[Any]) -> list[Any]:
    """Return records as they come out of a run log."""
    return [decode(encode(record)) for record in records]


def wide_records(seed: int) -> list[Any]:
    """Return rows of many keys: the same ones again and again, and all that can come between."""
    chance = random.Random(seed)
    keys = [f"layer_{i}/norm" for i in range(chance.choice([MIN_KEYS, 100, 300]))]
    pools = {key: chance.choice([FLOATS[:1], FLOATS, NUMBERS[4:7], NUMBERS[9:]]) for key in keys}
    pools |= dict.fromkeys(chance.sample(keys, chance.choice([0, 0, 3])), VALUES)
    found: list[Any] = []
    for step in range(chance.choice([1, 2, 7, 90])):
        data = {key: chance.choice(pool) for key, pool in pools.items()}
        match chance.randrange(9):
            case 0:
                data = dict(chance.sample(list(data.items()), len(data)))
            case 1:
                del data[chance.choice(keys)]
            case 2:
                data |= {"_timestamp": chance.choice([99.5, 7, "no time"]), "_step": 3, "new": 0.5}
            case 3:
                data = {"deep": data, "loss": 0.5, "deep.layer_0/norm": 9}
            case 4:
                data = {"loss": 0.5, keys[0]: 3}
            case 5:
                data[chance.choice(keys)] = chance.choice(VALUES)
            case 6:
                data[7] = chance.choice(VALUES)  # type: ignore[index]
        found.append((chance.choice([1, 1, 13]), float(step), step, data))
    return found


@pytest.mark.parametrize("seed", range(150))
def test_wide_rows_make_the_columns_that_the_plain_way_makes(seed: int) -> None:
    records = wide_records(seed)

    # As texts, because NaN is not equal to itself; numbers are bytes, so not a bit may differ.
    times, columns = gathered(records)
    assert repr((times, sorted(columns.items()))) == repr(
        (plainly(logged(records))[0], sorted(plainly(logged(records))[1].items()))
    )


@given(st.lists(st.dictionaries(st.integers(0, 40), st.sampled_from(VALUES), min_size=30), max_size=6))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_rows_of_any_keys_and_values_make_the_columns_of_the_plain_way(rows: list[dict[int, Any]]) -> None:
    records = [(1, float(i), i, {f"k{key}": v for key, v in row.items()}) for i, row in enumerate(rows)]

    times, columns = gathered(records)

    assert repr((times, sorted(columns.items()))) == repr(
        (plainly(logged(records))[0], sorted(plainly(logged(records))[1].items()))
    )


def test_a_wide_row_among_small_ones_leaves_nothing_to_the_plain_way() -> None:
    wide = {f"k{i}": i / 7 for i in range(1_000)} | {"n": 3, "ok": True}
    rows = [LoggedRow(step, 0.0, wide if step == 5 else {"loss": 0.5}) for step in range(10)]

    (group,), left = take_wide(rows)

    assert (group.members, group.keys) == ([5], list(wide))
    assert {kind: group.kinds.count(kind) for kind in "fib"} == {"f": 1_000, "i": 1, "b": 1}  # type: ignore[arg-type]
    assert [row.data for row in left] == [{} if step == 5 else {"loss": 0.5} for step in range(10)]


def test_what_changes_its_type_is_all_that_is_left_of_a_wide_row() -> None:
    rows = [LoggedRow(i, 0.0, {f"k{n}": 0.5 for n in range(50)} | {"x": [0, 0.5][i]}) for i in range(2)]

    (group,), left = take_wide(rows)

    assert len(group.keys) == 50
    assert [row.data for row in left] == [{"x": 0}, {"x": 0.5}]


def test_columns_are_in_the_order_in_which_their_keys_were_first_logged() -> None:
    wide = {f"k{i}": 0.5 for i in range(100)}
    records = [[1, 0.0, 0, {"loss": 0.1}], [1, 0.0, 1, wide], [1, 0.0, 2, {"loss": 0.1, "k7": 1.0, "z": 1}]]

    found = gather_records(records)

    assert [column.key for column in found.columns] == ["loss", *wide, "z"]
