"""Channels are made, tried and removed by GraphQL, by those who may, and their addresses are never shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from epochal.runlog.format import RecordType

pytest.importorskip("apprise", reason="the package apprise sends")

CREATE = """
mutation ($url: String!, $project: String) {
  createAlertChannel(name: "team", url: $url, projectName: $project, minimumSeverity: WARN) {
    id name hint minimumSeverity
  }
}
"""
LIST = '{ alertChannels { hint } project(name: "digits") { alertChannels { id hint } } }'
TEST = "mutation ($id: ID!) { testAlertChannel(id: $id) }"
DELETE = "mutation ($id: ID!) { deleteAlertChannel(id: $id) }"
OUTCOMES = (
    '{ project(name: "digits") { alerts { edges { node { deliveries { channelName state error } } } } } }'
)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.got.append(self.rfile.read(int(self.headers["content-length"])))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), _Handler)
    server.got = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_alert_goes_from_the_run_log_to_the_channel(
    start_server: Callable[..., Any],
    log_run: Callable[..., Any],
    ask: Callable[..., Any],
    wait_until: Callable[..., None],
    receiver: Any,
) -> None:
    server = start_server("--alert-allow-network", "127.0.0.1")
    run = log_run(server.home, "r1", started=time.time() - 10)
    with server.client() as client:
        wait_until(lambda: ask(client, LIST)["project"] is not None)
        url = f"json://user:password@127.0.0.1:{receiver.server_address[1]}/hook"
        made = ask(client, CREATE, url=url, project="digits")["createAlertChannel"]
        assert made == {"id": made["id"], "name": "team", "hint": "json://…", "minimumSeverity": "WARN"}
        assert ask(client, LIST)["project"]["alertChannels"] == [{"id": made["id"], "hint": "json://…"}]
        assert ask(client, TEST, id=made["id"])["testAlertChannel"] is None

        run.put(RecordType.ALERT, {"title": "diverged", "text": "", "level": "ERROR", "wait_s": 60.0})
        wait_until(lambda: len(receiver.got) == 2)
        assert b"ERROR: diverged" in receiver.got[1]
        delivered = [{"channelName": "team", "state": "delivered", "error": None}]
        wait_until(
            lambda: ask(client, OUTCOMES)["project"]["alerts"]["edges"][0]["node"]["deliveries"] == delivered
        )
        assert ask(client, DELETE, id=made["id"])["deleteAlertChannel"] is True
        assert ask(client, DELETE, id=made["id"])["deleteAlertChannel"] is False
    _, written = server.stop()
    assert "password" not in written


def test_a_channel_cannot_reach_the_servers_own_machine(
    client: httpx.Client, ask: Callable[..., Any], receiver: Any
) -> None:
    url = f"json://localhost:{receiver.server_address[1]}/"
    made = ask(client, CREATE, url=url)["createAlertChannel"]

    assert "--alert-allow-network" in ask(client, TEST, id=made["id"])["testAlertChannel"]
    assert receiver.got == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "slack://x", "syslog://secretword", "nothing"])
def test_an_address_that_means_nothing_makes_no_channel(client: httpx.Client, url: str) -> None:
    body = client.post("/graphql", json={"query": CREATE, "variables": {"url": url}}).json()

    assert body["data"] is None
    assert "secretword" not in str(body)


def test_who_may_not_write_may_not_change_channels(
    live_server: Any, new_key: Callable[..., str], connect: Callable[..., Any]
) -> None:
    reader = connect(live_server.url, new_key(live_server.home, "--role", "read"))
    asked = {"query": CREATE, "variables": {"url": "json://example.org"}}
    body = reader.http.post("/graphql", json=asked).json()

    assert body["errors"][0]["extensions"]["code"] == "not_allowed"
