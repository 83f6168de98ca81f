"""A server starts where it may, says clearly why where it may not, and stops when told."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epochal.errors import PortInUseError, UsageError
from epochal.server.listening import listen, url_of

if TYPE_CHECKING:
    from tests.server.conftest import LiveServer, Run

Start = Callable[..., "LiveServer"]


def run_cli(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epochal.cli.main", *arguments],
        env=os.environ | {"EPOCHAL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_server_with_exit_code_0(start_server: Start, number: int) -> None:
    server = start_server()
    code, errors = server.stop(number)

    assert (code, errors) == (0, "")
    assert not (server.home / "server" / "server.json").exists()


def test_started_by_nohup_a_server_outlives_its_terminal(tmp_path: Path, start_server: Start) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = start_server()
    finally:
        signal.signal(signal.SIGHUP, before)
    server.process.send_signal(signal.SIGHUP)
    with server.client() as client:
        assert client.get("/healthz").status_code == 200

    assert server.stop()[0] == 0


def test_what_is_printed_is_all_that_one_needs(start_server: Start) -> None:
    server = start_server()
    code, _ = server.stop()

    assert code == 0
    assert str(server.home / "runs") in server.printed
    assert str(server.home / "server") in server.printed
    assert "epochal link" in server.printed


def test_a_second_server_on_a_data_folder_names_the_first_and_exits(start_server: Start) -> None:
    server = start_server()
    second = run_cli(server.home, "ui", "--no-browser")

    assert second.returncode == 1
    assert server.url in second.stderr
    assert "epochal link" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_port_in_use_is_an_error_only_if_it_was_asked_for(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        asked = run_cli(tmp_path, "ui", "--no-browser", "--port", str(port))
        with pytest.raises(PortInUseError):
            listen("127.0.0.1", port)

    assert asked.returncode == 1
    assert f"Port {port} on 127.0.0.1 is already in use" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_a_server_that_failed_to_start_leaves_its_data_folder_free(
    tmp_path: Path, start_server: Start
) -> None:
    with listen("127.0.0.1", 0) as taken:
        run_cli(tmp_path / "epochal-home", "ui", "--port", str(taken.getsockname()[1]))

    assert start_server().stop()[0] == 0


def test_without_a_port_two_servers_both_find_one() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        assert first.getsockname()[1] != second.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 99_999)]
)
def test_an_address_that_is_not_ours_is_named(host: str, port: int) -> None:
    with pytest.raises(UsageError, match=r"port"):
        listen(host, port)


def test_the_address_of_a_server_on_every_network_is_one_that_opens() -> None:
    with listen("0.0.0.0", 0) as listening:
        url = url_of(listening)
    assert url == f"http://127.0.0.1:{url.rpartition(':')[2]}"


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_an_ipv6_address_is_written_so_that_browsers_read_it() -> None:
    try:
        listening = listen("::1", 0)
    except UsageError:
        pytest.skip("this machine has no IPv6 loopback")
    with listening:
        assert url_of(listening).startswith("http://[::1]:")


@pytest.mark.parametrize(
    ("content", "words"), [("99\n", "newer Epochal"), ("damaged", "should hold a number")]
)
def test_a_data_folder_that_cannot_be_used_is_an_explanation_and_exit_code_1(
    tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "format").write_text(content)

    done = run_cli(tmp_path, "ui")

    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_metadata_file_is_an_explanation_and_exit_code_1(
    tmp_path: Path, start_server: Start
) -> None:
    server = start_server()
    server.stop()
    for path in (server.home / "server").glob("metadata.db*"):
        path.write_bytes(b"this was a database" * 100)

    done = run_cli(server.home, "ui")

    assert done.returncode == 1
    assert "metadata.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_server_writes_is_its_owners_alone(
    start_server: Start,
    log_run: Callable[..., Run],
    tmp_path: Path,
    ask: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    server = start_server()
    log_run(server.home, "r1").finish()
    with server.client() as client:
        wait_until(lambda: ask(client, "{ projects { totalCount } }")["projects"]["totalCount"] == 1)
    server.stop()

    for path in (server.home / "server").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_further_folders_of_runs_are_watched(
    start_server: Start,
    log_run: Callable[..., Run],
    tmp_path: Path,
    ask: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    log_run(tmp_path / "elsewhere", "r1", project="elsewhere").finish()
    server = start_server("--runs-dir", str(tmp_path / "elsewhere" / "runs"))

    with server.client() as client:
        wait_until(lambda: ask(client, '{ project(name: "elsewhere") { name } }')["project"] is not None)


def test_a_damaged_project_takes_nothing_else_down_and_shows_clients_no_traceback(
    start_server: Start,
    log_run: Callable[..., Run],
    tmp_path: Path,
    ask: Callable[..., Any],
    wait_until: Callable[..., None],
) -> None:
    server = start_server()
    for project in ("bad", "good"):
        run = log_run(server.home, f"run-{project}", project=project)
        run.log([{"loss": 1.0}])
        run.finish()
        keys = f'{{ project(name: "{project}") {{ metricKeys {{ totalCount }} }} }}'
        with server.client() as client:
            wait_until(
                lambda k=keys: (ask(client, k)["project"] or {}).get("metricKeys") == {"totalCount": 1}
            )
    server.stop()
    for path in (server.home / "server" / "projects").glob("1.db*"):
        path.write_bytes(b"this was a database" * 100)

    server = start_server()
    with server.client() as client:
        listed = ask(client, "{ projects { edges { node { name runCount } } } }")["projects"]["edges"]
        broken = client.get("/api/history", params={"project": "bad", "run": "run-bad"})
        whole = client.get("/api/history", params={"project": "good", "run": "run-good"})
    _, log = server.stop()

    assert sorted(edge["node"]["name"] for edge in listed) == ["bad", "good"]
    assert json.loads(whole.text)["loss"] == 1.0
    assert broken.status_code == 500
    number = broken.json()["error"]["message"].rpartition("number ")[2].rstrip(").")
    assert "Traceback" not in broken.text
    assert "sqlite" not in broken.text
    assert number in log


def test_an_export_that_nobody_reads_does_not_hold_the_stop_up(
    start_server: Start, log_run: Callable[..., Run], wait_until: Callable[..., None]
) -> None:
    server = start_server()
    run = log_run(server.home, "big")
    run.log([{"text": "x" * 2000, "n": n} for n in range(20_000)])
    run.finish()
    with server.client() as client:
        wait_until(lambda: client.get("/api/history?project=digits&run=big&first_step=19999").text != "")
        with client.stream("GET", "/api/history?project=digits&run=big") as answer:
            chunks = answer.iter_bytes()
            next(chunks)
            began = time.monotonic()
            code, _ = server.stop()

    # Not a measurement: without the stop the export would wait for its reader for ever.
    assert code == 0
    assert time.monotonic() - began < 30
