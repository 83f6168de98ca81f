"""Columns hold exactly what the rows held."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from epochal.runlog.columns import LoggedRow, columns_of, flatten

SCALARS = st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.text(max_size=4)
DATA = st.dictionaries(
    st.sampled_from(["a", "b", "a.b", "é", "train/loss"]),
    SCALARS
    | st.none()
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.sampled_from(["x", "y"]), SCALARS),
    max_size=4,
)


@given(st.lists(DATA, max_size=12))
def test_rows_can_be_put_together_again_from_their_columns(data: list[dict[str, object]]) -> None:
    rows = [LoggedRow(i, float(i), d) for i, d in enumerate(data)]

    columns, _ = columns_of(rows)

    rebuilt: list[dict[str, object]] = [{} for _ in rows]
    for column in columns:
        indices = range(len(rows)) if column.rows is None else column.rows
        assert list(indices) == sorted(set(indices))
        for index, value in zip(indices, column.values, strict=True):
            assert column.key not in rebuilt[index]
            rebuilt[index][column.key] = value
    expected = [flatten(d) for d in data]
    assert rebuilt == expected
    assert [{k: type(v) for k, v in row.items()} for row in rebuilt] == [
        {k: type(v) for k, v in row.items()} for row in expected
    ]


def test_a_column_that_every_row_has_costs_no_indices() -> None:
    columns, _ = columns_of([LoggedRow(i, 0.0, {"loss": 0.1 * i}) for i in range(5)])

    assert [(c.key, c.kind, c.rows) for c in columns] == [("loss", "f", None)]


def test_alternating_keys_still_make_one_column_each() -> None:
    rows = [LoggedRow(i, 0.0, {"a": 1.0} if i % 2 else {"a": 1.0, "b": 2}) for i in range(4)]

    columns, _ = columns_of(rows)

    assert {(c.key, c.kind): c.rows for c in columns} == {("a", "f"): None, ("b", "i"): [0, 2]}


def test_nested_maps_become_dotted_keys_and_media_stay_whole() -> None:
    """The example of W&B's guide, with its four keys."""
    image = {"_type": "image-file", "path": "media/x.png"}

    flat = flatten({"a": 1, "b": {"c": 2, "d": {"e": 3, "f": 4}}, "empty": {}, "i": {"j": image}, 7: {8: 9}})  # type: ignore[dict-item]

    assert flat == {"a": 1, "b.c": 2, "b.d.e": 3, "b.d.f": 4, "i.j": image, "7.8": 9}


def test_the_users_timestamp_replaces_the_rows_time_and_reserved_names_are_no_metrics() -> None:
    columns, times = columns_of(
        [
            LoggedRow(0, 5.0, {"_timestamp": 99.5, "_step": 7, "_runtime": 3, "x": 1.0}),
            LoggedRow(1, 6.0, {"x": 2.0}),
        ]
    )

    assert times == [99.5, 6.0]
    assert [(c.key, list(c.values)) for c in columns] == [("x", [1.0, 2.0])]


def test_integers_beyond_64_bits_become_floats() -> None:
    columns, _ = columns_of([LoggedRow(0, 0.0, {"n": 2**64 - 1}), LoggedRow(1, 0.0, {"n": 3})])

    assert {(c.key, c.kind): list(c.values) for c in columns} == {("n", "f"): [2.0**64], ("n", "i"): [3]}


def test_nan_and_infinities_are_values_like_any_other() -> None:
    columns, _ = columns_of(
        [LoggedRow(i, 0.0, {"x": v}) for i, v in enumerate([math.nan, math.inf, -math.inf])]
    )

    (column,) = columns
    assert column.kind == "f"
    assert str(list(column.values)) == "[nan, inf, -inf]"


def test_bytes_become_text_and_times_iso_8601_also_inside_values() -> None:
    time = datetime(2026, 11, 22, tzinfo=UTC)
    row = {"bytes": b"a\xff", "time": time, "list": [1, b"b", [time]], "map": {"_type": "x", "of": b"c"}}

    columns, _ = columns_of([LoggedRow(0, 0.0, row)])

    assert {column.key: column.values[0] for column in columns} == {
        "bytes": "a\ufffd",
        "time": "2026-11-22T00:00:00+00:00",
        "list": [1, "b", ["2026-11-22T00:00:00+00:00"]],
        "map": {"_type": "x", "of": "c"},
    }
