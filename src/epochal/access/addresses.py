"""From which addresses a server may be used: the Host and Origin checks.

A server on loopback is reachable by every page the user has open.  A foreign page can send requests to
it (cross-site request forgery), and with a name of its own that it points at 127.0.0.1 it could even read
the answers (DNS rebinding).  So a request must be addressed to a name the server was started for, and a
page that sends one must come from the server itself.

Host *names* are compared without the port: whoever forwards a port sees another one, and rebinding needs
a name.  Origins are compared with the port: a page of another server on this machine is foreign.

Source: W3C Fetch Metadata Request Headers; RFC 6454 (origins).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, never bound here
_DEFAULT_PORTS = {"http": 80, "https": 443}

Authority = tuple[str, int | None]


def parse_authority(text: str) -> Authority | None:
    """Return the host (lower case, no brackets, no trailing dot) and the port of `host[:port]`.

    None where `text` is not one.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.netloc != text or "@" in text or any(c.isspace() for c in text):
        return None
    return host.lower().removesuffix("."), port


class Addresses:
    """The hosts that one server answers for.

    Args:
        bound: the address it listens on; with a wildcard (`0.0.0.0`) every IP address counts as its own,
            since rebinding needs a name.
        names: further hosts, as `--allow-host` and the machine's own name give them: `NAME` or `NAME:PORT`.
    """

    def __init__(self, bound: str, names: Iterable[str] = ()) -> None:
        self._any_ip = bound in _WILDCARDS
        self._hosts: set[Authority] = {(host, None) for host in (*LOOPBACK, bound.lower()) if host}
        self._named: set[Authority] = set()
        for name in names:
            authority = parse_authority(name)
            if authority is None:
                raise ValueError(f"{name!r} is not a host name, or a name and a port")
            self._named.add(authority)

    def allows_host(self, host: str) -> bool:
        """Whether `host`, a request's Host header, names this server."""
        authority = parse_authority(host)
        if authority is None:
            return False
        if self._any_ip and _is_ip(authority[0]):
            return True
        return any(
            authority in known or (authority[0], None) in known for known in (self._hosts, self._named)
        )

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether `origin`, a request's Origin header, is this server, addressed as `host`.

        A proxy may change the host on the way, so the origins of `--allow-host` names count too.
        """
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        page = parse_authority(parts.netloc)
        if parts.scheme not in _DEFAULT_PORTS or page is None or parts.path or parts.query or parts.fragment:
            return False
        default = _DEFAULT_PORTS[parts.scheme]
        target = parse_authority(host)
        if target is not None and page[0] == target[0] and (page[1] or default) == (target[1] or default):
            return True
        return page in self._named or (page[0], None) in self._named


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_foreign_fetch(site: str | None, mode: str | None, method: str) -> bool:
    """Whether the browser says that another site's page sent the request (Fetch Metadata).

    Following a link from elsewhere is no such thing: the page behind it is shown, not handed to that site.

    Args:
        site: the Sec-Fetch-Site header; None from anything that is no browser.
        mode: the Sec-Fetch-Mode header.
        method: the request's method.
    """
    if site in (None, "same-origin", "none"):
        return False
    return not (mode == "navigate" and method in ("GET", "HEAD"))
