"""Alerts as GraphQL shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from epochal.runlog.format import RecordType

if TYPE_CHECKING:
    from tests.server.conftest import Run

ALERTS = """
query ($after: String) {
  project(name: "digits") {
    alerts(first: 1, after: $after) {
      totalCount
      edges { node { title text severity projectName runName runDisplayName isFromRule } }
      pageInfo { hasNextPage endCursor }
    }
    run(name: "r1") { alerts { totalCount } }
  }
  alerts { totalCount }
}
"""


def test_alerts_are_listed_for_a_run_a_project_and_everything(
    client: httpx.Client, started_run: Run, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    started_run.put(RecordType.ALERT, {"title": "one", "text": "first", "level": "WARN", "wait_s": 60.0})
    started_run.put(RecordType.ALERT, {"title": "two", "level": "ERROR"})
    wait_until(lambda: ask(client, "{ alerts { totalCount } }")["alerts"]["totalCount"] == 2)

    said = ask(client, ALERTS)
    found = said["project"]["alerts"]
    assert found["edges"][0]["node"] == {
        "title": "two",
        "text": "",
        "severity": "ERROR",
        "projectName": "digits",
        "runName": "r1",
        "runDisplayName": "r1",
        "isFromRule": False,
    }
    assert (found["totalCount"], said["project"]["run"]["alerts"]["totalCount"]) == (2, 2)

    behind = ask(client, ALERTS, after=found["pageInfo"]["endCursor"])["project"]["alerts"]
    assert [edge["node"]["title"] for edge in behind["edges"]] == ["one"]
    assert not behind["pageInfo"]["hasNextPage"]


def test_a_cursor_that_is_none_is_refused_in_words(client: httpx.Client) -> None:
    body = client.post("/graphql", json={"query": '{ alerts(after: "x") { totalCount } }'}).json()

    assert "endCursor" in body["errors"][0]["message"]
