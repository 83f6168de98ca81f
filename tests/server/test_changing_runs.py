"""Runs are deleted and moved over GraphQL, by those who may, and everything follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer, Sender

    from epochal.wire.block import Block

NewBlock = Callable[..., "Block"]
MOVE = """mutation ($runs: [String!]!, $from: String!, $to: String!, $entity: String) {
  moveRuns(input: {projectName: $from, runNames: $runs, destinationProjectName: $to,
                   destinationEntityName: $entity, clientMutationId: "c7"}) { runCount clientMutationId }
}"""
DELETE = "mutation DeleteRun($id: ID!) { deleteRun(input: {id: $id}) { success clientMutationId } }"


def runs_of(http: httpx.Client, project: str, where: str = "summary.loss >= 0") -> dict[str, dict[str, Any]]:
    """Return the runs of a project that a filter matches, by id."""
    query = """query ($name: String!, $where: String) { project(name: $name) {
        storedBytes runCount runs(where: $where) { totalCount edges { node { id name storedBytes } } } } }"""
    body = http.post("/graphql", json={"query": query, "variables": {"name": project, "where": where}}).json()
    found = body["data"]["project"]
    if found is None:
        return {}
    nodes = [edge["node"] for edge in found["runs"]["edges"]]
    assert found["runs"]["totalCount"] == found["runCount"] == len(nodes)
    assert found["storedBytes"] == sum(node["storedBytes"] for node in nodes)
    return {node["name"]: node for node in nodes}


def post(http: httpx.Client, query: str, **variables: object) -> dict[str, Any]:
    body: dict[str, Any] = http.post("/graphql", json={"query": query, "variables": variables}).json()
    return body


def wait_for_moves(http: httpx.Client, *projects: str) -> list[dict[str, Any]]:
    """Wait until no run is on its way; return what could not be moved."""
    query = """query ($name: String!) { project(name: $name) { movingRuns { name entityName projectName
        destinationEntityName destinationProjectName copiedBytes error } } }"""
    until = time.monotonic() + 60
    while True:
        found = [post(http, query, name=name)["data"]["project"]["movingRuns"] for name in projects]
        every = [run for of_project in found for run in of_project]
        if all(run["error"] for run in every) or time.monotonic() > until:
            return every
        time.sleep(0.01)


def test_runs_are_moved_with_all_they_have_and_go_on_logging(sender: Sender, block: NewBlock) -> None:
    for run in ("r1", "r2", "r3"):
        sender.send(block(run, range(5), project="old"))
    assert set(runs_of(sender.http, "old")) == {"r1", "r2", "r3"}
    rows, before = sender.rows("r1", "old"), runs_of(sender.http, "old")

    body = post(sender.http, MOVE, runs=["r1", "r3"], **{"from": "old", "to": "new"})

    assert body == {"data": {"moveRuns": {"runCount": 2, "clientMutationId": "c7"}}}
    assert wait_for_moves(sender.http, "old", "new") == []
    assert set(runs_of(sender.http, "old")) == {"r2"}
    assert runs_of(sender.http, "new") == {run: before[run] for run in ("r1", "r3")}
    assert sender.rows("r1", "new") == rows
    asked = {"project": "old", "run": "r1", "entity": "local"}
    assert sender.http.get("/api/offsets", params=asked).json() == {"writers": {"w1": 500}, "ended": False}
    answer = sender.send(block("r1", range(5, 8), at=500, project="old"))
    assert answer["writers"][0]["project"] == "old"
    assert len(sender.rows("r1", "new")) == 8
    assert sender.http.get("/api/history", params=asked).status_code == 404


def test_what_cannot_be_moved_is_said(sender: Sender, block: NewBlock) -> None:
    for project in ("here", "there"):
        sender.send(block("same", project=project))

    clash = post(sender.http, MOVE, runs=["same"], **{"from": "here", "to": "there"})
    missing = post(sender.http, MOVE, runs=["nobody"], **{"from": "here", "to": "there"})
    outside = post(sender.http, MOVE, runs=["same"], **{"from": "here", "to": "../there"})

    assert "another run with that id" in clash["errors"][0]["message"]
    assert missing["errors"][0]["extensions"]["code"] == "run_not_found"
    assert "project name" in outside["errors"][0]["message"]
    assert len(sender.rows("same", "here")) == len(sender.rows("same", "there")) == 3


def test_a_deleted_run_is_gone_from_lists_sizes_and_filters_at_once(sender: Sender, block: NewBlock) -> None:
    for run in ("r1", "r2"):
        sender.send(block(run, project="less"))
    (gone, kept) = runs_of(sender.http, "less").values()

    for success in (True, False):
        body = post(sender.http, DELETE, id=gone["id"])
        assert body == {"data": {"deleteRun": {"success": success, "clientMutationId": None}}}

    assert runs_of(sender.http, "less") == {kept["name"]: kept}
    for hostile in ("Run:1; DROP", "Project:1", "Run:", "Run:9" * 40, "Run:²"):
        assert "is not the id of a run" in post(sender.http, DELETE, id=hostile)["errors"][0]["message"]


def test_who_may_only_read_changes_no_run(
    live_server: LiveServer,
    sender: Sender,
    block: NewBlock,
    new_key: Callable[..., str],
    connect: Callable[[str, str], Sender],
) -> None:
    sender.send(block("r1", project="safe"))
    reader = connect(live_server.url, new_key(live_server.home, "--role", "read"))
    (run,) = runs_of(reader.http, "safe").values()

    for body in (
        post(reader.http, DELETE, id=run["id"]),
        post(reader.http, MOVE, runs=["r1"], **{"from": "safe", "to": "elsewhere"}),
    ):
        assert body["errors"][0]["extensions"]["code"] == "entity_not_allowed"

    assert runs_of(reader.http, "safe") == {"r1": run}
