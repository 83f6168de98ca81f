"""With a server set, a run is sent while it lives; whatever the server does, the script goes on."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import epochal
from epochal.base.servers import KnownServer, keep_server
from epochal.sdk import sidecar_process
from epochal.upload.note import is_all_sent, read_note

KEY = "epochal-aaaa"

SCRIPT = """
import sys, time
import epochal as wandb
settings = wandb.Settings(x_disable_stats=True, finish_timeout=float(sys.argv[1]))
run = wandb.init(project="p", settings=settings)
for i in range(300):
    run.log({"i": i})
print(run.sync_dir, flush=True)
began = time.monotonic()
run.finish()
print(time.monotonic() - began)
sys.exit(3)
"""


@pytest.fixture
def server(peer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that runs are sent to."""
    monkeypatch.setenv("EPOCHAL_BASE_URL", peer.url)
    monkeypatch.setenv("EPOCHAL_API_KEY", KEY)
    return peer


def wait_for(look: Callable[[], object], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_rows_are_on_the_server_while_the_run_lives(server: Any) -> None:
    run = epochal.init(project="p")
    run.log({"i": 0})
    wait_for(lambda: server.counts("i"))
    run.log({"i": 1})
    wait_for(lambda: len(server.counts("i")) == 2)

    assert server.counts("i") == Counter([0, 1])


def test_everything_is_on_the_server_when_finish_returns(server: Any) -> None:
    run = epochal.init(project="p")
    for i in range(5000):
        run.log({"i": i})
    run.finish()

    assert server.counts("i") == Counter(range(5000))
    records = [record for blocks in server.blocks.values() for b in blocks for _, record in b.records]
    assert [r[2]["state"] for r in records if r[0] == 11 and r[2]["state"]] == ["finished"]
    wait_for(lambda: is_all_sent(Path(run.sync_dir), server.url))
    note = read_note(Path(run.sync_dir))
    assert note is not None
    assert note.entity == "ada"


def test_the_address_of_a_run_is_the_servers(server: Any, epochal_home: Path) -> None:
    keep_server(epochal_home, server.url, KnownServer(KEY, "ada", "ada"))
    run = epochal.init(project="p", id="r1")

    assert run.url == f"{server.url}/ada/p/runs/r1"
    assert run.entity == "ada"


def test_the_key_is_that_of_the_address(peer: Any, epochal_home: Path) -> None:
    """A key that was kept for another server goes nowhere."""
    keep_server(epochal_home, "https://elsewhere", KnownServer("theirs"))
    keep_server(epochal_home, peer.url, KnownServer(KEY, "ada", "ada"))

    run = epochal.init(project="p", settings={"base_url": peer.url})
    run.log({"i": 0})
    run.finish()

    assert peer.counts("i") == Counter([0])


def test_without_a_key_a_run_stays_here_and_one_line_says_so(
    peer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        epochal.init(project="p", settings={"base_url": peer.url}).finish()

    assert peer.requests == []
    assert capsys.readouterr().err.count("There is no key for") == 1


def test_a_folder_cannot_decide_where_a_key_goes(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHAL_API_KEY", KEY)
    Path("epochal").mkdir()
    Path("epochal/settings").write_text(f"base_url = {peer.url}\n")

    epochal.init(project="p").finish()

    assert peer.requests == []


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_other_modes_send_nothing(server: Any, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = epochal.init(project="p", mode=mode)
    run.log({"i": 0})
    run.finish()

    assert server.requests == []
    assert ("epochal sync" in capsys.readouterr().err) == (mode == "offline")


def test_a_key_that_is_not_good_costs_one_line(
    server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EPOCHAL_API_KEY", "wrong")
    run = epochal.init(project="p")
    run.log({"i": 0})
    run.finish()

    said = capsys.readouterr().err
    assert said.count("401") == 1
    assert f"epochal sync {run.sync_dir}" in said
    assert "wrong" not in said


@pytest.fixture
def nobody() -> str:
    """An address at which connections are refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["nobody", "black_hole"])
def test_finish_waits_no_longer_than_it_may_for_a_server_that_does_nothing(
    kind: str,
    request: pytest.FixtureRequest,
    script: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EPOCHAL_BASE_URL", request.getfixturevalue(kind))
    monkeypatch.setenv("EPOCHAL_API_KEY", KEY)

    done = script(SCRIPT, "1.0")

    folder, took_s = done.stdout.split()
    assert done.returncode == 3
    assert float(took_s) < 4.0
    assert done.stderr.count("epochal sync") == 1
    assert f"epochal sync {folder}" in done.stderr


MANY = """
import sys, time
import epochal as wandb
settings = wandb.Settings(x_disable_stats=True, silent=True, finish_timeout=1.0)
began = time.monotonic()
for i in range(20):
    with wandb.init(project="p", settings=settings) as run:
        run.log({"i": i})
left = [wandb.init(project="p", settings=settings, reinit="create_new") for _ in range(20)]
for i, run in enumerate(left, 20):
    run.log({"i": i})
for run in left:
    run.finish()
print(time.monotonic() - began)
"""


def test_a_server_that_does_nothing_is_waited_for_once_and_not_by_every_run_of_a_process(
    nobody: str, script: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_BASE_URL", nobody)
    monkeypatch.setenv("EPOCHAL_API_KEY", KEY)

    done = script(MANY)

    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 10.0, "one wait of 1 s and not 40"


def test_what_finish_did_not_wait_for_the_sidecar_sends_when_the_server_is_back(
    server: Any, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    server.fault = lambda path: "500"
    done = script(SCRIPT, "0.5")
    assert "epochal sync" in done.stderr

    server.fault = lambda path: None
    wait_for(lambda: len(server.counts("i")) == 300)

    assert server.counts("i") == Counter(range(300))


def test_an_outage_in_the_middle_heals_by_itself(server: Any, start_peer: Callable[..., Any]) -> None:
    run = epochal.init(project="p")
    run.log({"i": 0})
    wait_for(lambda: server.counts("i"))
    server.stop()
    for i in range(1, 100):
        run.log({"i": i})
    time.sleep(1.0)
    after = start_peer(server.port)
    after.blocks.update(server.blocks)
    run.finish()

    assert after.counts("i") == Counter(range(100))


def test_a_child_that_logs_is_sent_too(server: Any) -> None:
    run = epochal.init(project="p")
    run.log({"i": 0})
    pid = os.fork()
    if pid == 0:
        run.log({"child": 1})
        os._exit(0)
    os.waitpid(pid, 0)
    run.finish()

    assert server.counts("i") == Counter([0])
    assert server.counts("child") == Counter([1])


def sidecar_of(pid: int) -> psutil.Process:
    def look() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if words[1:2] == ["-I"] and str(pid) in words and any("epochal.sidecar" in w for w in words):
                    found.append(process)
        return found

    wait_for(look)
    return look()[0]


def test_a_sidecar_that_is_killed_is_replaced_and_nothing_is_lost_or_sent_twice(server: Any) -> None:
    run = epochal.init(project="p")
    for i in range(1000):
        run.log({"i": i})
    wait_for(lambda: server.counts("i"))
    sidecar_of(os.getpid()).kill()
    for i in range(1000, 2000):
        run.log({"i": i})
    run.finish()

    assert server.counts("i") == Counter(range(2000))


def test_a_sidecar_that_is_killed_while_finish_waits_is_replaced(server: Any) -> None:
    server.delay_s = 1.0
    run = epochal.init(project="p")
    for i in range(1000):
        run.log({"i": i})
    sidecar = sidecar_of(os.getpid())
    killing = threading.Timer(0.5, sidecar.kill)
    killing.start()
    run.finish()
    killing.join()

    assert server.counts("i") == Counter(range(1000))


def test_a_script_without_finish_is_on_the_server_when_it_ends(
    server: Any, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = script(SCRIPT.replace("run.finish()", "pass"), "10")

    assert done.returncode == 3
    assert "epochal sync" not in done.stderr
    assert server.counts("i") == Counter(range(300))

    def state() -> list[str]:
        records = [r for blocks in server.blocks.values() for b in blocks for _, r in b.records]
        return [r[2]["state"] for r in records if r[0] == 11 and r[2]["state"]]

    wait_for(state)
    assert state() == ["failed"]


def test_many_runs_at_once_in_many_threads_are_all_sent(server: Any) -> None:
    def train(n: int) -> None:
        run = epochal.init(project="p", id=f"r{n}", reinit="create_new")
        for i in range(20):
            run.log({"i": i})
        run.finish(quiet=True)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(train, range(100)))

    assert server.counts("i") == Counter(dict.fromkeys(range(20), 100))
    link = sidecar_process._link
    assert link is not None
    # A process of ten thousand runs must not grow.
    assert (link.runs, link.uploads, link.waited_for) == ({}, {}, set())


def test_ctrl_c_ends_the_waiting_and_the_script_still_ends_by_it(
    server: Any, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    server.fault = lambda path: "500"
    source = SCRIPT.replace(
        "run.finish()",
        "import os, threading; threading.Timer(0.7, os.kill, (os.getpid(), 2)).start(); run.finish()",
    )

    done = script(source, "10")

    assert done.returncode == -2
    assert "KeyboardInterrupt" in done.stderr
    assert done.stderr.count("epochal sync") == 1


def test_a_writer_in_shared_mode_that_is_not_the_main_one_is_sent_and_does_not_end_the_run(
    server: Any,
) -> None:
    """It may be on a machine of its own, from where nobody else sends."""
    settings = {"x_primary": False, "x_label": "rank 1", "x_update_finish_state": False}
    run = epochal.init(project="p", id="r1", mode="shared", settings=settings)
    for i in range(100):
        run.log({"i": i})
    run.finish()

    assert server.counts("i") == Counter(range(100))
    records = [record for blocks in server.blocks.values() for b in blocks for _, record in b.records]
    assert [r for r in records if r[0] == 11] == []
