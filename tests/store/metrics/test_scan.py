"""Exact scans: in bounded memory, and right while the run goes on."""

from __future__ import annotations

import math
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from epochal.ids import RunId
from epochal.store.metrics.contract import MetricStore, RunGoneError
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.row_batches import RowBatch

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal

R1 = RunId("r1")
SMALL_WINDOW = 2000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[EmbeddedMetricStore]:
    """Give an empty store whose batches have about a hundred values."""
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False, window_bytes=SMALL_WINDOW)
    yield store
    store.close()


def steps_of(batch: RowBatch) -> list[int]:
    return list(batch.steps.tolist())


def test_a_batch_has_the_values_of_each_key_at_the_places_of_its_rows(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal().block([(0, 10.0, {"a": 1.5}), (1, 11.0, {"a": 2.5, "b": "x"})])])

    (batch,) = metrics.scan_batches(R1)

    assert (batch.steps.tolist(), batch.times.tolist()) == ([0, 1], [10.0, 11.0])
    found = {c.key: (None if c.rows is None else c.rows.tolist(), c.values()) for c in batch.columns}
    assert found == {"a": (None, [1.5, 2.5]), "b": ([1], ["x"])}


def test_values_of_one_key_may_differ_in_kind(metrics: MetricStore, new_journal: type[Journal]) -> None:
    values = [1.0, 2, True, "text", None, -math.inf, 2**62 + 1, [1]]
    metrics.append([new_journal().block([(i, float(i), {"a": v}) for i, v in enumerate(values)])])

    found = [row.values["a"] for row in metrics.scan_rows(R1)]

    assert list(map(repr, found)) == list(map(repr, values))


def test_a_sparse_key_comes_without_the_rows_between(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    rows = [
        (i, float(i), {"loss": 0.5} | ({"rare": i} if i in (777, 4321, 9998) else {})) for i in range(10_000)
    ]
    metrics.append([new_journal().block(rows)])

    batches = list(metrics.scan_batches(R1, ["rare"]))

    assert [step for batch in batches for step in batch.steps.tolist()] == [777, 4321, 9998]
    assert sum(batch.steps.size for batch in batches) == 3
    assert [row.time for row in metrics.scan_rows(R1, ["rare"])] == [777.0, 4321.0, 9998.0]


@pytest.mark.parametrize("compacted", [False, True])
def test_batches_are_small_however_wide_the_rows(
    small: EmbeddedMetricStore, new_journal: type[Journal], compacted: bool
) -> None:
    journal = new_journal()
    narrow = [(i, float(i), {"a": float(i)}) for i in range(5000)]
    wide = [(5000 + i, 1.0, {f"k{j}": float(i * j) for j in range(50)}) for i in range(100)]
    small.append([journal.block(narrow), journal.block(wide)])
    if compacted:
        small.compact()

    batches = list(small.scan_batches(R1))

    assert [step for batch in batches for step in batch.steps.tolist()] == list(range(5100))
    assert max(sum(column.words.size for column in batch.columns) for batch in batches) <= SMALL_WINDOW // 13
    last = batches[-1]
    assert {c.key: c.values()[-1] for c in last.columns}["k49"] == 99.0 * 49


def test_rows_logged_behind_the_last_one_during_a_scan_are_left_to_the_next(
    small: EmbeddedMetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    small.append([journal.block([(i, float(i), {"a": float(i)}) for i in range(1000)])])

    batches = small.scan_batches(R1)
    seen = steps_of(next(batches))
    small.append([journal.block([(i, 0.0, {"a": 0.0, "new": 1.0}) for i in range(1000, 1100)])])
    small.compact()
    for batch in batches:
        seen += steps_of(batch)

    assert seen == list(range(1000))


def test_a_row_that_is_written_over_during_a_scan_comes_once(
    small: EmbeddedMetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    small.append([journal.block([(i, float(i), {"a": 0.0}) for i in range(1000)])])

    batches = small.scan_batches(R1)
    first = next(batches)
    small.append([journal.block([(i, float(i), {"a": 1.0}) for i in range(1000)])])
    rest = list(batches)

    assert steps_of(first) + [step for batch in rest for step in steps_of(batch)] == list(range(1000))
    assert set(first.columns[0].values()) == {0.0}
    assert {value for batch in rest for value in batch.columns[0].values()} == {1.0}


def test_a_scan_of_a_run_that_is_deleted_meanwhile_does_not_look_complete(
    small: EmbeddedMetricStore, new_journal: type[Journal]
) -> None:
    small.append([new_journal().block([(i, float(i), {"a": 0.0}) for i in range(1000)])])

    batches = small.scan_batches(R1)
    next(batches)
    small.delete_run(R1)

    with pytest.raises(RunGoneError):
        list(batches)


def test_a_reader_that_takes_its_time_does_not_hold_the_files_log(
    small: EmbeddedMetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    small.append([journal.block([(i, float(i), {"a": 0.0}) for i in range(1000)])])
    batches = small.scan_batches(R1)
    next(batches)

    small.append([journal.block([(0, 0.0, {"a": 1.0})])])
    connection = sqlite3.connect(small.path)
    is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()

    assert not is_busy
    assert sum(batch.steps.size for batch in batches) > 0


@pytest.mark.parametrize("order", ["in order", "in any order"])
def test_blocks_in_no_chunk_are_scanned_without_all_of_them_in_memory(
    tmp_path: Path, new_journal: type[Journal], order: str
) -> None:
    """Texts of 32 MB in all; a restarted server finds them as blocks, and none of them in its cache."""
    steps = np.arange(1600) if order == "in order" else np.random.default_rng(1).permutation(1600)
    journal, text = new_journal(), "x" * 20_000
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False)
    for begin in range(0, 1600, 50):
        rows = [(step, 0.0, {"text": f"{step} {text}"}) for step in steps[begin : begin + 50].tolist()]
        store.append([journal.block(rows)])
    store.close()

    store = EmbeddedMetricStore(tmp_path / "m.db", background=False, window_bytes=4 << 20)
    tracemalloc.start()
    seen = [int(str(v).split()[0]) for b in store.scan_batches(R1) for c in b.columns for v in c.values()]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    store.close()

    assert seen == list(range(1600))
    assert peak < 16 << 20


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0], "float"),
        ([1, 2], "int"),
        ([1, 2.5], "float"),
        ([True, False], "bool"),
        ([True, 1], "json"),
        (["a", "b" * 300], "text"),
        (["a", None], "text"),
        (["a", 1.0], "json"),
        (["a", [1]], "json"),
        ([{"_type": "histogram"}, "a"], "json"),
        ([None, None], "json"),
        ([2**63, 1], "float"),
        ([1.0, None], "float"),
    ],
)
def test_a_column_has_the_narrowest_type_that_holds_all_values(
    metrics: MetricStore, new_journal: type[Journal], values: list[object], expected: str
) -> None:
    journal = new_journal()
    for i, value in enumerate(values):
        metrics.append([journal.block([(i, 0.0, {"a": value})])])

    assert metrics.column_types(R1) == {"a": expected}
    assert metrics.column_types(R1, ["b"]) == {}


def test_an_unknown_run_has_no_batches(open_store: Callable[[Path], MetricStore], tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert (list(store.scan_batches(R1)), store.column_types(R1)) == ([], {})
    store.close()
