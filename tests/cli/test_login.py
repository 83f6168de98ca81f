"""`epochal login` keeps a key that the server confirmed, and nothing else."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.base.servers import KnownServer, known_servers
from epochal.cli.main import main

KEY = "epochal-aaaa"


def test_a_confirmed_key_is_kept_and_later_runs_are_sent(
    peer: Any, epochal_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochal_home.mkdir()
    (epochal_home / "settings").write_text("# mine\nproject = demo\n")

    assert main(["login", peer.url, "--key", KEY]) == 0

    assert "as ada" in capsys.readouterr().out
    assert known_servers(epochal_home) == {peer.url: KnownServer(KEY, "ada", "ada")}
    assert stat.S_IMODE((epochal_home / "keys.json").stat().st_mode) == 0o600
    assert (epochal_home / "settings").read_text() == f"# mine\nproject = demo\nbase_url = {peer.url}\n"
    run = epochal.init()
    run.log({"i": 1})
    run.finish()
    assert peer.counts("i") == {1: 1}
    assert run.project == "demo"


@pytest.mark.parametrize("trouble", ["wrong key", "away", "not ours"])
def test_what_is_not_confirmed_is_not_kept(
    peer: Any, epochal_home: Path, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if trouble == "away":
        peer.stop()
    if trouble == "not ours":
        peer.fault = lambda path: "html"

    assert main(["login", peer.url, "--key", "epochal-wrong" if trouble == "wrong key" else KEY]) == 1

    assert "epochal-" not in capsys.readouterr().err
    assert not epochal_home.exists()


def test_without_a_terminal_nothing_is_asked(peer: Any) -> None:
    command = [sys.executable, "-m", "epochal.cli.main", "login", peer.url]

    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "--key" in done.stderr


def test_a_key_can_come_by_the_standard_input(peer: Any, epochal_home: Path) -> None:
    """So that it is in no shell history and in no list of processes."""
    command = [sys.executable, "-m", "epochal.cli.main", "login", peer.url, "--key", "-"]

    subprocess.run(command, input=f"{KEY}\n", capture_output=True, text=True, check=True)

    assert known_servers(epochal_home)[peer.url].key == KEY


def test_a_key_in_a_variable_is_not_shown_to_another_server(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_BASE_URL", "https://elsewhere.example.org")
    monkeypatch.setenv("EPOCHAL_API_KEY", KEY)

    assert main(["login", peer.url]) == 1
    assert peer.requests == []


def test_logout_forgets_the_key_and_keeps_runs_here(peer: Any, epochal_home: Path) -> None:
    main(["login", peer.url, "--key", KEY])

    assert main(["logout"]) == 0

    assert known_servers(epochal_home) == {}
    assert (epochal_home / "settings").read_text() == ""


def test_offline_and_online_change_later_runs(peer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["login", peer.url, "--key", KEY])
    main(["offline"])
    capsys.readouterr()
    run = epochal.init(project="p")
    assert run.offline
    run.finish()
    assert "epochal sync" in capsys.readouterr().err

    main(["online"])
    assert peer.url in capsys.readouterr().out
    run = epochal.init(project="p")
    assert not run.offline
    run.finish()
