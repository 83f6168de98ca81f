"""What senders send is stored once, whole, and by whoever may; what is wrong stops nobody else."""

from __future__ import annotations

import base64
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
import zstandard

from epochal.wire.block import Block, Column, encode

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer, Run, Sender

    MakeBlock = Callable[..., Block]

LOSSES = [{"_step": step, "loss": float(step)} for step in range(6)]


def entry(run: str, offset: int, writer: str = "w1", entity: str = "local") -> dict[str, object]:
    return {"entity": entity, "project": "digits", "run": run, "writer": writer, "offset": offset}


def test_what_was_sent_is_there_and_the_answer_says_where_to_go_on(sender: Sender, block: MakeBlock) -> None:
    first = sender.send(block("sent", range(3)))
    second = sender.send(block("sent", range(3, 6), at=300))

    assert first == {"writers": [entry("sent", 300)]}
    assert second == {"writers": [entry("sent", 600)]}
    assert sender.rows("sent") == LOSSES


def test_a_block_that_is_sent_again_is_stored_once(sender: Sender, block: MakeBlock) -> None:
    """The answer may have been lost on the way; the sender cannot know."""
    blocks = [block("twice", range(3)), block("twice", range(3, 6), at=300)]
    answers = [sender.send(*blocks), sender.send(*blocks), sender.send(blocks[0])]

    assert answers == [{"writers": [entry("twice", 600)]}] * 3
    assert sender.rows("twice") == LOSSES


def test_a_block_behind_a_gap_is_not_stored_and_makes_no_run(sender: Sender, block: MakeBlock) -> None:
    unknown = sender.send(block("gap", range(3, 6), at=300))
    offsets = sender.http.get("/api/offsets", params={"project": "digits", "run": "gap"}).json()
    sender.send(block("gap", range(3)))
    too_far = sender.send(block("gap", range(9, 12), at=900))

    assert unknown == {"writers": [entry("gap", 0)]}
    assert offsets == {"writers": {}, "ended": False}
    assert too_far == {"writers": [entry("gap", 300)]}
    assert sender.rows("gap") == LOSSES[:3]


def test_a_block_that_was_cut_elsewhere_is_asked_for_from_where_the_server_is(
    sender: Sender, block: MakeBlock
) -> None:
    sender.send(block("recut", range(2)))

    assert sender.send(block("recut", range(6))) == {"writers": [entry("recut", 200)]}
    assert sender.send(block("recut", range(2, 6), at=200)) == {"writers": [entry("recut", 600)]}
    assert sender.rows("recut") == LOSSES


def test_one_body_may_bring_blocks_of_many_runs_and_writers(sender: Sender, block: MakeBlock) -> None:
    answer = sender.send(
        block("many", range(3)),
        block("others", range(6), project="letters"),
        block("many", range(3), writer="w2"),
        block("many", range(3, 6), at=300),
    )

    assert answer["writers"] == [
        entry("many", 600),
        entry("others", 600) | {"project": "letters"},
        entry("many", 300, writer="w2"),
    ]
    assert sender.rows("many") == LOSSES


def test_runs_of_one_id_in_two_projects_do_not_mix(sender: Sender, block: MakeBlock) -> None:
    answer = sender.send(block("same", range(3)), block("same", range(6), project="letters"))

    assert [writer["offset"] for writer in answer["writers"]] == [300, 600]
    assert (sender.rows("same"), sender.rows("same", "letters")) == (LOSSES[:3], LOSSES)


def test_an_empty_body_is_no_mistake(sender: Sender) -> None:
    assert sender.send() == {"writers": []}


def test_offsets_say_where_each_writer_goes_on_and_whether_the_run_has_ended(
    sender: Sender, block: MakeBlock
) -> None:
    asked = {"project": "digits", "run": "ending", "entity": "local"}
    sender.send(block("ending", range(3)), block("ending", range(2), writer="w2"))
    running = sender.http.get("/api/offsets", params=asked).json()
    exit_record: list[object] = [11, 1_700_000_009.0, {"state": "finished", "exit_code": 0}]
    sender.send(block("ending", range(3, 6), at=300, records=[exit_record]))

    assert running == {"writers": {"w1": 300, "w2": 200}, "ended": False}
    assert sender.http.get("/api/offsets", params=asked).json() == {
        "writers": {"w1": 600, "w2": 200},
        "ended": True,
    }


def test_a_viewer_learns_who_they_are_and_how_much_may_be_sent(sender: Sender) -> None:
    said = sender.http.get("/api/viewer").json()

    assert said["entity"] == "local"
    assert said["username"]
    assert said["limits"]["max_block_bytes"] + 4 == said["limits"]["max_body_bytes"] > 256 << 20


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_key_lets_a_program_send_and_ask(
    live_server: LiveServer, new_key: Callable[..., str], scheme: str
) -> None:
    key = new_key(live_server.home)
    shown = key if scheme == "Bearer" else base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"authorization": f"{scheme} {shown}"}
    query = {"query": "{ viewer { entity } }"}
    asked = httpx.post(live_server.url + "/graphql", json=query, headers=headers)
    sent = httpx.post(
        live_server.url + "/api/blocks",
        headers={"content-type": "application/vnd.epochal.blocks", **headers},
    )

    assert asked.json() == {"data": {"viewer": {"entity": "local"}}}
    assert sent.json() == {"writers": []}
    assert "set-cookie" not in asked.headers


def test_a_key_that_was_revoked_is_worthless_at_once(
    live_server: LiveServer,
    new_key: Callable[..., str],
    connect: Callable[[str, str], Sender],
    block: MakeBlock,
) -> None:
    sender = connect(live_server.url, new_key(live_server.home, "--name", "to be revoked"))
    sender.send(block("revoked", range(3)))
    listed = key_command(live_server, "list").stdout.splitlines()
    number = next(line.split()[0] for line in listed if "to be revoked" in line)
    revoked = key_command(live_server, "revoke", number)
    answer = sender.http.get("/api/viewer")

    assert revoked.returncode == 0
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_not_valid")
    assert sender.post(b"").status_code == 401
    assert key_command(live_server, "revoke", number).returncode == 1


def key_command(server: LiveServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "key", *arguments],
        env=os.environ | {"EPOCHAL_HOME": str(server.home)},
        capture_output=True,
        text=True,
    )


def test_a_key_is_shown_once_and_kept_nowhere(live_server: LiveServer, new_key: Callable[..., str]) -> None:
    key = new_key(live_server.home)
    kept = [path.read_bytes() for path in (live_server.home / "server").rglob("*") if path.is_file()]

    assert len(key.partition("-")[2]) >= 40
    assert key.partition("-")[2].isalnum()
    assert not any(key.encode() in content for content in kept)
    assert key not in key_command(live_server, "list").stdout


def test_only_a_key_that_may_write_sends(
    live_server: LiveServer,
    client: httpx.Client,
    new_key: Callable[..., str],
    connect: Callable[[str, str], Sender],
) -> None:
    reader = connect(live_server.url, new_key(live_server.home, "--role", "read"))
    by_session = client.post("/api/blocks", headers={"content-type": "application/vnd.epochal.blocks"})

    assert reader.http.get("/api/viewer").json()["role"] == "read"
    assert (reader.post(b"").status_code, reader.post(b"").json()["error"]["code"]) == (
        403,
        "key_may_not_write",
    )
    assert (by_session.status_code, by_session.json()["error"]["code"]) == (403, "key_needed")


def test_nobody_sends_to_an_entity_of_somebody_else(
    live_server: LiveServer,
    sender: Sender,
    new_key: Callable[..., str],
    connect: Callable[[str, str], Sender],
    block: MakeBlock,
    body_of: Callable[..., bytes],
) -> None:
    ada = connect(live_server.url, new_key(live_server.home, "--user", "ada"))
    refused = ada.post(body_of(block("foreign", entity="local")))
    mixed = ada.send(block("foreign", entity="bob"), block("mine", range(3)))

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "entity_not_allowed")
    assert mixed["writers"][0] == entry("mine", 300, entity="ada")
    assert mixed["writers"][1]["error"]["code"] == "entity_not_allowed"
    assert ada.rows("mine", entity="ada") == LOSSES[:3]
    assert sender.http.get("/api/offsets", params={"project": "digits", "run": "foreign"}).json() == {
        "writers": {},
        "ended": False,
    }
    # The owner of the data may.
    assert sender.send(block("given", range(3), entity="ada"))["writers"] == [
        entry("given", 300, entity="ada")
    ]


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


THREE = struct.pack("<3d", 0, 1, 2)
WRONG: dict[str, dict[str, Any]] = {
    "a column that is too short": {"columns": [Column("loss", "f", None, THREE[:8])]},
    "rows that are not there": {"columns": [Column("loss", "f", struct.pack("<3I", 0, 1, 7), THREE)]},
    "rows that go back": {"columns": [Column("loss", "f", struct.pack("<3I", 2, 1, 0), THREE)]},
    "times that are missing": {"times": b""},
    "a negative number of rows": {"n_rows": -1},
    "steps beyond 64 bits": {"steps": (2**62, 2**62)},
    "a huge step": {"steps": (2**63, 1)},
    "an end before its beginning": {"end_offset": -5},
    "an end beyond 64 bits": {"end_offset": 2**63},
    "an offset that is no number": {"end_offset": float("nan")},
    "a negative offset": {"first_offset": -100},
    "a name with a slash": {"run_id": "../../etc/passwd"},
    "a name that is a dot": {"run_id": "."},
    "a name with a control character": {"project": "digits\x00"},
    "a name of a thousand characters": {"project": "p" * 1000},
    "an entity with a slash": {"entity": "local/x"},
    "no name": {"run_id": ""},
    "a writer without a name": {"writer": ""},
    "values nested too deep": {"columns": [Column("x", "v", None, [nested(200), 1, 2])]},
    "values nested without end": {"columns": [Column("x", "v", None, [nested(900), 1, 2])]},
    "a record nested too deep": {"records": [(0, [2, 1.0, {"x": nested(200)}, []])]},
    "a record that is empty": {"records": [(0, [])]},
    "a record without a time": {"records": [(0, [2])]},
    "a record of no type": {"records": [(0, ["type", 1.0])]},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_block_stops_its_own_writer_only(sender: Sender, block: MakeBlock, what: str) -> None:
    good = f"good{list(WRONG).index(what)}"
    wrong = msgspec.structs.replace(block(f"bad-{good}", range(3)), **WRONG[what])
    answer = sender.send(wrong, block(good, range(3)), block(good, range(3, 6), at=300))
    told = [*answer["writers"], *answer.get("unreadable", [])]

    assert [x["error"]["code"] for x in told if "error" in x] == ["block_not_valid"]
    assert entry(good, 600) in answer["writers"]
    assert sender.rows(good) == LOSSES


@pytest.mark.parametrize(
    "records",
    [
        [[11, float("inf"), {"state": 7, "exit_code": "x", "signal": 2**64 - 1, "traceback": []}]],
        [[2, 1.0, "no config", 5]],
        [[2, float("nan"), {"a": float("nan")}, ["b", [], {}]]],
        [[4, 1.0, {"name": 5}], [4, 1.0, {"name": "x", "summary": 9, "step_metric": []}]],
        [[0, 1e300, {"start_time": -1e300, "label": 5, "watches": {}}]],
        [[10, None, {"tags": 5, "notes": ["x"], "name": {}}], [10, 1.0, {"tags": [{}, None]}]],
        [[-1, {}], [2**63, 1.0], [99, "when", {}]],
        [[5, 1.0, "stdout", 5], [5, 1.0, None, "x"], [5, "when", "stdout", "x"], [5, 1e300, "stdout", "x\n"]],
        [[6, 1.0, {"cpu": "much", "x": {"y": 2**64 - 1}}], [6, 1e308, {"cpu": 1}], [6, 1.0, None]],
        [[12, 1.0, {"host": None}], [12, 1.0], [12, "x"], [3, 1.0, {"loss": []}], [3, 1], [14, 1e300, {}]],
    ],
)
def test_records_that_mean_nothing_are_carried_and_hurt_nobody(
    live_server: LiveServer, sender: Sender, block: MakeBlock, records: list[list[object]]
) -> None:
    """Whatever is in them: the rows beside them count, and every page about the run can be shown."""
    run = f"odd{abs(hash(str(records)))}"
    answer = sender.send(block(run, range(6), records=records))
    query = """query ($r: String!) { project(name: "digits") { run(name: $r) {
        state createdAt heartbeatAt computeSeconds config summaryMetrics metadata tags exit { exitCode }
        metricDefinitions { name } losses { reason } metricKeys { totalCount } }
        runs(first: 100) { edges { node { name state createdAt config summaryMetrics } } } } }"""
    seen = sender.http.post("/graphql", json={"query": query, "variables": {"r": run}}).json()

    assert answer["writers"] == [entry(run, 600)]
    assert "errors" not in seen
    assert sender.rows(run) == LOSSES
    for stream in ("history", "system"):
        asked = {"project": "digits", "run": run, "stream": stream}
        assert sender.http.get("/api/history", params=asked).status_code == 200
    assert sender.http.get("/api/console", params={"project": "digits", "run": run}).status_code == 200


@pytest.mark.parametrize("times", [(float("nan"),) * 3, (1e300, -1e300, float("inf")), (-1.0, 0.0, 5e-324)])
def test_rows_of_impossible_times_are_kept(
    sender: Sender, block: MakeBlock, times: tuple[float, ...]
) -> None:
    run = f"when{times[0]:.0e}"
    answer = sender.send(msgspec.structs.replace(block(run, range(3)), times=struct.pack("<3d", *times)))
    query = '{ project(name: "digits") { runs(first: 100) { edges { node { createdAt heartbeatAt } } } } }'

    assert answer == {"writers": [entry(run, 300)]}
    assert sender.rows(run) == LOSSES[:3]
    assert "errors" not in sender.http.post("/graphql", json={"query": query}).json()


def test_bytes_that_are_no_block_are_told_by_their_number(sender: Sender, block: MakeBlock) -> None:
    packed = encode(block("flipped", range(3)))
    flipped = packed[:40] + bytes([packed[40] ^ 1]) + packed[41:]
    newer = packed[:3] + b"\x63" + packed[4:]
    answer = sender.send(b"", block("fine", range(3)), b"<html>", flipped, newer, packed[:20])

    assert [x["block"] for x in answer["unreadable"]] == [0, 2, 3, 4, 5]
    assert {x["error"]["code"] for x in answer["unreadable"]} == {"block_not_valid"}
    assert answer["writers"] == [entry("fine", 300)]


def bomb(size: int) -> bytes:
    """Return a block of `size` zeros, which are nothing packed."""
    return b"EPB\x01" + zstandard.ZstdCompressor(level=1).compress(b"\x00" * size)


def test_a_bomb_is_not_unpacked(sender: Sender, body_of: Callable[..., bytes]) -> None:
    large = bomb(400 << 20)
    lying = b"EPB\x01" + bytes.fromhex("28b52ffde0") + struct.pack("<Q", 2**62) + b"\x00" * 50
    for packed in (large, lying):
        answer = sender.post(body_of(packed))
        assert len(packed) < 1 << 20
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "block_not_valid")
        assert "at most" in answer.json()["error"]["message"]


def test_a_body_that_is_wrong_as_a_whole_is_refused_as_a_whole(
    sender: Sender, block: MakeBlock, body_of: Callable[..., bytes]
) -> None:
    good = body_of(block("whole", range(3)))
    answers = {
        "cut": sender.post(good[:-1]),
        "a length that lies": sender.post(struct.pack("<I", 2**31) + good),
        "half a length": sender.post(good + b"\x01\x00"),
        "json": sender.post(good, **{"content-type": "application/json"}),
        "a form": sender.post(good, **{"content-type": "multipart/form-data"}),
        "compressed": sender.post(good, **{"content-encoding": "gzip"}),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "cut": 400,
        "a length that lies": 413,
        "half a length": 400,
        "json": 415,
        "a form": 415,
        "compressed": 415,
    }
    assert all(answer.json()["error"]["message"] for answer in answers.values())
    assert sender.http.get("/api/offsets", params={"project": "digits", "run": "whole"}).json() == {
        "writers": {},
        "ended": False,
    }


def test_a_body_above_the_limit_is_refused_and_the_answer_says_the_limit(
    start_server: Callable[..., LiveServer],
    new_key: Callable[..., str],
    connect: Callable[[str, str], Sender],
    block: MakeBlock,
    body_of: Callable[..., bytes],
) -> None:
    server = start_server("--max-upload-bytes", "1000")
    sender = connect(server.url, new_key(server.home))
    body = body_of(*(block(f"run{i}", range(3)) for i in range(10)))
    for content in (body, (body[i : i + 100] for i in range(0, len(body), 100))):
        answer = sender.post(content)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]["max_bytes"]) == (413, 1000)
    assert sender.http.get("/api/viewer").json()["limits"]["max_body_bytes"] == 1000


def test_ten_thousand_blocks_in_one_body_are_all_stored(
    sender: Sender, block: MakeBlock, body_of: Callable[..., bytes]
) -> None:
    blocks = [block("tiny", range(i, i + 1), at=100 * i) for i in range(10_000)]

    assert sender.post(body_of(*blocks)).json() == {"writers": [entry("tiny", 1_000_000)]}
    assert len(sender.rows("tiny")) == 10_000


def test_senders_that_race_with_the_same_blocks_store_them_once(sender: Sender, block: MakeBlock) -> None:
    blocks = [block("race", range(10 * i, 10 * i + 10), at=1000 * i) for i in range(20)]
    start = threading.Barrier(16)

    def race(_: int) -> int:
        start.wait()
        at = 0
        while at < len(blocks):
            answer = sender.send(*blocks[at : at + 3])
            at = answer["writers"][0]["offset"] // 1000
        return at

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(race, range(16))) == {20}
    assert [row["loss"] for row in sender.rows("race")] == [float(i) for i in range(200)]


def test_what_was_acknowledged_survives_a_kill_of_the_server(
    start_server: Callable[..., LiveServer],
    new_key: Callable[..., str],
    connect: Callable[[str, str], Sender],
    block: MakeBlock,
) -> None:
    server = start_server()
    key = new_key(server.home)
    acknowledged = connect(server.url, key).send(block("kept", range(6)))
    server.stop(signal.SIGKILL)
    again = connect(start_server().url, key)

    assert acknowledged == {"writers": [entry("kept", 600)]}
    assert again.rows("kept") == LOSSES
    assert again.send(block("kept", range(6))) == acknowledged


def test_a_run_that_is_watched_and_sent_to_the_same_server_is_stored_once(
    live_server: LiveServer,
    sender: Sender,
    log_run: Callable[..., Run],
    blocks_of: Callable[[Path], Sequence[Block]],
    wait_until: Callable[..., None],
) -> None:
    run = log_run(live_server.home, "both")
    run.log([{"loss": float(step)} for step in range(3)])
    sender.send(*blocks_of(run.path))
    wait_until(lambda: len(sender.rows("both")) == 3)
    run.log([{"loss": float(step)} for step in range(3, 6)], first_step=3)
    wait_until(lambda: len(sender.rows("both")) == 6)
    answer = sender.send(*blocks_of(run.path))

    assert [writer["offset"] for writer in answer["writers"]] == [run.path.stat().st_size]
    counted = sender.http.post("/graphql", json={"query": COUNT, "variables": {"r": "both"}}).json()
    assert counted["data"]["project"]["run"]["metricKeys"]["edges"] == [{"node": {"count": 6}}]


COUNT = """query ($r: String!) { project(name: "digits") { run(name: $r) {
    metricKeys { edges { node { count } } } } } }"""
