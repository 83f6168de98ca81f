"""Which step a row gets: the stock client's table, except that nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import epochal
from epochal.runlog.format import RecordType
from epochal.sdk.steps import place

Rows = Callable[[epochal.Run | Path], dict[int, dict[str, Any]]]

# What is called, one after the other; the rows that this gives; the step afterwards.
TABLE: dict[str, tuple[list[tuple[dict[str, Any], dict[str, Any]]], dict[int, dict[str, Any]], int]] = {
    "log(d) ends its row": ([({"a": 1}, {}), ({"a": 2}, {})], {0: {"a": 1}, 1: {"a": 2}}, 2),
    "commit=True is the same": ([({"a": 1}, {"commit": True})], {0: {"a": 1}}, 1),
    "commit=False leaves the row open": (
        [({"a": 1}, {"commit": False}), ({"b": 2}, {})],
        {0: {"a": 1, "b": 2}},
        1,
    ),
    "a later step opens a row": ([({"a": 1}, {"step": 5})], {5: {"a": 1}}, 5),
    "a step again merges, the last value wins": (
        [({"a": 1, "b": 1}, {"step": 5}), ({"b": 2}, {"step": 5})],
        {5: {"a": 1, "b": 2}},
        5,
    ),
    "a row without a step goes to the open one and ends it": (
        [({"a": 1}, {"step": 5}), ({"b": 2}, {}), ({"a": 3}, {})],
        {5: {"a": 1, "b": 2}, 6: {"a": 3}},
        7,
    ),
    "step and commit=True end the row": (
        [({"a": 1}, {"step": 5, "commit": True}), ({"a": 2}, {})],
        {5: {"a": 1}, 6: {"a": 2}},
        7,
    ),
    "an ended row still takes values": (
        [({"a": 1}, {}), ({"b": 2}, {"step": 0})],
        {0: {"a": 1, "b": 2}},
        1,
    ),
    "an earlier step is kept and moves nothing": (
        [({"a": 1}, {"step": 9}), ({"a": 2}, {"step": 3}), ({"b": 3}, {})],
        {9: {"a": 1, "b": 3}, 3: {"a": 2}},
        10,
    ),
    "an earlier step with commit=True moves nothing either": (
        [({"a": 1}, {"step": 9}), ({"a": 2}, {"step": 3, "commit": True})],
        {9: {"a": 1}, 3: {"a": 2}},
        9,
    ),
    "an empty row ends the open one": (
        [({"a": 1}, {"commit": False}), ({}, {}), ({"a": 2}, {})],
        {0: {"a": 1}, 1: {"a": 2}},
        2,
    ),
    "gaps stay": (
        [({"a": i}, {"step": i}) for i in (0, 10, 1000)],
        {i: {"a": i} for i in (0, 10, 1000)},
        1000,
    ),
    "floats that are integers are steps": ([({"a": 1}, {"step": 3.0})], {3: {"a": 1}}, 3),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_row_gets_the_step_of_the_table(case: str, run: epochal.Run, rows: Rows) -> None:
    calls, expected, step_after = TABLE[case]

    for data, how in calls:
        run.log(data, **how)

    assert (rows(run), run.step) == (expected, step_after)


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 50)), st.sampled_from([None, True, False]))))
def test_the_current_step_never_goes_back_and_no_row_is_without_a_place(
    calls: list[tuple[int | None, bool | None]],
) -> None:
    current = 0
    for step, commit in calls:
        at, following = place(current, step, commit)

        assert at == (current if step is None else step)
        assert following >= max(current, at if at >= current else 0)
        current = following


def test_rows_in_any_order_from_any_call_are_all_kept(run: epochal.Run, rows: Rows) -> None:
    order = [(i * 7919) % 1000 for i in range(1000)]

    for step in order:
        run.log({"a": step}, step=step)

    assert rows(run) == {step: {"a": step} for step in range(1000)}


def test_an_integer_of_numpy_and_of_torch_is_a_step(run: epochal.Run, rows: Rows) -> None:
    np = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")

    for step in (np.int64(3), np.array(4), np.float32(5), torch.tensor(6)):
        run.log({"a": 1}, step=step)

    assert set(rows(run)) == {3, 4, 5, 6}


@pytest.mark.parametrize("step", ["3", 1.5, float("nan"), None.__class__, [1]])
def test_what_is_no_integer_is_refused_as_a_step(step: Any, run: epochal.Run) -> None:
    with pytest.raises(TypeError, match="step is an integer"):
        run.log({"a": 1}, step=step)


def test_a_step_beyond_64_bits_is_refused(run: epochal.Run) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        run.log({"a": 1}, step=2**63)


def test_a_negative_step_is_said_once_and_never_raises(
    run: epochal.Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    run.log({"a": 1}, step=-1)
    run.log({"a": 1}, step=-2)

    assert rows(run) == {}
    assert capsys.readouterr().err.count("steps begin at 0") == 1


@pytest.mark.parametrize("data", [5, [1], "text", None])
def test_what_is_no_mapping_is_refused(data: Any, run: epochal.Run) -> None:
    with pytest.raises(TypeError, match="takes a dict"):
        run.log(data)


def test_a_metric_called_step_is_a_metric(run: epochal.Run, rows: Rows) -> None:
    run.log({"step": 500, "avg_reward": 1.5})

    assert rows(run) == {0: {"step": 500, "avg_reward": 1.5}}


def test_log_after_finish_says_how_to_go_on(run: epochal.Run) -> None:
    run.finish()

    for _ in range(2):
        with pytest.raises(epochal.UsageError, match='resume="allow"'):
            run.log({"a": 1})


def test_a_row_is_in_the_file_when_log_returns(
    run: epochal.Run, records: Callable[[epochal.Run, RecordType], list[list[Any]]]
) -> None:
    for i in range(3):
        run.log({"a": i}, commit=False)

        assert [r[3] for r in records(run, RecordType.ROW)] == [{"a": j} for j in range(i + 1)]


def test_logging_in_a_signal_handler_and_in_a_repr_does_not_deadlock(run: epochal.Run, rows: Rows) -> None:
    class Chatty:
        def __repr__(self) -> str:
            run.log({"inner": 1})
            return "chatty"

    run.log({"outer": Chatty()})

    assert rows(run) == {0: {"outer": "chatty"}, 1: {"inner": 1}}
