"""`epochal sync` brings everything that can be read to the server, once, and says what it could not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.base.servers import KnownServer, keep_server
from epochal.cli.main import main
from epochal.cli.sync import DAMAGED, LEFT
from epochal.runlog.format import Header, RecordType
from epochal.runlog.writer import RunLogWriter

KEY = "epochal-aaaa"


@pytest.fixture
def server(peer: Any, epochal_home: Path) -> Any:
    """A server that this user is logged in to."""
    keep_server(epochal_home, peer.url, KnownServer(KEY, "ada", "ada"))
    (epochal_home / "settings").write_text(f"base_url = {peer.url}\n")
    return peer


@pytest.fixture
def new_run(epochal_home: Path) -> Callable[..., Path]:
    """Return a function that makes a run folder of rows, as an offline run leaves it."""

    def make(run: str, n_rows: int = 100, *, is_over: bool = True) -> Path:
        folder = epochal_home / "runs" / f"offline-run-20261122_101500-{run}"
        folder.mkdir(parents=True)
        header = Header(
            run_id=run, project="p", entity=None, writer=f"w{run}", kind="primary", start_time=1.0
        )
        writer = RunLogWriter(folder / f"w{run}.runlog", header)
        for i in range(n_rows):
            writer.record(RecordType.ROW, i, {"i": i})
        if is_over:
            writer.record(RecordType.EXIT, {"state": None, "exit_code": 0})
        writer.close()
        return folder

    return make


def report_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["sync", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_all_runs_of_this_machine_are_sent_and_the_second_time_nothing_is(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(20):
        new_run(f"r{n}")

    code, report = report_of(capsys)
    n_requests = len(server.requests)
    again, nothing = report_of(capsys)

    assert (code, again) == (0, 0)
    assert server.counts("i") == Counter(dict.fromkeys(range(100), 20))
    assert sum(run["n_rows"] for run in report["runs"]) == 2000
    assert nothing["runs"] == []
    assert len(server.requests) == n_requests


def test_what_a_server_lost_since_is_sent_again_on_demand(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    new_run("r1")
    report_of(capsys)
    server.blocks.clear()

    assert report_of(capsys)[1]["runs"] == []
    assert report_of(capsys, "--again")[1]["runs"][0]["n_rows"] == 100
    assert server.counts("i") == Counter(range(100))


def test_folders_files_and_folders_of_folders_can_be_named(
    server: Any, new_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [new_run(f"r{n}") for n in range(4)]
    nested = tmp_path / "a" / "epochal" / folders[2].name
    nested.parent.mkdir(parents=True)
    folders[2].rename(nested)

    report_of(capsys, str(folders[0]))
    report_of(capsys, str(folders[1] / "wr1.runlog"))
    report_of(capsys, str(tmp_path / "a"))

    assert {run for _, run, _ in server.blocks} == {"r0", "r1", "r2"}
    assert main(["sync", str(tmp_path / "gone")]) == 1


def test_damage_is_named_and_nothing_else_is_lost(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, flipped, cut, none = (new_run(name) for name in ("whole", "flipped", "cut", "none"))
    path = flipped / "wflipped.runlog"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    path = cut / "wcut.runlog"
    path.write_bytes(path.read_bytes()[:-30])
    (none / "wnone.runlog").write_bytes(b"\0" * 1000)

    code, report = report_of(capsys)

    runs = {Path(run["folder"]).name.rpartition("-")[2]: run for run in report["runs"]}
    assert code == DAMAGED
    assert server.counts("i", "whole") == Counter(range(100))
    assert len(server.counts("i", "flipped")) == 99
    assert set(server.counts("i", "flipped").values()) == {1}
    assert len(runs["flipped"]["lost"]) == 1
    assert runs["flipped"]["lost"][0]["file"] == "wflipped.runlog"
    assert runs["cut"]["n_torn_bytes"] > 0
    assert "wnone.runlog" in runs["none"]["why_left"]
    assert main(["sync", "--again"]) == DAMAGED
    assert "wnone.runlog" in capsys.readouterr().out
    assert whole.is_dir()


def test_a_server_that_is_away_leaves_the_runs_and_says_so(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    new_run("r1")
    server.fault = lambda path: "500"

    assert main(["sync", "--patience", "0.5"]) == LEFT
    said = capsys.readouterr().out
    assert "it answers 500" in said
    assert "run this again" in said

    server.fault = lambda path: None
    assert main(["sync"]) == 0


def test_without_a_server_or_with_a_wrong_key_it_says_what_to_do(
    server: Any, epochal_home: Path, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    new_run("r1")
    keep_server(epochal_home, server.url, KnownServer("epochal-wrong"))
    assert main(["sync"]) == 1
    assert "401" in capsys.readouterr().err

    (epochal_home / "settings").unlink()
    assert main(["sync"]) == 1
    assert "epochal login" in capsys.readouterr().err


def test_two_at_once_store_every_row_once(
    server: Any, new_run: Callable[..., Path], epochal_home: Path
) -> None:
    """As from two machines that see the same folders."""
    for n in range(6):
        new_run(f"r{n}", 500)
    server.fail_sometimes(0.2, 1)
    command = [sys.executable, "-m", "epochal.cli.main", "sync", "--quiet"]

    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    codes = [process.communicate(timeout=100) and process.returncode for process in both]

    assert codes == [0, 0]
    assert server.counts("i") == Counter(dict.fromkeys(range(500), 6))


def test_ctrl_c_stops_it_and_the_next_one_goes_on(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        new_run(f"r{n}", 20_000)
    server.delay_s = 0.3
    process = subprocess.Popen(
        [sys.executable, "-m", "epochal.cli.main", "sync", "--max-rate", "8k"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not server.counts("i"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    server.delay_s = 0.0

    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert sum(server.counts("i").values()) < 60_000
    assert main(["sync"]) == 0
    assert server.counts("i") == Counter(dict.fromkeys(range(20000), 3))


def test_watch_relays_runs_that_live(server: Any, new_run: Callable[..., Path], epochal_home: Path) -> None:
    """On a login node, for compute nodes that reach no server."""
    new_run("before")
    process = subprocess.Popen(
        [sys.executable, "-m", "epochal.cli.main", "sync", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_for(lambda: len(server.counts("i", "before")) == 100)
        folder = epochal_home / "runs" / "offline-run-20261122_101501-live"
        folder.mkdir()
        header = Header(run_id="live", project="p", entity=None, writer="w", kind="primary", start_time=1.0)
        writer = RunLogWriter(folder / "w.runlog", header)
        for i in range(3):
            writer.record(RecordType.ROW, i, {"i": i})
            wait_for_rows(server, "live", i + 1)
        writer.close()
    finally:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)

    assert process.returncode == 0, errors
    assert b"103 rows of 2 runs" in output


def test_nothing_is_deleted_unless_asked_for(server: Any, new_run: Callable[..., Path]) -> None:
    folder = new_run("r1")
    server.ended = True

    assert main(["sync"]) == 0
    assert folder.is_dir()


def test_only_what_is_over_confirmed_and_whole_is_deleted(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, damaged, with_files, torn = (new_run(name) for name in ("whole", "damaged", "files", "torn"))
    path = damaged / "wdamaged.runlog"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    (with_files / "files").mkdir()
    (with_files / "files" / "model.pt").write_bytes(b"x")
    path = torn / "wtorn.runlog"
    path.write_bytes(path.read_bytes()[:-10])

    server.ended = False
    main(["sync", "--delete-after"])
    assert whole.is_dir()
    server.ended = True
    _, report = report_of(capsys, "--delete-after") if capsys.readouterr() else (0, {})

    assert report["deleted"] == [str(whole)]
    assert [f.is_dir() for f in (whole, damaged, with_files, torn)] == [False, True, True, True]


def test_the_newest_and_the_young_are_kept_as_asked(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    server.ended = True
    folders = [new_run(f"r{n}") for n in range(4)]
    n_bytes = (folders[0] / "wr0.runlog").stat().st_size
    for folder in folders:
        main(["sync", str(folder)])

    main(["sync", "--delete-after", "--older-than", "1"])
    assert all(folder.is_dir() for folder in folders)
    main(["sync", "--delete-after", "--keep-size", str(2 * n_bytes)])

    assert [folder.is_dir() for folder in folders] == [False, False, True, True]


def test_an_offline_run_of_the_sdk_arrives_as_it_was_logged(server: Any) -> None:
    run = epochal.init(project="p", mode="offline", config={"lr": 0.1})
    for i in range(50):
        run.log({"i": i})
    run.finish()
    assert server.requests == []

    assert main(["sync", run.sync_dir]) == 0

    assert server.counts("i") == Counter(range(50))


def test_status_says_what_is_only_here(
    server: Any, new_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    new_run("r1")
    new_run("r2")
    main(["status"])
    said = capsys.readouterr().out
    assert f"{server.url} as ada" in said
    assert "Unsent: 2" in said
    assert server.requests == []

    main(["sync"])
    capsys.readouterr()
    main(["status", "--json"])
    assert json.loads(capsys.readouterr().out)["n_unsent"] == 0


def wait_for(look: Callable[[], object], patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def wait_for_rows(server: Any, run: str, n: int) -> None:
    wait_for(lambda: len(server.counts("i", run)) == n)
