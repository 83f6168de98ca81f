"""Requests made to do harm, or just made badly, cost little and reach nothing."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer

CANARY = "do not read this"
TARGETS = ["canary.txt", "metadata.db", "server/secret", "etc/passwd"]
CLIMBS = [
    "../",
    "..\\",
    "%2e%2e/",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%c0%af",
    "....//",
    "..;/",
    "\u2025/",
    "./../",
    "/",
    "//",
    "\\\\host\\",
    "file:///",
    "~/",
    "\x00../",
]


@pytest.fixture(scope="module", autouse=True)
def _canary(live_server: LiveServer) -> Iterator[None]:
    """Put a file beside the data folder; after all requests, nothing may have touched anything."""
    path = live_server.home / "canary.txt"
    path.write_text(CANARY)
    before = sorted(str(p) for p in live_server.home.rglob("*") if "login-tokens" not in str(p))
    yield
    assert path.read_text() == CANARY
    after = sorted(str(p) for p in live_server.home.rglob("*") if "login-tokens" not in str(p))
    assert [p for p in after if p not in before and not p.endswith(("-wal", "-shm"))] == []


@pytest.mark.parametrize("climb", CLIMBS)
def test_no_path_leads_out_of_the_app(live_server: LiveServer, client: httpx.Client, climb: str) -> None:
    address = live_server.url.removeprefix("http://")
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    # Not httpx: a client of good manners tidies a path up before it sends it.
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        for start, depth, target in itertools.product(["/", "/assets/", "/local/"], [1, 3, 8], TARGETS):
            path = quote(start + climb * depth + target, safe="/%.;:\\~")
            for accept in ("text/html", "*/*"):
                connection.request("GET", path, headers={"Cookie": cookie, "Accept": accept})
                answer = connection.getresponse()
                text = answer.read().decode()
                assert CANARY not in text
                assert answer.status in (400, 404, 503) or "<!doctype html>" in text


@pytest.mark.parametrize("climb", CLIMBS)
def test_no_name_in_a_request_becomes_a_path(client: httpx.Client, climb: str) -> None:
    name = climb * 3 + "canary.txt"
    query = "query ($n: String!) { project(name: $n, entityName: $n) { name } }"
    asked: list[httpx.Response] = [
        client.get("/api/history", params={"project": name, "run": name, "keys": name}),
        client.get("/api/console", params={"project": name, "run": name, "entity": name}),
        client.post("/api/series", json={"project": name, "queries": [{"runs": [name], "keys": [name]}]}),
        client.post("/graphql", json={"query": query, "variables": {"n": name}}),
        client.get("/login", params={"token": name, "next": name}),
    ]

    assert [answer.status_code for answer in asked] in ([404, 404, 404, 200, 401], [404, 404, 404, 200, 303])
    assert all(CANARY not in answer.text for answer in asked)
    assert all(answer.headers.get("location", "/").startswith("/") for answer in asked)


@pytest.mark.parametrize(
    "name", ["\ud800", "x" * 100_000, "\u202e", "<script>alert(1)</script>", "'; DROP TABLE runs"]
)
def test_any_name_is_just_a_name_that_is_not_there(client: httpx.Client, name: str) -> None:
    body = json.dumps({"project": name, "queries": []})
    answer = client.post("/api/series", content=body, headers={"content-type": "application/json"})

    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/json"


def test_the_page_that_refuses_shows_nothing_that_was_sent(live_server: LiveServer) -> None:
    marker = "<script>alert(1)</script>"
    page = httpx.get(
        live_server.url + "/login", params={"token": marker, "next": marker}, headers={"accept": "text/html"}
    )

    assert page.status_code == 401
    assert "alert(1)" not in page.text


def test_a_body_that_does_not_arrive_is_not_waited_for(start_server: Callable[..., LiveServer]) -> None:
    server = start_server("--body-timeout-s", "0.2")
    with server.client() as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    host, _, port = server.url.removeprefix("http://").partition(":")
    request = (
        f"POST /graphql HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        slow.sendall(request.encode())
        answer = ""
        while "body_too_slow" not in answer and (part := slow.recv(65536)):
            answer += part.decode()

    assert answer.startswith("HTTP/1.1 408")
    assert "body_too_slow" in answer


def test_malformed_http_is_refused_and_the_server_goes_on(
    live_server: LiveServer, client: httpx.Client
) -> None:
    host, _, port = live_server.url.removeprefix("http://").partition(":")
    for junk in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"A" * 100_000):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    assert client.get("/healthz").json()["ok"]


def test_nothing_on_the_way_evaluates_or_unpickles() -> None:
    """Data from outside is decoded by msgspec and json only."""
    words = ("pickle", "marshal", "yaml.load", "eval(", "exec(", "__import__(", "os.system", "shell=True")
    sources = Path(__file__).parents[2] / "src" / "epochal"
    found = [
        f"{path.name}: {word}"
        for folder in ("server", "access", "query", "ingest", "store", "wire", "runlog", "cli")
        for path in (sources / folder).rglob("*.py")
        for word in words
        if word in path.read_text()
    ]

    assert found == []


def test_a_sign_in_token_is_in_no_output_but_the_first_lines(start_server: Callable[..., LiveServer]) -> None:
    server = start_server()
    token = server.link.partition("token=")[2]
    httpx.get(server.link)
    httpx.get(server.link)
    _, log = server.stop()

    assert token not in log


def test_a_data_folder_that_others_own_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", "link", "--data-dir", str(tmp_path / "file" / "server")],
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
