"""A server's address has one spelling, and a key is for its owner's eyes and one address only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from epochal.base.servers import (
    FILE_NAME,
    KnownServer,
    is_readable_on_the_way,
    keep_server,
    known_servers,
    normal_address,
)
from epochal.errors import UsageError


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("epochal.example.org", "https://epochal.example.org"),
        ("https://Epochal.Example.org/", "https://epochal.example.org"),
        ("http://10.0.0.5:8585", "http://10.0.0.5:8585"),
        ("localhost:8585", "http://localhost:8585"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]:8585", "http://[::1]:8585"),
        ("https://example.org/epochal/", "https://example.org/epochal"),
    ],
)
def test_an_address_has_one_spelling(given: str, normal: str) -> None:
    assert normal_address(given) == normal
    assert normal_address(normal) == normal


@pytest.mark.parametrize(
    "wrong",
    ["", "ftp://x", "https:///x", "https://u:p@x", "https://x?key=1", "http://x:99999", "https://x/#a"],
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError):
        normal_address(wrong)


def test_only_plain_http_to_another_machine_can_be_read_on_the_way() -> None:
    assert is_readable_on_the_way("http://10.0.0.5:8585")
    assert not is_readable_on_the_way("http://127.0.0.1:8585")
    assert not is_readable_on_the_way("https://10.0.0.5")


def test_keys_are_kept_by_address_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    one, two = KnownServer("k1", "ada", "ada"), KnownServer("k2")
    keep_server(tmp_path / "home", "https://one", one)
    keep_server(tmp_path / "home", "https://two", two)
    keep_server(tmp_path / "home", "https://three", KnownServer("k3"))
    keep_server(tmp_path / "home", "https://three", None)

    assert known_servers(tmp_path / "home") == {"https://one": one, "https://two": two}
    path = tmp_path / "home" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_read_holds_no_key(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{")

    assert known_servers(tmp_path) == {}


def test_a_key_does_not_show_in_a_message() -> None:
    assert "k1" not in repr(KnownServer("k1", "ada"))
