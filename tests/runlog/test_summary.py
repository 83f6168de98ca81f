"""One value per key for the whole run, by the rules of define_metric."""

from __future__ import annotations

import math

import msgspec
import pytest

from epochal.runlog.summary import SummaryFold


def fold(*definitions: dict[str, object]) -> SummaryFold:
    result = SummaryFold()
    for definition in definitions:
        result.define(definition)
    return result


@pytest.mark.parametrize(
    ("words", "goal", "expected"),
    [
        (None, None, {"loss": 2.0}),
        (["min"], None, {"loss.min": 1.0}),
        (["max"], None, {"loss.max": 4.0}),
        (["mean"], None, {"loss.mean": 2.5}),
        (["first"], None, {"loss.first": 3.0}),
        (["last"], None, {"loss.last": 2.0}),
        (["min", "max"], None, {"loss.min": 1.0, "loss.max": 4.0}),
        (["best"], "maximize", {"loss.best": 4.0}),
        (["best"], "minimize", {"loss.best": 1.0}),
        (["best"], None, {"loss.best": 1.0}),
        (["none"], None, {}),
        (["copy"], None, {"loss": 2.0}),
    ],
)
def test_each_summary_word_gives_its_value(
    words: list[str] | None, goal: str | None, expected: dict[str, float]
) -> None:
    summary = fold({"name": "loss", "summary": words, "goal": goal})
    for part in ([3.0, 1.0], [4.0], [2.0]):
        summary.add("loss", part)

    assert summary.flat() == expected


def test_an_exact_definition_beats_a_glob_and_the_longest_glob_the_others() -> None:
    summary = fold(
        {"name": "*", "summary": ["none"]},
        {"name": "train/*", "summary": ["max"]},
        {"name": "train/lr", "summary": ["last"]},
    )
    for key in ("train/loss", "train/lr", "val", "_hidden"):
        summary.add(key, [1.0, 2.0])

    assert summary.flat() == {"train/loss.max": 2.0, "train/lr.last": 2.0, "_hidden": 2.0}


def test_definitions_of_one_name_are_merged_unless_one_overwrites() -> None:
    summary = fold({"name": "a", "summary": ["min"]}, {"name": "a", "hidden": True})
    assert summary.definition_of("a") == {"name": "a", "summary": ["min"], "hidden": True}

    summary.define({"name": "a", "step_metric": "epoch", "overwrite": True})
    assert summary.definition_of("a") == {"name": "a", "step_metric": "epoch"}


def test_an_explicit_value_holds_until_the_key_is_logged_again() -> None:
    summary = fold({"name": "acc", "summary": ["max"]})
    summary.add("acc", [0.9])
    summary.set(["acc"], 1.0)
    assert summary.flat() == {"acc": 1.0}

    summary.add("acc", [0.5])
    assert summary.flat() == {"acc.max": 0.5}


def test_nested_values_are_set_and_deleted_as_a_whole() -> None:
    summary = fold()
    summary.set(["best"], {"epoch": 3, "val": {"acc": 0.9}})
    assert summary.flat() == {"best.epoch": 3, "best.val.acc": 0.9}

    summary.delete(["best", "val"])
    assert summary.flat() == {"best.epoch": 3}
    summary.set(["best"], 5)
    assert summary.flat() == {"best": 5}


def test_nan_does_not_hide_the_best_value_but_is_told_if_there_is_nothing_else() -> None:
    summary = fold({"name": "*", "summary": ["min", "mean", "last"]})
    summary.add("a", [math.nan, 2.0, math.nan])
    summary.add("b", [math.nan])

    flat = summary.flat()
    assert (flat["a.min"], flat["a.mean"]) == (2.0, 2.0)
    assert all(math.isnan(flat[k]) for k in ("a.last", "b.min", "b.mean"))  # type: ignore[arg-type]


def test_infinities_of_both_signs_do_not_break_the_mean() -> None:
    summary = fold({"name": "a", "summary": ["mean", "min", "max"]})
    summary.add("a", [math.inf, -math.inf, 1.0])

    flat = summary.flat()
    assert math.isnan(flat["a.mean"])  # type: ignore[arg-type]
    assert (flat["a.min"], flat["a.max"]) == (-math.inf, math.inf)


def test_values_that_are_no_numbers_keep_the_last_one_whatever_is_asked() -> None:
    summary = fold({"name": "a", "summary": ["max"]})
    summary.add("a", ["x", "y"])

    assert summary.flat() == {"a": "y"}


def test_a_fold_goes_on_from_its_stored_state() -> None:
    summary = fold({"name": "a", "summary": ["min", "mean"]})
    summary.add("a", [3.0, 1.0])
    summary.add("b", [7])
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(summary.to_state()))

    again = SummaryFold.from_state(stored)
    again.add("a", [2.0])

    assert again.flat() == {"a.min": 1.0, "a.mean": 2.0, "b": 7}
