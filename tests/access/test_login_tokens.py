"""One-time tokens sign in once, in time, and leave nothing to steal."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from epochal.access.login_tokens import LIFETIME_S, LoginTokens


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> LoginTokens:
    return LoginTokens(tmp_path / "login-tokens", clock)


def test_a_token_signs_in_once(tokens: LoginTokens) -> None:
    token = tokens.mint()

    assert tokens.consume(token)
    assert not tokens.consume(token)


def test_of_many_callers_at_once_one_may_sign_in(tokens: LoginTokens) -> None:
    for _ in range(20):
        token = tokens.mint()
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(tokens.consume, [token] * 8)) == 1


def test_a_token_is_good_for_a_day_and_no_longer(tokens: LoginTokens, clock: Clock) -> None:
    early, late = tokens.mint(), tokens.mint()

    clock.now += LIFETIME_S - 1
    assert tokens.consume(early)
    clock.now += 1
    assert not tokens.consume(late)


@pytest.mark.parametrize("token", ["", "x", "../secret", "a" * 100_000, "\x00", "\udc80", "/etc/passwd"])
def test_what_was_not_minted_signs_nobody_in_and_removes_nothing(
    tokens: LoginTokens, tmp_path: Path, token: str
) -> None:
    tokens.mint()
    canary = tmp_path / "secret"
    canary.write_text("kept")

    assert not tokens.consume(token)
    assert canary.read_text() == "kept"
    assert len(list((tmp_path / "login-tokens").iterdir())) == 1


def test_the_folder_holds_no_token_and_only_its_owner_can_look(tokens: LoginTokens, tmp_path: Path) -> None:
    token = tokens.mint()
    folder = tmp_path / "login-tokens"
    (file,) = folder.iterdir()

    assert token not in file.name
    assert token not in file.read_text()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_sweep_removes_what_is_over_or_cut_short_and_nothing_else(
    tokens: LoginTokens, clock: Clock, tmp_path: Path
) -> None:
    tokens.mint()
    clock.now += LIFETIME_S
    fresh = tokens.mint()
    (tmp_path / "login-tokens" / ("0" * 64)).write_text("")

    tokens.sweep()

    assert len(list((tmp_path / "login-tokens").iterdir())) == 1
    assert tokens.consume(fresh)
