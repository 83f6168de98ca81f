"""Whoever listens hears of every change, also after the line was down."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import httpx

from epochal.runlog.format import RecordType

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer, Run


class Event(NamedTuple):
    kind: str
    cursor: str
    data: dict[str, object]


@contextmanager
def listening(
    client: httpx.Client, project: str | None = None, cursor: str | None = None
) -> Iterator[Iterator[Event]]:
    """Give the events of a connection that is open."""
    headers = {} if cursor is None else {"last-event-id": cursor}
    with client.stream(
        "GET", "/api/live", params={"project": project} if project else {}, headers=headers
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == ": connected"
        yield parsed(lines)


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if not line and fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def test_a_logged_row_is_announced_and_there_when_it_is(
    live_server: LiveServer, client: httpx.Client, log_run: Callable[..., Run]
) -> None:
    with listening(client, "heard") as events:
        run = log_run(live_server.home, "a1", project="heard")
        run.log([{"loss": 1.0}])
        event = next(e for e in events if "history" in e.data["what"])  # type: ignore[operator]

    rows = client.get("/api/history", params={"project": "heard", "run": "a1"}).text
    assert event.kind == "change"
    assert (event.data["entity"], event.data["project"], event.data["run"]) == ("local", "heard", "a1")
    assert event.data["last_step"] == 0
    assert json.loads(rows)["loss"] == 1.0
    run.finish()


def test_a_listener_of_one_project_hears_nothing_of_another(
    live_server: LiveServer, client: httpx.Client, log_run: Callable[..., Run]
) -> None:
    with listening(client, "mine") as events:
        other = log_run(live_server.home, "b1", project="other")
        other.finish()
        mine = log_run(live_server.home, "b2", project="mine")
        mine.finish()
        first = next(events)

    assert first.data["run"] == "b2"


def test_what_happened_while_the_line_was_down_comes_first(
    live_server: LiveServer, client: httpx.Client, log_run: Callable[..., Run]
) -> None:
    with listening(client, "broken-line") as events:
        run = log_run(live_server.home, "c1", project="broken-line")
        cursor = next(events).cursor
    with listening(client, "broken-line") as events:
        run.put(RecordType.ATTRIBUTES, {"name": "renamed"})
        assert "run" in next(events).data["what"]  # type: ignore[operator]
    with listening(client, "broken-line", cursor) as events:
        missed = next(events)
    run.finish()

    assert missed.kind == "change"
    assert missed.cursor != cursor
    assert missed.data["run"] == "c1"


def test_a_cursor_of_another_life_of_the_server_resets(client: httpx.Client) -> None:
    for cursor in ("gone-17", "x", "-1", "9" * 400):
        with listening(client, cursor=cursor) as events:
            assert next(events).kind == "reset"


def test_an_idle_line_shows_signs_of_life(start_server: Callable[..., LiveServer]) -> None:
    server = start_server("--live-comment-s", "0.1")
    with server.client() as client, client.stream("GET", "/api/live") as answer:
        lines = [line for line, _ in zip(answer.iter_lines(), range(5), strict=False) if line]

    assert lines == [": connected", ": still here", ": still here"]


def test_stopping_the_server_ends_its_live_lines(start_server: Callable[..., LiveServer]) -> None:
    server = start_server()
    with server.client() as client, client.stream("GET", "/api/live") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": connected"
        server.process.send_signal(signal.SIGINT)
        # Ends as an answer that is complete, not as one that broke off.
        assert [line for line in lines if line] == []
    code, errors = server.stop()

    assert (code, errors) == (0, "")
