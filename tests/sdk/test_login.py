"""`login()` chooses server and key for this process; it asks no question and keeps nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.base.servers import KnownServer, keep_server

KEY = "epochal-aaaa"


@pytest.mark.parametrize(
    "arguments", [{}, {"key": "k" * 40}, {"key": KEY}, {"relogin": True, "anonymous": "must"}]
)
def test_without_a_server_no_login_is_needed(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], epochal_home: Path
) -> None:
    assert epochal.login(**arguments) is True

    assert "no login is needed" in capsys.readouterr().err
    assert not epochal_home.exists()


def test_later_runs_go_to_the_server_with_the_key(peer: Any, epochal_home: Path) -> None:
    assert epochal.login(key=KEY, host=peer.url) is True
    assert peer.requests == []
    run = epochal.init(project="p")
    run.log({"i": 7})
    run.finish()

    assert peer.counts("i") == {7: 1}
    assert not (epochal_home / "keys.json").exists()


def test_a_key_of_another_tracker_goes_nowhere(
    peer: Any, epochal_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts that log in to W&B run unchanged, with the key that `epochal login` kept."""
    keep_server(epochal_home, peer.url, KnownServer(KEY, "ada", "ada"))
    assert epochal.login(key="0123456789" * 4, host=peer.url) is True
    assert "is not used" in capsys.readouterr().err
    run = epochal.init(project="p")
    run.log({"i": 7})
    run.finish()

    assert peer.counts("i") == {7: 1}


def test_a_server_without_a_key_is_said(peer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert epochal.login(host=peer.url) is False
    assert "There is no key for" in capsys.readouterr().err


def test_verify_asks_the_server(peer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert epochal.login(key=KEY, host=peer.url, verify=True) is True
    assert "as ada" in capsys.readouterr().err

    with pytest.raises(epochal.AuthenticationError, match="401"):
        epochal.login(key="epochal-wrong", host=peer.url, verify=True)


def test_verify_does_not_wait_for_ever(peer: Any) -> None:
    peer.stop()

    with pytest.raises(epochal.CommError):
        epochal.login(key=KEY, host=peer.url, verify=True, timeout=0.5)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(epochal.UsageError):
        epochal.login(host="ftp://x")
