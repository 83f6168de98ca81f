"""A session is what this server signed, for thirty days, and nothing else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.access.secret import load_secret
from epochal.access.sessions import LIFETIME_S, Sessions

SECRET = bytes(range(32))


def at(now: float, secret: bytes = SECRET) -> Sessions:
    return Sessions(secret, lambda: now)


def test_a_session_holds_for_thirty_days_across_restarts() -> None:
    session = at(0).issue()

    assert at(LIFETIME_S - 1).is_valid(session)
    assert not at(LIFETIME_S).is_valid(session)


def test_a_session_of_another_data_folder_is_not_valid_and_has_another_cookie() -> None:
    other = at(0, secret=b"x" * 32)

    assert not at(0).is_valid(other.issue())
    assert at(0).cookie_name != other.cookie_name


@pytest.mark.parametrize("position", [0, 5, 11, 15, -1])
def test_a_session_changed_in_one_character_is_not_valid(position: int) -> None:
    session = list(at(0).issue())
    session[position] = "A" if session[position] != "A" else "B"

    assert not at(0).is_valid("".join(session))


@given(st.text(max_size=300))
def test_no_made_up_text_is_a_session(text: str) -> None:
    assert not at(0).is_valid(text)


def test_the_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    first = load_secret(tmp_path / "secret")

    assert len(first) == 32
    assert load_secret(tmp_path / "secret") == first
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_secret_cut_short_by_a_full_disk_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    (tmp_path / "secret.new").write_bytes(b"left over")

    assert len(load_secret(tmp_path / "secret")) == 32
