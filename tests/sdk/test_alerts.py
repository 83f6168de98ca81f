"""run.alert() writes one record, throttled by title, and never stops a script."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import epochal as wandb
from epochal.runlog.format import RecordType
from epochal.sdk.alerts import Throttle

Records = Callable[[wandb.Run | Path, RecordType], list[Any]]


def test_an_alert_is_in_the_run_log_when_the_call_returns(run: wandb.Run, records: Records) -> None:
    run.alert("Low accuracy", "0.1 is below 0.2", wandb.AlertLevel.WARN, wait_duration=timedelta(minutes=5))
    wandb.alert(title="Note", level="error")

    assert [record[2] for record in records(run, RecordType.ALERT)] == [
        {"title": "Low accuracy", "text": "0.1 is below 0.2", "level": "WARN", "wait_s": 300.0},
        {"title": "Note", "text": "", "level": "ERROR", "wait_s": 60.0},
    ]


def test_an_alert_of_the_same_title_waits(run: wandb.Run, records: Records) -> None:
    for n in range(3):
        run.alert("same", f"{n}")
        run.alert("always", f"{n}", wait_duration=0)

    said = [record[2]["text"] for record in records(run, RecordType.ALERT)]
    assert said == ["0", "0", "1", "2"]


def test_the_wait_ends_after_its_time_and_counts_from_what_was_said() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    let_through = []
    for now[0] in (0.0, 59.0, 60.0, 61.0, 120.0):
        let_through.append(throttle.lets_through("t", 60.0))

    assert let_through == [True, False, True, False, True]


def test_titles_without_end_are_forgotten_oldest_first() -> None:
    throttle = Throttle(lambda: 0.0)
    for n in range(1001):
        assert throttle.lets_through(f"step {n}", 60.0)

    assert not throttle.lets_through("step 1", 60.0)
    assert throttle.lets_through("step 0", 60.0)


def test_a_title_that_is_too_long_is_whole_in_the_text(run: wandb.Run, records: Records) -> None:
    run.alert("x" * 65, "more")

    said = records(run, RecordType.ALERT)[0][2]
    assert (said["title"], said["text"]) == ("x" * 63 + "…", "x" * 65 + "\nmore")


@pytest.mark.parametrize(
    "arguments",
    [{"level": "LOUD"}, {"wait_duration": "soon"}, {"wait_duration": -1}, {"wait_duration": True}],
)
def test_an_argument_that_means_nothing_is_refused(run: wandb.Run, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"alert|wait_duration"):
        run.alert("title", **arguments)


def test_texts_that_are_no_text_are_written_all_the_same(run: wandb.Run, records: Records) -> None:
    run.alert(ValueError("broken"), None)  # type: ignore[arg-type]
    run.alert("half \ud800", "a surrogate")

    assert [record[2]["text"] for record in records(run, RecordType.ALERT)] == ["", "a surrogate"]


def test_after_the_end_an_alert_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    run = wandb.init(project="demo")
    run.finish()
    run.alert("late")

    assert "alerts" in capsys.readouterr().err
