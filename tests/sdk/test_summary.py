"""`run.summary` and `define_metric`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import epochal
from epochal.runlog.format import RecordType

Records = Callable[[epochal.Run, RecordType], list[list[Any]]]
Rows = Callable[[epochal.Run], dict[int, dict[str, Any]]]


@pytest.fixture(params=["online", "disabled"])
def any_run(request: pytest.FixtureRequest) -> epochal.Run:
    """A run that is kept, and one that is not: their summaries follow the same rules."""
    return epochal.init(mode=request.param)


def test_it_is_the_last_value_of_each_key(any_run: epochal.Run) -> None:
    any_run.log({"loss": 0.5, "only_once": "a"})
    any_run.log({"loss": 0.25})

    assert dict(any_run.summary) == {"loss": 0.25, "only_once": "a"}


def test_it_is_nested_as_logged(any_run: epochal.Run) -> None:
    any_run.log({"a": 1, "b": {"c": 2, "d": {"e": 3}}, "x.y": 4})

    summary = any_run.summary
    assert summary.as_dict() == {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "x.y": 4}
    assert (summary["b"]["d"]["e"], summary["x.y"], summary.b.c) == (3, 4, 2)


def test_an_explicit_value_holds_until_the_key_is_logged_again(any_run: epochal.Run) -> None:
    any_run.log({"acc": 0.5})
    any_run.summary["acc"] = 0.9
    any_run.summary.update({"best_epoch": 3})
    any_run.summary.note = "x"
    assert dict(any_run.summary) == {"acc": 0.9, "best_epoch": 3, "note": "x"}

    any_run.log({"acc": 0.6})
    assert any_run.summary["acc"] == 0.6


def test_nested_values_are_set_and_deleted(any_run: epochal.Run) -> None:
    any_run.summary["b"] = {"c": 1, "d": 2}
    any_run.summary["b"]["c"] = 5
    del any_run.summary["b"]["d"]

    assert any_run.summary.as_dict() == {"b": {"c": 5}}


def test_what_is_missing_is_said(any_run: epochal.Run) -> None:
    with pytest.raises(KeyError):
        any_run.summary["none"]
    with pytest.raises(KeyError):
        del any_run.summary["none"]
    assert not hasattr(any_run.summary, "none")
    assert any_run.summary.get("none", 3) == 3
    assert "none" not in any_run.summary


def test_arrays_and_tensors_are_set_as_data(any_run: epochal.Run) -> None:
    np = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")

    any_run.summary.update({"a": np.float32(0.5), "b": torch.tensor(2), "c": np.arange(100.0)})

    summary = any_run.summary
    assert (summary["a"], summary["b"], summary["c"]["_type"]) == (0.5, 2, "histogram")


def test_it_is_still_there_after_finish(run: epochal.Run) -> None:
    run.log({"loss": 0.5})
    run.finish()

    assert dict(run.summary) == {"loss": 0.5}


def test_it_counts_the_types_of_a_key_in_the_order_they_came(any_run: epochal.Run) -> None:
    for value in (1, 2.5, "text", 7):
        any_run.log({"a": value})

    assert any_run.summary["a"] == 7


DEFINED: list[tuple[str, dict[str, Any], Any]] = [
    ("min", {}, {"min": 1.0}),
    ("max", {}, {"max": 3.0}),
    ("mean", {}, {"mean": 2.0}),
    ("first", {}, {"first": 3.0}),
    ("last", {}, {"last": 2.0}),
    ("min,max", {}, {"min": 1.0, "max": 3.0}),
    ("best", {"goal": "maximize"}, {"best": 3.0}),
    ("best", {"goal": "minimize"}, {"best": 1.0}),
    ("copy", {}, 2),
]


@pytest.mark.parametrize(("words", "more", "expected"), DEFINED)
def test_define_metric_chooses_the_summary(
    words: str, more: dict[str, Any], expected: Any, any_run: epochal.Run
) -> None:
    any_run.define_metric("loss", summary=words, **more)
    for value in (3, 1, 2):
        any_run.log({"loss": value})

    assert any_run.summary.as_dict() == {"loss": expected}


def test_summary_none_leaves_the_key_out(any_run: epochal.Run) -> None:
    any_run.define_metric("loss", summary="none")
    any_run.log({"loss": 1, "acc": 2})

    assert dict(any_run.summary) == {"acc": 2}


def test_an_exact_definition_beats_a_glob_and_globs_skip_hidden_keys(any_run: epochal.Run) -> None:
    any_run.define_metric("train/*", summary="max")
    any_run.define_metric("train/loss", summary="min")
    for value in (2, 1, 3):
        any_run.log({"train/loss": value, "train/acc": value, "_train/x": value})

    assert any_run.summary.as_dict() == {"train/loss": {"min": 1}, "train/acc": {"max": 3}, "_train/x": 3}


def test_a_definition_is_merged_or_overwritten(any_run: epochal.Run) -> None:
    any_run.define_metric("a", summary="min")
    any_run.define_metric("a", hidden=True)
    any_run.define_metric("b", summary="min")
    any_run.define_metric("b", hidden=True, overwrite=True)
    any_run.log({"a": 2, "b": 2})

    assert any_run.summary.as_dict() == {"a": {"min": 2}, "b": 2}


def test_nan_does_not_poison_a_minimum(any_run: epochal.Run) -> None:
    any_run.define_metric("loss", summary="min")
    for value in (2.0, math.nan, 1.0):
        any_run.log({"loss": value})

    assert any_run.summary["loss"]["min"] == 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": "a*b"},
        {"name": "a", "summary": "median"},
        {"name": "a", "step_metric": "b*"},
        {"name": "a", "goal": "up"},
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(arguments: dict[str, Any], run: epochal.Run) -> None:
    with pytest.raises(epochal.Error):
        run.define_metric(**arguments)


def test_a_definition_is_returned_and_recorded(run: epochal.Run, records: Records) -> None:
    step = run.define_metric("epoch", hidden=True)
    metric = run.define_metric("val/*", step_metric=step, summary="min, max", goal="minimize")

    assert (
        metric.name,
        metric.step_metric,
        metric.step_sync,
        metric.summary,
        metric.goal,
        metric.hidden,
    ) == (
        "val/*",
        "epoch",
        True,
        ("min", "max"),
        "minimize",
        None,
    )
    assert [r[2]["name"] for r in records(run, RecordType.DEFINE_METRIC)] == ["epoch", "val/*"]


def test_a_row_without_its_step_metric_gets_the_last_one(run: epochal.Run, rows: Rows) -> None:
    run.define_metric("val/*", step_metric="epoch")
    run.log({"val/acc": 0.1})
    run.log({"epoch": 4})
    run.log({"val/acc": 0.2})
    run.log({"val/acc": 0.3, "epoch": 5})
    run.log({"train/loss": 1})

    assert rows(run) == {
        0: {"val/acc": 0.1, "epoch": 0},
        1: {"epoch": 4},
        2: {"val/acc": 0.2, "epoch": 4},
        3: {"val/acc": 0.3, "epoch": 5},
        4: {"train/loss": 1},
    }


def test_a_row_of_an_earlier_step_keeps_the_step_metric_it_has(run: epochal.Run, rows: Rows) -> None:
    run.define_metric("val/*", step_metric="epoch")
    for epoch in range(3):
        run.log({"epoch": epoch}, step=100 * epoch)
    run.log({"val/acc": 0.5}, step=100)
    run.log({"epoch": 0, "val/loss": 1.0}, step=0)
    run.log({"val/acc": 0.9})

    assert rows(run) == {
        0: {"epoch": 0, "val/loss": 1.0},
        100: {"epoch": 1, "val/acc": 0.5},
        200: {"epoch": 2, "val/acc": 0.9},
    }


def test_a_resumed_run_goes_on_with_the_step_metrics_it_had(rows: Rows) -> None:
    first = epochal.init(id="r1")
    first.define_metric("val/*", step_metric="epoch")
    first.log({"epoch": 6}, step=20)
    first.log({"epoch": 7}, step=30)
    first.log({"epoch": 6, "late": True}, step=20)
    first.finish()

    run = epochal.init(id="r1", resume="must")
    run.log({"val/acc": 0.5})

    assert rows(run) == {31: {"val/acc": 0.5, "epoch": 7}}


def test_step_sync_can_be_off(run: epochal.Run, rows: Rows) -> None:
    run.define_metric("acc", step_metric="epoch", step_sync=False)
    run.log({"acc": 1})

    assert rows(run) == {0: {"acc": 1}}


def test_a_star_gives_every_metric_its_step_metric_but_the_step_metric_itself(
    run: epochal.Run, rows: Rows
) -> None:
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    run.log({"loss": 1, "trainer/global_step": 10})
    run.log({"loss": 2})

    assert rows(run)[1] == {"loss": 2, "trainer/global_step": 10}


def test_reading_the_summary_reads_only_what_is_new(run: epochal.Run) -> None:
    for i in range(100):
        run.log({"i": i})

        assert run.summary["i"] == i
