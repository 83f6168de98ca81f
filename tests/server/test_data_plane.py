"""What was logged comes out over HTTP as docs/formats/data-plane.md says."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from arro3.core import Table
from arro3.io import read_ipc_stream

from epochal.runlog.format import RecordType

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer, Run

STARTED = 1_700_000_000.0
ROWS: list[dict[str, object]] = [
    {"loss": 1.0, "epoch": 0, "note": "first"},
    {"loss": math.nan, "epoch": 1, "ok": True, "top,5": 3},
    {"loss": -math.inf, "epoch": 2, "sparse": 7},
    {"loss": 0.25, "epoch": 3, "image": {"_type": "image-file", "path": "a.png"}},
]
SERIES_COLUMNS = ["series", "x", "x_last", "first", "last", "low", "high", "mean"]
SERIES_COLUMNS += ["n_points", "n_nan", "n_posinf", "n_neginf"]
GROUP_COLUMNS = ["series", "x", "x_last", "mean", "median", "low", "high", "std", "stderr"]
GROUP_COLUMNS += ["n_runs", "n_points", "n_nan", "n_posinf", "n_neginf"]


@pytest.fixture(scope="module", autouse=True)
def run(
    live_server: LiveServer, client: httpx.Client, started_run: Run, wait_until: Callable[..., None]
) -> Run:
    """Log the run `r1` and wait until the server has all of it."""
    started_run.log(ROWS)
    for text in ("one\ntw", "o\nthree\rfour\n"):
        started_run.put(RecordType.CONSOLE, "stdout", text)
    started_run.put(RecordType.SYSTEM, {"cpu": 12.5})
    started_run.finish()
    wait_until(lambda: history(client).text.count("\n") == len(ROWS))
    wait_until(lambda: console(client)["total"] == 3)
    return started_run


def history(client: httpx.Client, **parameters: object) -> httpx.Response:
    asked: dict[str, Any] = {"project": "digits", "run": "r1", **parameters}
    return client.get("/api/history", params=asked)


def console(client: httpx.Client, **parameters: object) -> dict[str, Any]:
    asked: dict[str, Any] = {"project": "digits", "run": "r1", **parameters}
    answer: dict[str, Any] = client.get("/api/console", params=asked).json()
    return answer


def series(client: httpx.Client, *queries: dict[str, object]) -> httpx.Response:
    body = {"entity": "local", "project": "digits", "queries": queries}
    return client.post("/api/series", json=body)


def test_every_row_comes_back_exactly_in_step_order(client: httpx.Client) -> None:
    answer = history(client)
    rows = [json.loads(line) for line in answer.text.splitlines()]

    assert answer.headers["content-type"] == "application/jsonl"
    wanted = [{"_step": i, "_timestamp": STARTED + 1 + i, **row} for i, row in enumerate(ROWS)]
    # As text, because NaN is not equal to itself.
    assert [sorted(map(repr, row.items())) for row in rows] == [sorted(map(repr, r.items())) for r in wanted]


def test_a_history_can_be_cut_to_keys_and_steps(client: httpx.Client) -> None:
    answer = history(client, keys="epoch,sparse", first_step=1, last_step=2)

    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [{k: v for k, v in row.items() if k != "_timestamp"} for row in rows] == [
        {"_step": 1, "epoch": 1},
        {"_step": 2, "epoch": 2, "sparse": 7},
    ]


def test_keys_with_commas_are_asked_for_one_by_one(client: httpx.Client) -> None:
    alone = history(client, key="top,5")
    together = history(client, keys="sparse", key=["top,5", "ok"])

    rows = [[json.loads(line) for line in answer.text.splitlines()] for answer in (alone, together)]
    assert [{k: v for k, v in row.items() if k[0] != "_"} for row in rows[0]] == [{"top,5": 3}]
    assert [{k: v for k, v in row.items() if k[0] != "_"} for row in rows[1]] == [
        {"ok": True, "top,5": 3},
        {"sparse": 7},
    ]


def test_system_metrics_are_a_history_without_steps(client: httpx.Client) -> None:
    (row,) = history(client, stream="system").text.splitlines()

    assert json.loads(row)["cpu"] == 12.5
    assert "_step" not in json.loads(row)


def test_a_history_in_arrow_has_the_same_rows_with_types(client: httpx.Client) -> None:
    table = read_ipc_stream(io.BytesIO(history(client, format="arrow").content)).read_all()

    assert column(table, "_step") == [0, 1, 2, 3]
    assert column(table, "epoch") == [0, 1, 2, 3]
    assert repr(column(table, "loss")) == repr([1.0, math.nan, -math.inf, 0.25])
    assert column(table, "ok") == [None, True, None, None]
    assert column(table, "sparse") == [None, None, 7, None]
    assert column(table, "note") == ["first", None, None, None]
    assert json.loads(column(table, "image")[3]) == ROWS[3]["image"]


def column(table: Table, name: str) -> list[Any]:
    return list(table[name].to_pylist())


def test_series_come_as_one_record_batch_a_query_with_their_heads(client: httpx.Client) -> None:
    answer = series(
        client,
        {"runs": ["r1"], "keys": ["loss", "absent"], "x": "step", "range": None, "buckets": 100},
        {"runs": ["r1"], "keys": ["loss"], "x": {"key": "epoch"}, "buckets": 100},
        {"runs": ["r1"], "keys": ["cpu"], "stream": "system", "x": "relative"},
    )
    reader = read_ipc_stream(io.BytesIO(answer.content))
    batches = list(reader)
    head = json.loads(reader.schema.metadata[b"epochal"])

    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert reader.schema.names == SERIES_COLUMNS
    assert [batch.num_rows for batch in batches] == [4, 4, 1]
    assert [query["x"] for query in head["queries"]] == ["step", {"key": "epoch"}, "relative"]
    first = {"run": "r1", "key": "loss", "n_points": 4, "exact": True, "last_step": 3}
    assert head["queries"][0]["series"][0] == first
    assert batches[0]["n_nan"].to_numpy().tolist() == [0, 1, 0, 0]
    assert batches[0]["n_neginf"].to_numpy().tolist() == [0, 0, 1, 0]
    assert batches[0]["first"].to_numpy()[3] == 0.25


def test_a_group_comes_as_one_line_with_statistics_over_its_runs(client: httpx.Client) -> None:
    answer = series(client, {"group": [["r1", "gone"], []], "keys": ["epoch"], "buckets": 100})
    reader = read_ipc_stream(io.BytesIO(answer.content))
    (batch,) = list(reader)
    head = json.loads(reader.schema.metadata[b"epochal"])

    assert reader.schema.names == GROUP_COLUMNS
    assert head["queries"] == [
        {
            "groups": [
                {"group": 0, "key": "epoch", "n_runs": 1, "exact": True},
                {"group": 1, "key": "epoch", "n_runs": 0, "exact": True},
            ],
            "x": "step",
        }
    ]
    assert batch["mean"].to_numpy().tolist() == [0, 1, 2, 3]
    assert batch["n_runs"].to_numpy().tolist() == [1, 1, 1, 1]


def test_the_same_request_gives_the_same_bytes(client: httpx.Client) -> None:
    query: dict[str, object] = {"runs": ["r1"], "keys": ["loss", "epoch"], "buckets": 2}

    assert series(client, query).content == series(client, query).content


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"runs": ["r1"], "keys": ["loss"], "buckets": 0}, "buckets"),
        ({"runs": ["r1"], "group": [["r1"]], "keys": ["loss"]}, "either"),
        ({"group": [["r1", "r1"]], "keys": ["loss"]}, "twice in one group"),
        ({"runs": ["r1"], "keys": ["loss"], "buckets": 20_001}, "buckets"),
        ({"runs": ["r1"], "keys": ["loss"], "x": "lap"}, "x"),
        ({"runs": ["r1"], "keys": ["loss"], "range": [5, 1]}, "range"),
        ({"runs": "r1", "keys": ["loss"]}, "runs"),
        ({"keys": ["loss"]}, "runs"),
    ],
)
def test_a_query_that_cannot_be_answered_is_told_what_is_wrong(
    client: httpx.Client, query: dict[str, object], words: str
) -> None:
    answer = series(client, query)

    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_console_lines_come_whole_whatever_pieces_they_were_written_in(client: httpx.Client) -> None:
    answer = console(client)

    assert [line["text"] for line in answer["lines"]] == ["one", "two", "three\rfour"]
    assert [line["sequence"] for line in answer["lines"]] == [0, 1, 2]
    assert (answer["next"], answer["total"]) == (3, 3)


def test_console_lines_can_be_paged_both_ways(client: httpx.Client) -> None:
    def texts(**parameters: int) -> list[str]:
        return [line["text"] for line in console(client, **parameters)["lines"]]

    assert texts(limit=1) == ["three\rfour"]
    assert texts(before=2, limit=1) == ["two"]
    assert texts(after=0, limit=1) == ["two"]
    assert texts(after=2) == []
    # `next` is where a reader goes on: the line behind the last one that it has.
    assert console(client, after=2)["next"] == 3


def test_console_lines_are_found_by_their_text(client: httpx.Client) -> None:
    found = console(client, search="T", limit=1)
    assert [line["text"] for line in found["lines"]] == ["two"]

    rest = console(client, search="T", after=found["next"] - 1)
    assert [line["text"] for line in rest["lines"]] == ["three\rfour"]
    assert (rest["next"], rest["total"]) == (3, 3)


def test_values_come_by_key_with_types_and_without_numbers(client: httpx.Client) -> None:
    def values(**parameters: object) -> Any:
        asked: dict[str, Any] = {"project": "digits", "run": "r1", **parameters}
        return client.get("/api/values", params=asked).json()

    image = {"step": 3, "time": STARTED + 4, "type": "media", "value": ROWS[3]["image"]}
    assert values(key="image") == {"key": "image", "values": [image], "next": None}
    steps = {"key": "note", "steps": [0], "times": [STARTED + 1], "next": None}
    assert values(key="note", only="steps") == steps
    assert values(key="loss")["values"] == []
    assert values(key="note", limit=1001)["error"]["code"] == "bad_request"


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 10_001}, {"after": "x"}, {"project": ""}])
def test_console_parameters_are_checked(client: httpx.Client, parameters: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"project": "digits", "run": "r1", **parameters}
    answer = client.get("/api/console", params=asked)

    assert answer.status_code in (400, 404)
    assert set(answer.json()["error"]) >= {"code", "message"}


@pytest.mark.parametrize("path", ["/api/history", "/api/console"])
def test_an_unknown_project_or_run_is_named(client: httpx.Client, path: str) -> None:
    run = client.get(path, params={"project": "digits", "run": "../r1"})
    project = client.get(path, params={"project": "../digits", "run": "r1"})

    assert (run.status_code, run.json()["error"]["code"]) == (404, "run_not_found")
    assert (project.status_code, project.json()["error"]["code"]) == (404, "project_not_found")


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(client: httpx.Client) -> None:
    large = b"[" + b" " * (9 * 2**20)
    headers = {"content-type": "application/json"}

    declared = client.post("/api/series", content=large, headers=headers)
    undeclared = client.post("/api/series", content=iter([large]), headers=headers)

    for answer in (declared, undeclared):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "[" * 100_000, '{"project": 1, "queries": []}'])
def test_a_body_that_cannot_be_read_is_refused(client: httpx.Client, body: str) -> None:
    answer = client.post("/api/series", content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_body")


def test_a_method_that_a_route_does_not_have_is_refused_in_the_same_shape(client: httpx.Client) -> None:
    answer = client.delete("/api/history")

    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
