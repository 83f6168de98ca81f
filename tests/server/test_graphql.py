"""The control plane answers what the schema says, in bounded size, and says clearly what it cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from epochal._version import __version__
from epochal.access.api_keys import system_user
from epochal.runlog.format import RecordType

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer, Run

MANY_PROJECTS = "projects(first: 1000) { edges { node { id } } }"
NESTED = "{ projects(first: 1000) { edges { node { runs(first: 1000) { edges { node { id } } } } } } }"
HUGE_STEP = 10**15  # counted in tokens, say: far beyond 32 bits


@pytest.fixture(scope="module", autouse=True)
def run(
    client: httpx.Client, started_run: Run, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> Run:
    """Log the run `r1`: named, configured, failed."""
    started_run.put(RecordType.ATTRIBUTES, {"name": "<b>first</b>", "tags": ["a", "b"], "group": "g"})
    started_run.put(RecordType.CONFIG, {"lr": 0.1, "model": {"width": 8}, "bad": math.nan}, [])
    started_run.put(RecordType.DEFINE_METRIC, {"name": "loss", "summary": ["min"], "step_metric": "epoch"})
    started_run.put(RecordType.METADATA, {"python": "3.11.2"})
    started_run.log([{"loss": 2.0, "layer.10": 1, "layer.2": 1}, {"loss": 1.0, "layer.2": 1}])
    started_run.log([{"loss": 3.0}], first_step=HUGE_STEP)
    started_run.put(RecordType.SYSTEM, {"cpu": 1.0})
    started_run.finish(state="failed", exit_code=3, traceback="Traceback: x")
    wait_until(lambda: run_of(ask, client, "state")["state"] == "failed")
    return started_run


def run_of(ask: Callable[..., Any], client: httpx.Client, fields: str) -> dict[str, Any]:
    query = f'{{ project(name: "digits") {{ run(name: "r1") {{ {fields} }} }} }}'
    found: dict[str, Any] | None = (ask(client, query)["project"] or {}).get("run")
    return found or {"state": None}


def failed(client: httpx.Client, query: str, **variables: object) -> dict[str, Any]:
    body: dict[str, Any] = client.post("/graphql", json={"query": query, "variables": variables}).json()
    error: dict[str, Any] = body["errors"][0]
    return error


def test_a_run_is_what_was_logged_of_it(client: httpx.Client, ask: Callable[..., Any]) -> None:
    found = run_of(
        ask,
        client,
        "name displayName state tags group jobType config summaryMetrics metadata historyLineCount lastStep"
        " computeSeconds createdAt exit { exitCode signal traceback reason } losses { writer }"
        " metricDefinitions { name stepMetric hidden summary goal }",
    )

    assert found["name"] == "r1"
    assert found["displayName"] == "<b>first</b>"
    assert found["state"] == "failed"
    assert found["tags"] == ["a", "b"]
    assert (found["group"], found["jobType"]) == ("g", None)
    assert json.loads(found["metadata"])["python"] == "3.11.2"
    assert found["exit"] == {"exitCode": 3, "signal": None, "traceback": "Traceback: x", "reason": None}
    assert found["historyLineCount"] == 3
    assert found["lastStep"] == HUGE_STEP
    assert found["createdAt"] == "2023-11-14T22:13:20.000Z"
    assert found["computeSeconds"] == 9.0
    assert found["losses"] == []
    definition = {"name": "loss", "stepMetric": "epoch", "hidden": False, "summary": ["min"], "goal": None}
    assert found["metricDefinitions"] == [definition]


def test_not_a_number_survives_as_a_bare_token(client: httpx.Client, ask: Callable[..., Any]) -> None:
    text = run_of(ask, client, "config")["config"]

    assert '"bad":NaN' in text
    assert json.loads(text)["model"] == {"width": 8}


def test_metric_keys_are_sorted_as_a_person_would(client: httpx.Client, ask: Callable[..., Any]) -> None:
    keys = "metricKeys { totalCount edges { node { key type count runCount firstStep lastStep } } }"
    of_run = run_of(ask, client, keys)["metricKeys"]
    of_project = ask(client, f'{{ project(name: "digits") {{ {keys} }} }}')["project"]["metricKeys"]

    assert of_run == of_project
    assert [edge["node"]["key"] for edge in of_run["edges"]] == ["layer.2", "layer.10", "loss"]
    loss = of_run["edges"][2]["node"]
    wanted = {
        "key": "loss",
        "type": "number",
        "count": 3,
        "runCount": 1,
        "firstStep": 0,
        "lastStep": HUGE_STEP,
    }
    assert loss == wanted


def test_keys_of_the_system_stream_are_their_own(client: httpx.Client, ask: Callable[..., Any]) -> None:
    found = run_of(ask, client, 'metricKeys(stream: "system") { edges { node { key } } }')

    assert found["metricKeys"]["edges"] == [{"node": {"key": "cpu"}}]


def test_pages_fit_together(
    live_server: LiveServer,
    client: httpx.Client,
    ask: Callable[..., Any],
    log_run: Callable[..., Run],
    wait_until: Callable[..., None],
) -> None:
    for number in range(5):
        log_run(live_server.home, f"p{number}", project="paged", started=1.7e9 + number).finish()
    query = """query ($after: String) { project(name: "paged") { runs(first: 2, after: $after) {
        totalCount edges { cursor node { name } } pageInfo { hasNextPage endCursor } } } }"""

    def page(after: str | None) -> dict[str, Any]:
        found: dict[str, Any] = ask(client, query, after=after)["project"]["runs"]
        return found

    def all_ended() -> bool:
        states = '{ project(name: "paged") { runs { edges { node { state } } } } }'
        project = ask(client, states)["project"] or {"runs": {"edges": []}}
        return [edge["node"]["state"] for edge in project["runs"]["edges"]] == ["finished"] * 5

    wait_until(all_ended)
    names, after = [], None
    for _ in range(3):
        found = page(after)
        assert found["totalCount"] == 5
        names += [edge["node"]["name"] for edge in found["edges"]]
        after = found["pageInfo"]["endCursor"]
        assert after == found["edges"][-1]["cursor"]

    assert names == ["p4", "p3", "p2", "p1", "p0"]
    assert not found["pageInfo"]["hasNextPage"]


def test_runs_are_filtered_sorted_grouped_and_their_fields_listed(
    live_server: LiveServer,
    client: httpx.Client,
    ask: Callable[..., Any],
    log_run: Callable[..., Run],
    wait_until: Callable[..., None],
) -> None:
    for i in range(6):
        logged = log_run(live_server.home, f"f{i}", project="filtered", started=1.7e9 + i)
        logged.put(RecordType.CONFIG, {"lr": i / 10, "model": {"name": "ab"[i % 2]}}, [])
        logged.log([{"acc": math.nan if i == 5 else i / 5}])
        logged.finish()
    count = """query ($filters: JSONString) { project(name: "filtered") { runCount(filters: $filters) } }"""
    with_acc = json.dumps({"summary_metrics.acc": {"$exists": True}, "state": "finished"})
    wait_until(lambda: (ask(client, count, filters=with_acc)["project"] or {}).get("runCount") == 6)

    query = """query ($filters: JSONString, $where: String, $order: String) { project(name: "filtered") {
        runs(filters: $filters, where: $where, order: $order) { totalCount edges { node { name } } }
        runGroups(groupBy: ["config.model.name"], aggregates: ["summary_metrics.acc"], where: $where) {
            totalCount edges { node { values runCount filters aggregates { field count mean max median } } } }
        runFields(section: "config") { totalCount edges { node { name types runCount } } } } }"""
    found = ask(
        client,
        query,
        filters=json.dumps({"$or": [{"config.lr": {"$lt": 0.2}}, {"config.model.name": "b"}]}),
        where="summary.acc >= 0 or summary.acc = nan",
        order="-summary_metrics.acc,+created_at",
    )["project"]

    assert [edge["node"]["name"] for edge in found["runs"]["edges"]] == ["f3", "f1", "f0", "f5"]
    groups = [edge["node"] for edge in found["runGroups"]["edges"]]
    assert [(json.loads(g["values"]), g["runCount"]) for g in groups] == [(["a"], 3), (["b"], 3)]
    (odd,) = groups[1]["aggregates"]
    assert odd == {"field": "summary.acc", "count": 2, "mean": 0.4, "max": 0.6, "median": 0.4}
    assert ask(client, count, filters=groups[1]["filters"])["project"]["runCount"] == 3
    fields = [edge["node"] for edge in found["runFields"]["edges"]]
    assert fields == [
        {"name": "config.lr", "types": ["number"], "runCount": 6},
        {"name": "config.model", "types": [], "runCount": 6},
        {"name": "config.model.name", "types": ["text"], "runCount": 6},
    ]


def test_projects_are_listed_and_what_is_not_there_is_null(
    client: httpx.Client, ask: Callable[..., Any]
) -> None:
    listed = ask(client, "{ projects { edges { node { name entityName runCount runningCount } } } }")
    entry = {"name": "digits", "entityName": "local", "runCount": 1, "runningCount": 0}

    assert {"node": entry} in listed["projects"]["edges"]
    assert ask(client, '{ project(name: "../digits") { name } }') == {"project": None}
    assert ask(client, '{ project(name: "digits") { run(name: "no") { name } } }') == {
        "project": {"run": None}
    }


def test_the_server_says_who_it_is_and_where_it_looks(
    live_server: LiveServer, client: httpx.Client, ask: Callable[..., Any]
) -> None:
    info = ask(client, "{ viewer { username entity } serverInfo { version runsFolder } }")

    assert info["viewer"] == {"username": system_user(), "entity": "local"}
    assert info["serverInfo"] == {"version": __version__, "runsFolder": str(live_server.home / "runs")}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "query_not_valid"),
        ("{ nothing }", "query_not_valid"),
        ("query ($n: Int!) { projects(first: $n) { totalCount } }", "query_not_valid"),
        ("{ projects(first: 0) { totalCount } }", "bad_request"),
        ("{ projects(first: 1001) { totalCount } }", "bad_request"),
        ('{ projects(after: "no cursor") { totalCount } }', "bad_request"),
        ('{ project(name: "digits") { runs(order: "; DROP TABLE runs") { totalCount } } }', "bad_request"),
        ('{ project(name: "digits") { runs(search: "/(/") { totalCount } } }', "bad_request"),
        ('{ project(name: "digits") { runs(where: "lr > 1") { totalCount } } }', "bad_request"),
        ('{ project(name: "digits") { runs(filters: "{") { totalCount } } }', "bad_request"),
        ('{ project(name: "digits") { runCount(filters: "[]") } }', "bad_request"),
        ('{ project(name: "digits") { runGroups(groupBy: []) { totalCount } } }', "bad_request"),
        ('{ project(name: "digits") { runFields(section: "x") { totalCount } } }', "bad_request"),
        ('{ project(name: "digits") { metricKeys(stream: "other") { totalCount } } }', "bad_request"),
        (NESTED, "query_too_large"),
        ("{" + " ".join(f"a{i}: {MANY_PROJECTS}" for i in range(80)) + "}", "query_too_large"),
        ("{ a " * 500 + "}" * 500, "query_not_valid"),
        ("{" + " x" * 20_000 + "}", "query_not_valid"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_says_why_in_a_code(client: httpx.Client, query: str, code: str) -> None:
    error = failed(client, query)

    assert error["extensions"]["code"] == code
    assert error["message"]
    assert "Traceback" not in json.dumps(error)


def test_a_default_of_a_variable_counts_as_much_as_a_number(client: httpx.Client) -> None:
    query = "query ($n: Int = 1000) " + NESTED.replace("1000", "$n")

    assert failed(client, query)["extensions"]["code"] == "query_too_large"


def test_a_fragment_that_nests_is_as_deep_as_what_it_stands_for(client: httpx.Client) -> None:
    fragments = "".join(
        f"fragment f{i} on Project {{ runs(first: 1) {{ edges {{ node {{ id }} }} }} ...f{i + 1} }}"
        for i in range(9)
    )
    query = (
        "{ projects(first: 1) { edges { node { ...f0 } } } }" + fragments + "fragment f9 on Project { id }"
    )

    assert client.post("/graphql", json={"query": query}).status_code == 200


def test_the_schema_can_be_asked_for(client: httpx.Client, ask: Callable[..., Any]) -> None:
    from graphql import get_introspection_query

    assert ask(client, get_introspection_query())["__schema"]["queryType"]["name"] == "Query"


def test_the_sizes_of_runs_add_up_to_that_of_their_project(
    client: httpx.Client, ask: Callable[..., Any]
) -> None:
    fields = "storedBytes diskBytes runs { edges { node { storedBytes } } }"
    found = ask(client, f'{{ project(name: "digits") {{ {fields} }} }}')["project"]

    of_runs = [edge["node"]["storedBytes"] for edge in found["runs"]["edges"]]
    assert min(of_runs) > 0
    assert sum(of_runs) == found["storedBytes"] <= found["diskBytes"]
