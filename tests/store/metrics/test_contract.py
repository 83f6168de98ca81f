"""What every metric store does, whatever engine is below it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec import structs

from epochal.errors import BlockError, DeletedRunError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import (
    GapError,
    KeyInfo,
    MetricStore,
    MetricX,
    SeriesQuery,
    Stream,
    XAxis,
)
from epochal.wire.block import Column

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal, LoggedRow

R1, W1 = RunId("r1"), WriterId("w1")
CONSOLE, SYSTEM = 5, 6


def series(
    metrics: MetricStore, key: str, *, x: XAxis = "step", stream: Stream = "history"
) -> list[tuple[float, float]]:
    """Return the buckets of one series of run r1 as (x, first value)."""
    answer = metrics.read_series(SeriesQuery(runs=(R1,), keys=(key,), x=x, stream=stream))
    return list(zip(answer.buckets.x.tolist(), answer.buckets.first.tolist(), strict=True))


def test_a_run_nobody_wrote_to_is_empty_and_no_error(metrics: MetricStore) -> None:
    answer = metrics.read_series(SeriesQuery(runs=(R1,), keys=("loss",)))

    assert answer.infos[0].n_points == 0
    assert answer.infos[0].last_step is None
    assert answer.buckets.x.size == 0
    assert list(metrics.scan_rows(R1)) == []
    assert metrics.keys() == []
    assert metrics.console(R1) == ([], 0)
    assert metrics.end_offset(R1, W1) == 0
    assert metrics.sizes() == {}


def test_a_block_sent_twice_is_stored_once(metrics: MetricStore, new_journal: type[Journal]) -> None:
    """The sidecar sends again when a reply is lost; it cannot know what arrived."""
    journal = new_journal()
    block = journal.block([(0, 10.0, {"loss": 0.9})], [[CONSOLE, 10.0, "stdout", "hello\n"]])
    metrics.append([block])
    metrics.append([block, block])

    assert series(metrics, "loss") == [(0.0, 0.9)]
    assert metrics.keys()[0].count == 1
    assert metrics.console(R1)[1] == 1
    assert metrics.end_offset(R1, W1) == journal.offset


def test_a_gap_is_refused_with_the_offset_wanted_and_nothing_of_the_call_is_stored(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    first, second = new_journal("r1", "w1"), new_journal("r1", "w2")
    metrics.append([first.block([(0, 0.0, {"a": 1.0})])])
    wanted = first.offset
    first.block([(1, 1.0, {"a": 2.0})])  # never arrives

    with pytest.raises(GapError) as caught:
        metrics.append([second.block([(5, 5.0, {"a": 5.0})]), first.block([(2, 2.0, {"a": 3.0})])])

    assert (caught.value.wanted, caught.value.writer) == (wanted, "w1")
    assert series(metrics, "a") == [(0.0, 1.0)]
    assert metrics.end_offset(R1, WriterId("w2")) == 0


def test_a_first_block_that_begins_in_the_middle_is_a_gap(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    """A server that lost its data must ask for everything, not go on where the sidecar is."""
    journal = new_journal()
    journal.block([(0, 0.0, {"a": 1.0})])
    with pytest.raises(GapError):
        metrics.append([journal.block([(1, 1.0, {"a": 2.0})])])


def test_what_was_appended_is_there_after_opening_again(
    open_store: Callable[[Path], MetricStore], new_journal: type[Journal], tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    journal = new_journal()
    store.append([journal.block([(0, 1.0, {"a": 1.0})], [[CONSOLE, 1.0, "stdout", "half"]])])
    store.close()

    store = open_store(tmp_path)
    store.append([journal.block([(1, 2.0, {"a": 2.0})], [[CONSOLE, 2.0, "stdout", " line\n"]])])
    assert series(store, "a") == [(0.0, 1.0), (1.0, 2.0)]
    assert [line.text for line in store.console(R1)[0]] == ["half line"]
    store.close()


def test_blocks_come_back_as_they_were_from_any_offset(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    blocks = [
        journal.block([(i, float(i), {"a": i, "b": "text"})], [[2, 0.0, {"x": i}, []]]) for i in range(40)
    ]
    metrics.append(blocks[:1])
    metrics.append(blocks[1:])

    assert list(metrics.blocks_from(R1, W1, 0)) == blocks
    assert list(metrics.blocks_from(R1, W1, blocks[7].first_offset)) == blocks[7:]
    assert list(metrics.blocks_from(R1, W1, journal.offset)) == []
    assert list(metrics.blocks_from(R1, WriterId("w2"), 0)) == []


def test_the_last_write_to_a_step_wins_within_a_block_over_blocks_and_over_writers(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    one, two = new_journal("r1", "w1"), new_journal("r1", "w2")
    metrics.append([one.block([(3, 1.0, {"a": 1.0}), (3, 2.0, {"a": 2.0}), (1, 3.0, {"a": 3.0})])])
    assert series(metrics, "a") == [(1.0, 3.0), (3.0, 2.0)]

    metrics.append([one.block([(3, 4.0, {"a": 4.0})]), two.block([(1, 5.0, {"a": 5.0})])])
    assert series(metrics, "a") == [(1.0, 5.0), (3.0, 4.0)]


def test_parts_of_a_row_are_merged_key_by_key(metrics: MetricStore, new_journal: type[Journal]) -> None:
    journal = new_journal()
    metrics.append([journal.block([(0, 1.0, {"a": 1.0, "b": 1}), (0, 2.0, {"b": True, "c": "x"})])])
    metrics.append([journal.block([(0, 3.0, {"d": None})])])

    assert [tuple(row) for row in metrics.scan_rows(R1)] == [
        (0, 3.0, {"a": 1.0, "b": True, "c": "x", "d": None})
    ]


def test_values_come_back_as_exactly_what_was_logged(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    values: dict[str, object] = {
        "float": 0.1,
        "int": 2**63 - 1,
        "bool": False,
        "inf": -math.inf,
        "text": "naïve 🦊",
        "list": [1, 2.5, None],
        "hist": {"_type": "histogram", "bins": [0.0, 1.0], "values": [3]},
        "none": None,
        "": 1.5,
    }
    metrics.append([new_journal().block([(7, 1.5, values), (8, 2.5, {})])])

    rows = list(metrics.scan_rows(R1))
    assert [tuple(row) for row in rows] == [(7, 1.5, values), (8, 2.5, {})]
    assert {key: type(value) for key, value in rows[0].values.items()} == {
        key: type(value) for key, value in values.items()
    }


def test_a_number_overwritten_by_text_is_no_point_any_more(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    metrics.append([journal.block([(0, 0.0, {"a": 1.0}), (1, 1.0, {"a": 2.0})])])
    metrics.append([journal.block([(0, 2.0, {"a": "gone"}), (2, 3.0, {"a": 7})])])

    assert series(metrics, "a") == [(1.0, 2.0), (2.0, 7.0)]
    assert [row.values["a"] for row in metrics.scan_rows(R1)] == ["gone", 2.0, 7]


def test_a_scan_of_some_keys_leaves_out_rows_without_them_and_rows_out_of_range(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    rows: list[LoggedRow] = [(i, float(i), {"a": i, "b": i} if i % 3 == 0 else {"a": i}) for i in range(20)]
    metrics.append([new_journal().block(rows)])

    found = list(metrics.scan_rows(R1, ["b", "unknown"], first_step=3, last_step=9))
    assert [tuple(row) for row in found] == [(i, float(i), {"b": i}) for i in (3, 6, 9)]


def test_nan_and_infinities_are_counted_and_do_not_hide_the_rest(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    values = [1.0, math.nan, math.inf, -math.inf, 5.0, math.nan]
    metrics.append([new_journal().block([(i, 0.0, {"a": v}) for i, v in enumerate(values)])])

    buckets = metrics.read_series(SeriesQuery(runs=(R1,), keys=("a",), n_buckets=1)).buckets

    assert (buckets.low[0], buckets.high[0], buckets.mean[0]) == (1.0, 5.0, 3.0)
    assert (buckets.n_points[0], buckets.n_nan[0], buckets.n_posinf[0], buckets.n_neginf[0]) == (6, 2, 1, 1)
    assert buckets.first[0] == 1.0
    assert math.isnan(buckets.last[0])


def test_a_bucket_without_a_finite_value_has_no_low_high_or_mean(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal().block([(i, 0.0, {"a": math.inf}) for i in range(10)])])
    buckets = metrics.read_series(SeriesQuery(runs=(R1,), keys=("a",), n_buckets=2)).buckets
    assert np.isnan(buckets.low).all()
    assert np.isnan(buckets.high).all()
    assert np.isnan(buckets.mean).all()
    assert buckets.n_posinf.tolist() == [5, 5]


def test_the_mean_of_huge_values_is_no_infinity(metrics: MetricStore, new_journal: type[Journal]) -> None:
    metrics.append([new_journal().block([(i, 0.0, {"a": 1.7e308}) for i in range(10)])])
    buckets = metrics.read_series(SeriesQuery(runs=(R1,), keys=("a",), n_buckets=1)).buckets
    assert buckets.mean[0] == pytest.approx(1.7e308)


def test_few_points_come_one_by_one_and_many_on_one_grid(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal("r1").block([(i, 0.0, {"a": float(i)}) for i in range(100)])])
    metrics.append([new_journal("r2").block([(i, 0.0, {"a": float(i)}) for i in range(0, 100, 33)])])

    query = SeriesQuery(runs=(R1, RunId("r2")), keys=("a",), n_buckets=10)
    infos, buckets = metrics.read_series(query)

    assert [(info.run, info.n_points, info.exact) for info in infos] == [("r1", 100, False), ("r2", 4, True)]
    is_first = buckets.series == 0
    assert buckets.x[is_first].tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert buckets.x_last[is_first].tolist() == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]
    assert buckets.mean[is_first].tolist() == [i * 10 + 4.5 for i in range(10)]
    assert buckets.x[~is_first].tolist() == [0, 33, 66, 99]


def test_a_key_is_cut_in_the_same_buckets_whatever_keys_are_asked_for_beside_it(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    """Charts that share a request share no axis: a key at step 10^9 must not make the others coarse."""
    metrics.append([new_journal("r1").block([(i, 0.0, {"a": float(i)}) for i in range(100)])])
    metrics.append([new_journal("r2").block([(10**9, 0.0, {"far": 1.0})])])

    runs = (R1, RunId("r2"))
    alone = metrics.read_series(SeriesQuery(runs=runs, keys=("a",), n_buckets=10)).buckets
    _, beside = metrics.read_series(SeriesQuery(runs=runs, keys=("a", "far"), n_buckets=10))

    assert alone.x.tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert beside.x[beside.series == 0].tolist() == alone.x.tolist()


def test_one_point_beyond_each_end_of_the_range_comes_along_uncounted(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal().block([(i * 10, 0.0, {"a": float(i)}) for i in range(100)])])

    infos, buckets = metrics.read_series(SeriesQuery(runs=(R1,), keys=("a",), x_range=(95, 125)))
    assert buckets.x.tolist() == [90, 100, 110, 120, 130]
    assert (infos[0].n_points, infos[0].exact, infos[0].last_step) == (3, True, 990)

    infos, buckets = metrics.read_series(SeriesQuery(runs=(R1,), keys=("a",), x_range=(91, 99)))
    assert buckets.x.tolist() == [90, 100]
    assert infos[0].n_points == 0

    infos, buckets = metrics.read_series(SeriesQuery(runs=(R1,), keys=("a",), x_range=(2000, 3000)))
    assert buckets.x.tolist() == [990]


def test_x_can_be_the_time_of_day_the_time_since_the_first_row_or_another_metric(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    rows = [(0, 100.0, {"a": 1.0, "epoch": 2}), (1, 90.0, {"a": 2.0, "epoch": 1}), (2, 130.0, {"a": 3.0})]
    metrics.append([new_journal().block(rows)])

    assert series(metrics, "a", x="step") == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert series(metrics, "a", x="time") == [(90.0, 2.0), (100.0, 1.0), (130.0, 3.0)]
    assert series(metrics, "a", x="relative") == [(0.0, 2.0), (10.0, 1.0), (40.0, 3.0)]
    assert series(metrics, "a", x=MetricX("epoch")) == [(1.0, 2.0), (2.0, 1.0)]
    assert series(metrics, "a", x=MetricX("nothing")) == []


def test_booleans_and_integers_are_drawn_as_numbers(metrics: MetricStore, new_journal: type[Journal]) -> None:
    rows: list[LoggedRow] = [
        (0, 0.0, {"a": True}),
        (1, 0.0, {"a": 3}),
        (2, 0.0, {"a": 0.5}),
        (3, 0.0, {"a": "x"}),
    ]
    metrics.append([new_journal().block(rows)])
    assert series(metrics, "a") == [(0.0, 1.0), (1.0, 3.0), (2.0, 0.5)]


def test_system_samples_are_series_of_their_own_by_time(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal("r1", "sidecar-1")
    metrics.append([new_journal().block([(0, 1000.0, {"cpu": 7.0})])])
    samples = [[SYSTEM, 1001.5 + 10 * i, {"cpu": 50.0 + i, "disk": i}] for i in range(3)]
    metrics.append([journal.block(records=samples)])

    assert series(metrics, "cpu") == [(0.0, 7.0)]
    assert series(metrics, "cpu", stream="system", x="time") == [(1001.5, 50), (1011.5, 51), (1021.5, 52)]
    assert series(metrics, "disk", stream="system", x="relative") == [(1.5, 0), (11.5, 1), (21.5, 2)]
    assert [info.key for info in metrics.keys(stream="system")] == ["cpu", "disk"]
    assert tuple(next(iter(metrics.scan_rows(R1, stream="system")))) == (
        1_001_500_000,
        1001.5,
        {"cpu": 50.0, "disk": 0},
    )


def test_keys_have_a_type_a_count_and_their_steps(metrics: MetricStore, new_journal: type[Journal]) -> None:
    histogram = {"_type": "histogram", "bins": [0, 1], "values": [1]}
    image = {"_type": "image-file", "path": "media/x.png"}
    metrics.append(
        [
            new_journal("r1").block([(5, 0.0, {"a": 1, "h": histogram}), (2, 0.0, {"a": 2.0, "n": None})]),
            new_journal("r2").block([(9, 0.0, {"a": True, "i": image}), (8, 0.0, {"a": 1.0, "t": "x"})]),
        ]
    )

    assert metrics.keys() == [
        KeyInfo(key="a", type="number", count=4, n_runs=2, first_step=2, last_step=9),
        KeyInfo(key="h", type="histogram", count=1, n_runs=1, first_step=5, last_step=5),
        KeyInfo(key="i", type="media", count=1, n_runs=1, first_step=9, last_step=9),
        KeyInfo(key="n", type="other", count=1, n_runs=1, first_step=2, last_step=2),
        KeyInfo(key="t", type="text", count=1, n_runs=1, first_step=8, last_step=8),
    ]
    assert [info.key for info in metrics.keys([R1])] == ["a", "h", "n"]


def test_console_lines_are_joined_over_blocks_and_keep_their_numbers(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    metrics.append(
        [journal.block(records=[[CONSOLE, 1.0, "stdout", "one\ntw"], [CONSOLE, 2.0, "stderr", "warn"]])]
    )
    lines, total = metrics.console(R1)
    assert [(line.sequence, line.stream, line.text) for line in lines] == [
        (0, "stdout", "one"),
        (1, "stdout", "tw"),
        (2, "stderr", "warn"),
    ]
    assert total == 3

    metrics.append(
        [journal.block(records=[[CONSOLE, 3.0, "stdout", "o\n\n3%\r4%"], [CONSOLE, 4.0, "stderr", "ing\n"]])]
    )
    lines, total = metrics.console(R1)
    assert [(line.sequence, line.time, line.text) for line in lines] == [
        (0, 1.0, "one"),
        (1, 1.0, "two"),
        (2, 2.0, "warning"),
        (3, 3.0, ""),
        (4, 3.0, "3%\r4%"),
    ]


def test_console_pages_go_forward_from_after_and_back_from_before(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    text = "".join(f"{i}\n" for i in range(50))
    metrics.append([new_journal().block(records=[[CONSOLE, 1.0, "stdout", text]])])

    def page(**where: int) -> list[int]:
        return [int(line.text) for line in metrics.console(R1, **where)[0]]

    assert page(limit=3) == [47, 48, 49]
    assert page(after=9, limit=3) == [10, 11, 12]
    assert page(before=10, limit=3) == [7, 8, 9]
    assert page(after=45, before=48) == [46, 47]
    assert page(after=49) == []
    assert page(limit=0) == []


def test_a_deleted_run_is_gone_at_once_and_its_id_can_be_used_again(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal("r1").block([(0, 0.0, {"a": 1.0})], [[CONSOLE, 1.0, "stdout", "x\n"]])])
    metrics.append([new_journal("r2").block([(0, 0.0, {"a": 2.0})])])
    metrics.delete_run(R1)

    assert series(metrics, "a") == []
    assert metrics.console(R1) == ([], 0)
    assert metrics.keys()[0].n_runs == 1
    assert set(metrics.sizes()) == {"r2"}
    assert metrics.end_offset(R1, W1) == 0

    metrics.append([new_journal("r1").block([(4, 0.0, {"a": 4.0})])])
    assert series(metrics, "a") == [(4.0, 4.0)]


def test_blocks_of_a_run_that_was_deleted_for_good_are_refused(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    journal, other = new_journal("r1"), new_journal("r2").block([(0, 0.0, {"b": 1.0})])
    metrics.append([journal.block([(0, 0.0, {"a": 1.0})])])
    metrics.delete_run(R1, for_good=True)
    metrics.delete_run(R1, for_good=True)

    for block in (journal.block([(1, 0.0, {"a": 2.0})]), new_journal("r1").block([(4, 0.0, {"a": 4.0})])):
        with pytest.raises(DeletedRunError, match="The run r1 was deleted"):
            metrics.append([other, block])

    assert metrics.is_deleted(R1)
    assert not metrics.is_deleted(RunId("r2"))
    assert metrics.sizes() == {}
    assert metrics.end_offset(RunId("r2"), W1) == 0


def test_a_block_whose_arrays_do_not_fit_together_is_refused(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    good = new_journal().block([(i, 0.0, {"a": 1.0}) for i in range(4)])
    bad_columns = [
        Column("a", "f", None, b"\0" * 31),
        Column("a", "f", b"\1\0\0\0" * 2, b"\0" * 16),
        Column("a", "f", b"\4\0\0\0", b"\0" * 8),
        Column("a", "v", None, ["x"]),
    ]
    damaged = [structs.replace(good, columns=[column]) for column in bad_columns]
    damaged += [
        structs.replace(good, times=good.times[:-1]),
        structs.replace(good, steps=b"\0" * 8),
        structs.replace(good, steps=(2**62, 2**62)),
        structs.replace(good, unplaced=b"\0\1\0\0"),
    ]
    for block in damaged:
        with pytest.raises(BlockError):
            metrics.append([block])
    assert metrics.keys() == []


def test_steps_beyond_what_a_float_holds_are_kept_exactly(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    steps = [2**53 + 1, 2**53, 2**62]
    metrics.append([new_journal().block([(step, 0.0, {"a": float(i)}) for i, step in enumerate(steps)])])
    assert [row.step for row in metrics.scan_rows(R1)] == sorted(steps)


@pytest.mark.parametrize(
    "steps", [(-1, 1), (2, -3), np.array([0, -5], "<i8").tobytes(), np.array([-(2**63), 1], "<i8").tobytes()]
)
def test_a_block_with_a_negative_step_is_refused_whole(
    metrics: MetricStore, new_journal: type[Journal], steps: tuple[int, int] | bytes
) -> None:
    block = new_journal().block([(0, 0.0, {"a": 1.0}), (1, 0.0, {"a": 2.0})])

    with pytest.raises(BlockError, match="steps begin at 0"):
        metrics.append([structs.replace(block, steps=steps)])

    assert metrics.end_offset(R1, W1) == 0


@pytest.mark.parametrize("spread", [1, 2**40, 2**53])
def test_steps_of_up_to_64_bits_are_kept_exactly(
    metrics: MetricStore, new_journal: type[Journal], spread: int
) -> None:
    """As an x axis, a float64, they are exact up to 2**53; beyond, neighbours may share an x."""
    steps = [0, 2**53 - 1, 2**53, 2**53 + 1, *(2**63 - 1 - i * spread for i in range(3, -1, -1))]
    metrics.append([new_journal().block([(step, 1.0, {"a": float(i)}) for i, step in enumerate(steps)])])

    assert [(row.step, row.values) for row in metrics.scan_rows(R1)] == [
        (step, {"a": float(i)}) for i, step in enumerate(steps)
    ]
    assert metrics.keys([R1])[0].last_step == 2**63 - 1
    assert series(metrics, "a") == [(float(step), float(i)) for i, step in enumerate(steps)]
    assert [row.step for row in metrics.scan_rows(R1, first_step=2**53, last_step=2**53 + 1)] == [
        2**53,
        2**53 + 1,
    ]


def test_a_copied_run_is_whole_and_comes_all_at_once(
    metrics: MetricStore, other_metrics: MetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal("r1")
    metrics.append([journal.block([(0, 0.0, {"a": 1.0})], [[CONSOLE, 1.0, "stdout", "x\ny"]])])
    with metrics.copy_run(R1, other_metrics) as copy:
        assert copy.catch_up() == 1
        metrics.append([journal.block([(0, 0.0, {"a": 2.0}), (1, 1.0, {"a": 3.0})])])
        assert copy.catch_up() == 1
        assert other_metrics.sizes() == {}
        copy.finish()

    assert series(other_metrics, "a") == series(metrics, "a") == [(0.0, 2.0), (1.0, 3.0)]
    assert other_metrics.console(R1) == metrics.console(R1)
    assert other_metrics.sizes() == metrics.sizes()
    assert other_metrics.end_offset(R1, W1) == metrics.end_offset(R1, W1)
    other_metrics.append([journal.block([(0, 0.0, {"a": 9.0})])])
    assert series(other_metrics, "a") == [(0.0, 9.0), (1.0, 3.0)]
