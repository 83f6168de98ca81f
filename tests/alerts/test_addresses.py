"""Only public addresses are reached, however they are written."""

from __future__ import annotations

import pytest

from epochal.alerts.addresses import may_reach, networks

HOSTILE = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # the metadata service of clouds
    "100.64.0.1",
    "100.100.100.200",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "localhost",
    "/run/docker.sock",
    "",
    None,
]


@pytest.mark.parametrize("host", HOSTILE)
def test_what_is_not_public_is_not_reached(host: object) -> None:
    assert not may_reach(host, ())


@pytest.mark.parametrize("host", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_what_is_public_is_reached(host: str) -> None:
    assert may_reach(host, ())


def test_a_network_that_the_settings_allow_is_reached_and_no_other() -> None:
    allowed = networks(["127.0.0.0/8", "fd00::/8"])

    assert may_reach("127.0.0.1", allowed)
    assert may_reach("::ffff:127.0.0.1", allowed)
    assert may_reach("fd00::5", allowed)
    assert not may_reach("10.0.0.1", allowed)
