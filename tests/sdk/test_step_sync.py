"""Rows get the step metrics that a plain reading of the rules gives them, whatever is remembered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import epochal
from epochal.sdk.metric import Metric
from epochal.sdk.step_sync import StepSync

NAMES = ["a", "a.b", "a.b.c", "train/loss", "loss", "_hidden", "s1", "s2", "t.s"]
GLOBS = ["*", "a*", "a.b*", "train/*", "l*"]
STEP_METRICS = ["s1", "s2", "t.s"]


def defined(name: str, step_metric: str | None) -> Metric:
    step_sync = True if step_metric else None
    return Metric({"name": name, "step_metric": step_metric, "step_sync": step_sync, "overwrite": True})


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


class PlainReading:
    """The rules, one after the other, with nothing remembered but the values."""

    def __init__(self) -> None:
        self.targets: dict[str, str | None] = {}
        self.last: dict[str, Any] = {}

    def fill(self, data: Mapping[str, Any]) -> dict[str, Any]:
        present = dict(flat(data))
        step_metrics = {name for name in self.targets.values() if name is not None}
        self.last.update({name: present[name] for name in step_metrics if name in present})
        wanted = {self.target(key, step_metrics) for key in present}
        missing = [name for name in wanted if name is not None and name not in present]
        return {**data, **{name: self.last.get(name, 0) for name in missing}}

    def target(self, key: str, step_metrics: set[str]) -> str | None:
        if key in self.targets:
            return self.targets[key]
        if key.startswith("_") or key in step_metrics:
            return None
        globs = [n for n in self.targets if n.endswith("*") and key.startswith(n[:-1])]
        return self.targets[max(globs, key=len)] if globs else None


def a_row(chance: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in chance.sample(NAMES, chance.randrange(1, 5)):
        value: Any = chance.randrange(100)
        if name not in STEP_METRICS and chance.random() < 0.2:
            below = chance.choice(["b", "c", "x", "b.c"])
            value = {below: value}
        row[name] = value
    if "t.s" not in row and chance.random() < 0.2:
        row["t"] = {"s": chance.randrange(100)}
    return row


@pytest.mark.parametrize("seed", range(200))
def test_rows_are_filled_by_the_rules(seed: int) -> None:
    chance = random.Random(seed)
    sync, plain = StepSync(), PlainReading()
    for _ in range(4):
        for _ in range(chance.randrange(1, 3)):
            name, step_metric = chance.choice(NAMES + GLOBS), chance.choice([*STEP_METRICS, None])
            sync.define(defined(name, step_metric))
            plain.targets[name] = step_metric
        rows = [a_row(chance) for _ in range(5)]
        for row in rows * 3:
            assert sync.fill(row) == plain.fill(row)


def test_a_row_that_is_filled_is_not_changed_under_the_hands_of_its_caller() -> None:
    sync = StepSync()
    sync.define(defined("*", "epoch"))
    row = {"loss": 1}
    for _ in range(3):
        assert sync.fill(row) == {"loss": 1, "epoch": 0}
    assert row == {"loss": 1}


def test_a_second_definition_without_a_step_metric_keeps_the_first(
    run: epochal.Run, rows: Callable[[epochal.Run], dict[int, dict[str, Any]]]
) -> None:
    run.define_metric("loss", step_metric="epoch")
    run.define_metric("loss", summary="min")
    run.log({"epoch": 3})
    run.log({"loss": 0.5})
    run.define_metric("loss", summary="min", overwrite=True)
    run.log({"loss": 0.5})

    assert [rows(run)[step] for step in (1, 2)] == [{"loss": 0.5, "epoch": 3}, {"loss": 0.5}]


def test_an_earlier_definition_holds_although_nothing_had_a_step_metric_then(
    run: epochal.Run, rows: Callable[[epochal.Run], dict[int, dict[str, Any]]]
) -> None:
    run.define_metric("loss", summary="min")
    run.define_metric("*", step_metric="epoch")
    run.log({"loss": 0.5})
    run.log({"acc": 0.5})

    assert rows(run) == {0: {"loss": 0.5}, 1: {"acc": 0.5, "epoch": 0}}
