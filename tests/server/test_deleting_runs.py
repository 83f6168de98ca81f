"""Runs are deleted over GraphQL: at once, for good, and only by whoever may write to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx
    from tests.server.conftest import LiveServer, Run, Sender

    from epochal.wire.block import Block

Ask = Callable[..., dict[str, Any]]

# As the stock client asks.
DELETE = """mutation DeleteRun($id: ID!, $deleteArtifacts: Boolean) {
  deleteRun(input: {id: $id, deleteArtifacts: $deleteArtifacts}) { clientMutationId success }
}"""
DELETE_MANY = """mutation ($ids: [ID!]!) {
  deleteRuns(input: {ids: $ids, clientMutationId: "m1"}) { clientMutationId deletedCount }
}"""
RUNS = """query ($project: String!) {
  project(name: $project) { runCount runs { totalCount edges { node { id name } } } }
}"""


def runs_of(client: httpx.Client, ask: Ask, project: str) -> dict[str, str]:
    """Return the ids of a project's runs by their names, as lists, counts and filters agree on them."""
    found = ask(client, RUNS, project=project)["project"]
    if found is None:
        return {}
    runs = {edge["node"]["name"]: edge["node"]["id"] for edge in found["runs"]["edges"]}
    assert found["runCount"] == found["runs"]["totalCount"] == len(runs)
    return runs


def test_a_deleted_run_is_gone_from_every_answer_and_refuses_later_rows(
    client: httpx.Client,
    sender: Sender,
    block: Callable[..., Block],
    body_of: Callable[..., bytes],
    ask: Ask,
) -> None:
    sender.send(block("r1", project="gone"), block("r2", project="gone"))
    ids = runs_of(client, ask, "gone")

    assert ask(client, DELETE, id=ids["r1"], deleteArtifacts=False)["deleteRun"]["success"] is True

    assert runs_of(client, ask, "gone") == {"r2": ids["r2"]}
    asked = {"entity": "local", "project": "gone", "run": "r1"}
    assert client.get("/api/history", params=asked).status_code == 404
    # Its sidecar is told to begin again, and when it does, why that is in vain.
    (said,) = sender.send(block("r1", range(3, 5), at=300, project="gone"))["writers"]
    assert said["offset"] == 0
    assert "was deleted" in sender.post(body_of(block("r1", project="gone"))).text
    assert runs_of(client, ask, "gone") == {"r2": ids["r2"]}
    assert ask(client, DELETE, id=ids["r1"], deleteArtifacts=False)["deleteRun"]["success"] is False


def test_many_runs_are_deleted_at_once(
    client: httpx.Client, sender: Sender, block: Callable[..., Block], ask: Ask
) -> None:
    sender.send(*(block(f"r{i}", project="many") for i in range(4)))
    ids = runs_of(client, ask, "many")
    doomed = [ids["r0"], ids["r2"], ids["r0"], "Run:999999"]

    said = ask(client, DELETE_MANY, ids=doomed)["deleteRuns"]

    assert said == {"clientMutationId": "m1", "deletedCount": 2}
    assert sorted(runs_of(client, ask, "many")) == ["r1", "r3"]


@pytest.mark.parametrize(
    "bad", ["", "r1", "Run:", "Run:-1", "Run:1x", "Project:1", "Run:" + "9" * 30, "Run:²"]
)
def test_what_is_no_id_of_a_run_is_refused(client: httpx.Client, bad: str) -> None:
    answer = client.post("/graphql", json={"query": DELETE, "variables": {"id": bad}}).json()

    assert answer["errors"][0]["extensions"]["code"] == "bad_request"


def test_a_key_that_may_only_read_deletes_nothing(
    live_server: LiveServer,
    client: httpx.Client,
    sender: Sender,
    block: Callable[..., Block],
    ask: Ask,
    new_key: Callable[..., str],
    connect: Callable[[str, str], Sender],
) -> None:
    sender.send(block("r1", project="kept"))
    ids = runs_of(client, ask, "kept")
    reader = connect(live_server.url, new_key(live_server.home, "--role", "read"))

    for run_id in (ids["r1"], "Run:999999"):
        answer = reader.http.post("/graphql", json={"query": DELETE, "variables": {"id": run_id}}).json()
        assert answer["errors"][0]["extensions"]["code"] == "entity_not_allowed"
    assert runs_of(client, ask, "kept") == ids


def test_open_pages_are_told_of_a_run_that_is_deleted(
    client: httpx.Client, sender: Sender, block: Callable[..., Block], ask: Ask
) -> None:
    sender.send(block("r1", project="told"))
    ids = runs_of(client, ask, "told")

    with client.stream("GET", "/api/live", params={"entity": "local", "project": "told"}) as events:
        lines = events.iter_lines()
        assert next(lines) == ": connected"
        ask(client, DELETE, id=ids["r1"])
        changes = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
        change = next(change for change in changes if change.get("run") == "r1" and change["what"] == ["run"])

    assert change["project"] == "told"


def test_a_watched_run_folder_does_not_bring_its_run_back(
    start_server: Callable[..., LiveServer],
    log_run: Callable[..., Run],
    ask: Ask,
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    server = start_server()
    dead, other = log_run(server.home, "dead"), log_run(server.home, "other")
    with server.client() as client:
        dead.log([{"loss": 0.5}])
        other.log([{"loss": 0.5}])
        wait_until(lambda: len(runs_of(client, ask, "digits")) == 2)
        ask(client, DELETE, id=runs_of(client, ask, "digits")["dead"])
        dead.log([{"loss": 0.25}], first_step=1)
    server.stop()

    again = start_server()
    dead.log([{"loss": 0.125}], first_step=2)
    other.log([{"loss": 0.25}], first_step=1)
    with again.client() as client:
        asked = {"entity": "local", "project": "digits", "run": "other"}
        # Both are read in the same rounds, so the one that goes on says that the other was looked at.
        wait_until(lambda: len(client.get("/api/history", params=asked).text.splitlines()) == 2)
        assert sorted(runs_of(client, ask, "digits")) == ["other"]
