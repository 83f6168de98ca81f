"""Which Host and Origin headers a server lets in."""

from __future__ import annotations

import pytest

from epochal.access.addresses import Addresses, is_foreign_fetch

LOCAL = Addresses("127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8585",
        "localhost:8585",
        "localhost",
        "LocalHost:1",
        "localhost.:8585",
        "[::1]:8585",
        "[::1]",
    ],
)
def test_the_loopback_names_are_this_server_on_any_port(host: str) -> None:
    assert LOCAL.allows_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8585",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost/../evil",
        "127.0.0.1 evil",
        "[::1",
        "localhost:port",
        "127.0.0.2",
        "10.0.0.7:8585",
        "2130706433",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    assert not LOCAL.allows_host(host)


def test_an_allowed_name_counts_on_every_port_and_with_a_port_on_that_one_only() -> None:
    server = Addresses("127.0.0.1", ["Tracker.lab", "gpu7:9000"])

    assert server.allows_host("tracker.lab")
    assert server.allows_host("tracker.lab:443")
    assert server.allows_host("gpu7:9000")
    assert not server.allows_host("gpu7:9001")
    assert not server.allows_host("gpu7")


def test_on_all_interfaces_every_ip_address_is_this_server_and_no_name_is() -> None:
    server = Addresses("0.0.0.0")

    assert server.allows_host("10.0.0.7:8585")
    assert server.allows_host("[2001:db8::7]:8585")
    assert not server.allows_host("evil.example:8585")


def test_an_allowed_name_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not a host name"):
        Addresses("127.0.0.1", ["http://tracker.lab"])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8585", "127.0.0.1:8585"),
        ("http://LOCALHOST:8585", "localhost:8585"),
        ("http://[::1]:8585", "[::1]:8585"),
        ("http://localhost", "localhost:80"),
        ("https://localhost", "localhost:443"),
    ],
)
def test_a_page_of_this_server_may_send_requests(origin: str, host: str) -> None:
    assert LOCAL.allows_origin(origin, host)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://127.0.0.1:3000",
        "http://127.0.0.1",
        "http://localhost:8585",
        "file://",
        "ftp://127.0.0.1:8585",
        "http://127.0.0.1:8585.evil.example",
        "http://127.0.0.1:8585@evil.example",
        "http://127.0.0.1:8585/path",
        "http://[",
    ],
)
def test_a_page_from_elsewhere_may_not(origin: str) -> None:
    assert not LOCAL.allows_origin(origin, "127.0.0.1:8585")


def test_behind_a_proxy_the_allowed_names_are_origins_too() -> None:
    server = Addresses("127.0.0.1", ["tracker.lab"])

    assert server.allows_origin("https://tracker.lab", "127.0.0.1:8585")
    assert not server.allows_origin("https://other.lab", "127.0.0.1:8585")


def test_only_a_followed_link_may_come_from_another_site() -> None:
    assert not is_foreign_fetch(None, None, "POST")
    assert not is_foreign_fetch("same-origin", "cors", "POST")
    assert not is_foreign_fetch("none", "navigate", "GET")
    assert not is_foreign_fetch("cross-site", "navigate", "GET")
    assert is_foreign_fetch("cross-site", "navigate", "POST")
    assert is_foreign_fetch("same-site", "cors", "GET")
    assert is_foreign_fetch("cross-site", "no-cors", "GET")
