"""Alerts of run logs are kept exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.ingest.test_accept import blocks_of

from epochal.ids import WriterId
from epochal.ingest.alerts import said_alert
from epochal.runlog.format import RecordType
from epochal.store.metadata.rewinding import begin_again

if TYPE_CHECKING:
    from tests.ingest.conftest import DataFolder, RunLog

    NewLog = Callable[..., RunLog]


def titles(data: DataFolder) -> list[str]:
    return [alert.title for alert in data.metadata.alerts.newest().alerts]


def test_alerts_are_kept_with_their_run_newest_first(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    log.write(RecordType.ALERT, {"title": "one", "text": "first", "level": "WARN", "wait_s": 60.0})
    log.write(RecordType.ALERT, {"title": "two", "text": "", "level": "ERROR", "wait_s": 60.0})
    data.ingest.accept(blocks_of(log.path))

    page = data.metadata.alerts.newest(run_key=data.run().key)

    assert [(a.title, a.text, a.level, a.run_id, a.source) for a in page.alerts] == [
        ("two", "", "ERROR", "r1", "writer01"),
        ("one", "first", "WARN", "r1", "writer01"),
    ]
    assert "alerts" in data.changes.all[-1].what


def test_a_run_log_that_is_read_again_in_other_blocks_brings_no_alert_twice(
    data: DataFolder, new_log: NewLog
) -> None:
    log = new_log()
    for n in range(5):
        log.write(RecordType.ALERT, {"title": f"{n}", "text": "", "level": "INFO"})
        log.row(n, {"loss": 1.0})
    data.ingest.accept(blocks_of(log.path))
    data.ingest.accept(blocks_of(log.path))
    with data.metadata.write() as connection:
        begin_again(connection, data.run().key)
    data.reopen()
    data.ingest.accept(blocks_of(log.path, 40))

    assert titles(data) == ["4", "3", "2", "1", "0"]


def test_a_deleted_run_takes_its_alerts_with_it(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    log.write(RecordType.ALERT, {"title": "one"})
    data.ingest.accept(blocks_of(log.path))
    data.ingest.delete_run("local", "p", data.run().run_id)

    assert titles(data) == []


@pytest.mark.parametrize(
    "said", [None, {}, {"title": 5, "level": ["x"], "wait_s": "x"}, {"title": "t" * 10**6, "wait_s": 1e999}]
)
def test_an_alert_of_any_shape_is_an_alert(said: object) -> None:
    alert = said_alert(WriterId("w"), [9, "no time", said])

    assert (alert.level, alert.wait_s, alert.created_at) == ("INFO", 0.0, 0.0)
    assert 0 < len(alert.title) <= 200
    assert 0 <= alert.place < 2**63


def test_pages_of_alerts_follow_each_other_without_gap(data: DataFolder, new_log: NewLog) -> None:
    log = new_log()
    for n in range(5):
        log.write(RecordType.ALERT, {"title": f"{n}"})
    data.ingest.accept(blocks_of(log.path))

    seen, before, has_next = [], None, True
    while has_next:
        page = data.metadata.alerts.newest(first=2, before=before)
        seen += [alert.title for alert in page.alerts]
        before, has_next = page.alerts[-1].key, page.has_next
        assert page.n_total == 5

    assert seen == ["4", "3", "2", "1", "0"]
