"""Limits say no in time, say for how long, and hold nobody else up; without settings there are none."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from epochal.server.admission import Admission, Share
from epochal.server.rate_limits import MAX_FAILED_SIGN_INS
from epochal.wire.block import Block, encode

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer, Sender

    MakeBlock = Callable[..., Block]
    Start = Callable[..., LiveServer]
    Connect = Callable[[str, str], Sender]


def limits_of(answer: httpx.Response) -> dict[str, int]:
    names = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after")
    return {name: int(answer.headers[name]) for name in names if name in answer.headers}


def test_without_settings_there_is_no_limit(
    sender: Sender, block: MakeBlock, body_of: Callable[..., bytes]
) -> None:
    answers = [sender.post(body_of(block("free", range(3)))) for _ in range(50)]
    answers += [sender.http.get("/api/viewer") for _ in range(50)]

    assert {answer.status_code for answer in answers} == {200}
    assert not any(limits_of(answer) for answer in answers)


def test_a_project_that_sends_too_often_is_told_when_to_go_on(
    start_server: Start,
    new_key: Callable[..., str],
    connect: Connect,
    block: MakeBlock,
    body_of: Callable[..., bytes],
) -> None:
    server = start_server("--ingest-requests-per-minute", "4")
    sender = connect(server.url, new_key(server.home))
    answers = [sender.post(body_of(block("r", range(i, i + 1), at=100 * i))) for i in range(6)]
    limited = limits_of(answers[4])

    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    assert [limits_of(answer)["ratelimit-remaining"] for answer in answers] == [750, 500, 250, 0, 0, 0]
    assert {limits_of(answer)["ratelimit-limit"] for answer in answers} == {1000}
    assert 1 <= limited["ratelimit-reset"] == limited["retry-after"] <= 60
    assert answers[4].json()["error"]["code"] == "rate_limited"
    # Nothing of what was refused is stored, and other projects go on.
    assert len(sender.rows("r")) == 4
    assert sender.send(block("r", range(1), project="letters"))["writers"][0]["offset"] == 100


def test_a_project_that_sends_too_much_is_limited_by_its_bytes(
    start_server: Start,
    new_key: Callable[..., str],
    connect: Connect,
    block: MakeBlock,
    body_of: Callable[..., bytes],
) -> None:
    size = len(encode(block("r", range(1))))
    server = start_server("--ingest-bytes-per-minute", str(2 * size))
    sender = connect(server.url, new_key(server.home))
    large = sender.post(body_of(*(block("r", range(i, i + 1), at=100 * i) for i in range(20))))
    after = sender.post(body_of(block("r", range(20, 21), at=2000)))

    # One that is larger than the whole quota must be able to come at all.
    assert (large.status_code, limits_of(large)["ratelimit-remaining"]) == (200, 0)
    assert after.status_code == 429


def test_a_user_who_asks_too_often_is_limited_and_senders_are_not(
    start_server: Start,
    new_key: Callable[..., str],
    connect: Connect,
    block: MakeBlock,
    body_of: Callable[..., bytes],
) -> None:
    server = start_server("--api-requests-per-minute", "3")
    owner = connect(server.url, new_key(server.home))
    ada = connect(server.url, new_key(server.home, "--user", "ada"))
    asked = [owner.http.get("/api/viewer") for _ in range(5)]
    sent = [owner.post(body_of(block("r", range(i, i + 1), at=100 * i))) for i in range(5)]
    nobody = [httpx.get(server.url + "/api/viewer") for _ in range(5)]

    assert [answer.status_code for answer in asked] == [200, 200, 200, 429, 429]
    assert [limits_of(answer)["ratelimit-remaining"] for answer in asked] == [666, 333, 0, 0, 0]
    assert {answer.status_code for answer in sent} == {200}
    assert ada.http.get("/api/viewer").status_code == 200
    assert [answer.status_code for answer in nobody] == [401, 401, 401, 429, 429]
    assert httpx.get(server.url + "/healthz").status_code == 200


def test_sign_ins_that_fail_are_limited_and_good_keys_go_on(
    start_server: Start, new_key: Callable[..., str], connect: Connect
) -> None:
    server = start_server()
    good = connect(server.url, new_key(server.home))
    wrong = "Bearer epochal-" + "a" * 44
    failed = [
        httpx.get(server.url + "/api/viewer", headers={"authorization": wrong})
        for _ in range(MAX_FAILED_SIGN_INS + 2)
    ]
    with_link = httpx.get(server.link)
    no_token = httpx.get(server.url + "/api/viewer", headers={"authorization": "Bearer guess"})

    assert [answer.status_code for answer in failed] == [401] * MAX_FAILED_SIGN_INS + [429] * 2
    assert (with_link.status_code, no_token.status_code) == (429, 429)
    assert good.http.get("/api/viewer").status_code == 200


def test_bodies_beyond_the_budget_wait_and_one_at_a_time_gets_through() -> None:
    async def send(admission: Admission, n_parts: int, most: list[int]) -> None:
        with admission.share() as share:
            for _ in range(n_parts):
                await share.grow(10)
                most.append(admission.held)
                await asyncio.sleep(0)

    async def all_of_them() -> tuple[int, int]:
        admission, most = Admission(100), list[int]()
        await asyncio.wait_for(asyncio.gather(*(send(admission, 9, most) for _ in range(50))), 30)
        return max(most), admission.held

    most, left = asyncio.run(all_of_them())

    # The budget, and the whole of one body beyond it.
    assert most <= 100 + 90
    assert left == 0


def test_who_gives_up_waiting_leaves_the_room_to_others() -> None:
    async def run() -> tuple[list[int], int]:
        admission = Admission(100)
        first, second = admission.share(), admission.share()
        await first.grow(100)
        await second.grow(50)  # may go beyond
        impatient: list[Share] = [admission.share() for _ in range(3)]
        waiting = [asyncio.create_task(share.grow(30)) for share in impatient]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        impatient[0].__exit__()
        second.__exit__()
        first.__exit__()
        await asyncio.gather(*waiting[1:])
        held = [share.n_bytes for share in impatient]
        for share in impatient[1:]:
            share.__exit__()
        return held, admission.held

    assert asyncio.run(run()) == ([0, 30, 30], 0)


def test_a_server_with_hardly_any_memory_for_bodies_takes_them_all_in_time(
    start_server: Start, new_key: Callable[..., str], connect: Connect, block: MakeBlock
) -> None:
    server = start_server("--upload-memory-bytes", "2000")
    senders = [connect(server.url, new_key(server.home)) for _ in range(1)] * 12

    def send(number: int) -> int:
        blocks = [block(f"r{number}", range(i, i + 50), at=100 * i) for i in range(0, 1000, 50)]
        offset: int = senders[number].send(*blocks)["writers"][0]["offset"]
        return offset

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(send, range(12))) == [100_000] * 12


def begin_upload(server: LiveServer, key: str, body: bytes, length: int) -> socket.socket:
    """Send the beginning of an upload of `length` bytes; return the connection."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/blocks HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/vnd.epochal.blocks\r\nContent-Length: {length}\r\n\r\n"
    )
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(head.encode() + body)
    return connection


def test_senders_that_stop_in_the_middle_cost_nobody_else_anything(
    start_server: Start,
    new_key: Callable[..., str],
    connect: Connect,
    block: MakeBlock,
    body_of: Callable[..., bytes],
) -> None:
    body = body_of(block("half", range(1000)))
    half = body[: len(body) // 2]
    server = start_server("--body-timeout-s", "1", "--upload-memory-bytes", str(len(body)))
    key = new_key(server.home)
    sender = connect(server.url, key)
    for _ in range(20):
        begin_upload(server, key, half, len(body)).close()
    silent = [begin_upload(server, key, half, len(body)) for _ in range(5)]
    answers = []
    for connection in silent:
        with connection:
            answers.append(connection.recv(65536).decode())
    after = sender.send(block("half", range(1000)))

    assert [answer[:12] for answer in answers] == ["HTTP/1.1 408"] * 5
    assert after["writers"][0]["offset"] == 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit changes a limit of a running process")
def test_a_full_disk_is_said_readers_go_on_and_writes_come_back_by_themselves(
    start_server: Start,
    new_key: Callable[..., str],
    connect: Connect,
    block: MakeBlock,
    body_of: Callable[..., bytes],
) -> None:
    """A limit on the size of files is to SQLite what a full disk is."""
    server = start_server()
    sender = connect(server.url, new_key(server.home))
    sender.send(block("r", range(3)))
    limits = psutil.Process(server.process.pid)
    whole = limits.rlimit(psutil.RLIMIT_FSIZE)
    limits.rlimit(psutil.RLIMIT_FSIZE, (4096, whole[1]))
    full = [sender.post(body_of(block("r", range(3, 6), at=300))) for _ in range(3)]
    rows = sender.rows("r")
    limits.rlimit(psutil.RLIMIT_FSIZE, whole)
    after = sender.send(block("r", range(3, 6), at=300))

    assert [answer.status_code for answer in full] == [507] * 3
    assert full[0].json()["error"]["code"] == "disk_full"
    assert len(rows) == 3
    assert after["writers"][0]["offset"] == 600
    assert len(sender.rows("r")) == 6
