"""What is queued is sent, tried again, and given up in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epochal.alerts.courier import Courier
from epochal.ids import RunId
from epochal.store.metadata import Metadata
from epochal.store.metadata.alert_channels import MAX_WAITING
from epochal.store.metadata.records import AlertLevel, NewAlert

if TYPE_CHECKING:
    from tests.alerts.conftest import Receiver

NOW = 1_700_000_000.0


class Project:
    """A project with one run, and a clock that a test moves."""

    def __init__(self, path: Path) -> None:
        self.metadata = Metadata(path)
        self.now = NOW
        with self.metadata.write() as connection:
            self.key = self.metadata.projects.ensure(connection, "local", "digits", now=NOW)
            self.run_key = self.metadata.runs.ensure(connection, self.key, [RunId("r1")], now=NOW)[
                RunId("r1")
            ]
        self.courier = Courier(self.metadata, ["127.0.0.0/8"], clock=lambda: self.now)

    def say(
        self,
        title: str,
        level: AlertLevel = "INFO",
        at: float | None = None,
        *,
        wait_s: float = 0.0,
        source: str = "w",
    ) -> int:
        alert = NewAlert(
            source=source,
            place=hash((title, at)) >> 1,
            created_at=self.now if at is None else at,
            level=level,
            title=title,
            text="",
            wait_s=wait_s,
        )
        with self.metadata.write() as connection:
            return self.metadata.alerts.add(connection, [(self.key, self.run_key, alert)], now=self.now)[0]

    def channel(self, url: str, level: AlertLevel = "INFO", *, of_all: bool = False) -> int:
        key = None if of_all else self.key
        return self.metadata.alert_channels.create(key, "c", url, level, now=self.now)

    def states(self, alert: int) -> list[str]:
        return [state for _, state, _ in self.metadata.alert_channels.outcomes(alert)]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "metadata.db")
    yield project
    project.metadata.close()


def test_an_alert_is_sent_once_to_the_channels_of_its_project_and_of_all(
    project: Project, receiver: Receiver
) -> None:
    pytest.importorskip("apprise")
    project.channel(f"json://127.0.0.1:{receiver.port}/own", "WARN")
    project.channel(f"json://127.0.0.1:{receiver.port}/all", of_all=True)
    project.say("quiet")
    loud = project.say("loud", "ERROR")
    while project.courier.send_due():
        project.now += 10_000

    got = [
        (path, message["title"]) for (path, _), message in zip(receiver.got, receiver.messages, strict=True)
    ]
    assert sorted(got) == [("/all", "ERROR: loud"), ("/all", "INFO: quiet"), ("/own", "ERROR: loud")]
    assert project.states(loud) == ["delivered", "delivered"]
    assert "Run r1 (r1) of local/digits" in receiver.messages[0]["message"]


def test_what_fails_is_tried_again_later_and_given_up_in_the_end(
    project: Project, receiver: Receiver
) -> None:
    pytest.importorskip("apprise")
    receiver.status = 500
    project.channel(f"json://127.0.0.1:{receiver.port}/")
    alert = project.say("loud")
    tried = []
    for seconds in (0, 29, 1, 120, 600, 3600, 10**6):
        project.now += seconds
        tried.append(project.courier.send_due())

    assert tried == [1, 0, 1, 1, 1, 1, 0]
    assert project.states(alert) == ["failed"]


def test_what_is_old_or_said_again_too_soon_is_kept_and_not_sent(project: Project) -> None:
    project.channel("json://example.org")
    old = project.say("old", at=NOW - 3601)
    first = project.say("same", at=NOW - 30, wait_s=60.0)
    again = project.say("same", at=NOW, wait_s=60.0, source="another writer")

    assert [project.states(alert) for alert in (old, first, again)] == [[], ["waiting"], []]
    assert project.metadata.alerts.newest().n_total == 3


def test_no_more_than_a_bounded_number_waits_for_a_channel(project: Project) -> None:
    project.channel("json://example.org")
    said = [project.say(f"{n}") for n in range(MAX_WAITING + 1)]

    assert project.states(said[-2]) == ["waiting"]
    assert project.states(said[-1]) == ["left_out"]


def test_a_channel_or_a_run_that_is_deleted_takes_what_waits_with_it(project: Project) -> None:
    gone, kept = project.channel("json://example.org"), project.channel("json://example.com")
    alert = project.say("one")
    project.metadata.alert_channels.delete(gone)
    assert project.states(alert) == ["waiting"]

    with project.metadata.write() as connection:
        project.metadata.runs.delete(connection, project.run_key)
    assert project.metadata.alert_channels.take_due(NOW + 1, 10) == []
    assert project.metadata.alert_channels.get(kept) is not None


def test_a_crash_while_sending_costs_one_try(project: Project) -> None:
    project.channel("json://example.org")
    project.say("one")
    assert len(project.metadata.alert_channels.take_due(NOW, 10)) == 1  # and then the process is gone

    assert project.metadata.alert_channels.take_due(NOW + 29, 10) == []
    assert [due.n_tries for due in project.metadata.alert_channels.take_due(NOW + 30, 10)] == [1]
