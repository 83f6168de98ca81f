"""Rows as JSON lines and as Arrow, whatever the values are."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from arro3.core import DataType, Table
from arro3.io import read_ipc_stream

from epochal.ids import RunId
from epochal.runlog.format import Header
from epochal.runlog.reader import Frame
from epochal.server.history_formats import TypesChangedError, arrow_chunks, json_line_chunks
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.wire.build import build_block

R1 = RunId("r1")
ODD: list[object] = [
    math.nan,
    math.inf,
    -math.inf,
    2**62 + 1,
    True,
    None,
    'a"\n\u2028é',
    [1.0, math.nan],
    {"x": {}},
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedMetricStore]:
    """Give a store whose batches have a few dozen values."""
    metrics = EmbeddedMetricStore(tmp_path / "1.db", background=False, window_bytes=600)
    yield metrics
    metrics.close()


def log(store: EmbeddedMetricStore, rows: list[dict[str, object]], first_step: int = 0) -> None:
    header = Header(run_id="r1", project="p", entity=None, writer="w1", kind="primary", start_time=1.0)
    begin = store.end_offset(R1, "w1")  # type: ignore[arg-type]
    frames = [
        Frame(begin + 10 * i, begin + 10 * i + 10, [1, float(i), first_step + i, row])
        for i, row in enumerate(rows)
    ]
    store.append([build_block(header, frames, [], first_offset=begin, end_offset=begin + 10 * len(rows))])


def table(store: EmbeddedMetricStore, keys: list[str] | None = None) -> Table:
    chunks = arrow_chunks(store.column_types(R1, keys), store.scan_batches(R1, keys), "history")
    return read_ipc_stream(io.BytesIO(b"".join(chunks))).read_all()


def test_every_value_is_written_as_json_that_reads_back_the_same(store: EmbeddedMetricStore) -> None:
    log(store, [{"a": value, "b": 1} for value in ODD])

    lines = b"".join(json_line_chunks(store.scan_batches(R1), "history")).decode().split("\n")

    assert lines.pop() == ""
    rows = [json.loads(line) for line in lines]
    wanted = [{"_step": i, "_timestamp": float(i), "a": v, "b": 1} for i, v in enumerate(ODD)]
    assert [sorted(map(repr, row.items())) for row in rows] == [
        sorted(map(repr, row.items())) for row in wanted if row["a"] != {"x": {}}
    ] + [sorted(map(repr, {"_step": 8, "_timestamp": 8.0, "b": 1}.items()))]


def test_a_name_with_a_nul_is_a_column_of_its_own_in_arrow(store: EmbeddedMetricStore) -> None:
    log(store, [{"a": 1, "a\0b": 2, "\0": 3}])

    found = table(store)

    assert found.schema.names == ["_step", "_timestamp", "a", "a\N{SYMBOL FOR NULL}b", "\N{SYMBOL FOR NULL}"]
    assert [found.column(i).to_pylist() for i in range(2, 5)] == [[1], [2], [3]]


def test_a_key_named_like_a_place_wins_over_it(store: EmbeddedMetricStore) -> None:
    log(store, [{"_timestamp": 7.5}, {"a": 1}])

    first, second = b"".join(json_line_chunks(store.scan_batches(R1), "history")).splitlines()

    assert json.loads(first) == {"_step": 0, "_timestamp": 7.5}
    assert json.loads(second) == {"_step": 1, "_timestamp": 1.0, "a": 1}


def test_sparse_columns_have_nulls_between_their_values(store: EmbeddedMetricStore) -> None:
    rows: list[dict[str, object]]
    rows = [{"dense": i, f"every {i % 7}": float(i), "text": f"t{i}" if i % 3 else None} for i in range(500)]
    log(store, rows)

    found = table(store)

    assert found["dense"].to_pylist() == list(range(500))
    assert found["every 3"].to_pylist() == [float(i) if i % 7 == 3 else None for i in range(500)]
    assert found["text"].to_pylist() == [row["text"] for row in rows]
    assert found.schema.field("dense").type == DataType.int64()
    assert found.schema.field("every 3").type == DataType.float64()


def test_whole_numbers_among_others_and_none_among_numbers_keep_the_column_one_of_numbers(
    store: EmbeddedMetricStore,
) -> None:
    log(store, [{"a": 1}, {"a": 2.5}, {"a": None}, {"a": 3}])

    assert table(store)["a"].to_pylist() == [1.0, 2.5, None, 3.0]


def test_values_of_mixed_types_are_a_column_of_json(store: EmbeddedMetricStore) -> None:
    log(store, [{"a": 1}, {"a": "one"}, {"a": None}, {"a": [1, math.nan]}])

    assert table(store)["a"].to_pylist() == ["1", '"one"', None, "[1,NaN]"]


def test_a_run_without_rows_is_an_empty_table(store: EmbeddedMetricStore) -> None:
    found = table(store)

    assert (found.num_rows, found.schema.names) == (0, ["_step", "_timestamp"])


def test_a_type_that_changes_while_it_is_written_out_breaks_the_answer_off(
    store: EmbeddedMetricStore,
) -> None:
    log(store, [{"a": i} for i in range(200)])
    types, batches = store.column_types(R1), store.scan_batches(R1)

    chunks = arrow_chunks(types, batches, "history")
    next(chunks), next(chunks)
    log(store, [{"a": "text"}], first_step=199)

    with pytest.raises(TypesChangedError):
        list(chunks)
