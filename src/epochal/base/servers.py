"""Which server this user sends to, and the key for it.

The address is a setting like any other.  Keys are in a file of their own that only its owner can read,
`$EPOCHAL_HOME/keys.json`, by the address they belong to: a key never goes to another address.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from epochal.errors import UsageError

FILE_NAME = "keys.json"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class KnownServer(msgspec.Struct, frozen=True):
    """What `epochal login` keeps of one server."""

    key: str
    username: str = ""
    entity: str = ""  # where runs go that name none

    def __repr__(self) -> str:
        return f"KnownServer(username={self.username!r}, entity={self.entity!r})"  # The key is a secret.


_Servers = dict[str, KnownServer]


def normal_address(text: str) -> str:
    """Return the address of a server in its one spelling: scheme, host, port and path, no slash at the end.

    `host` alone means https, except for this very machine, where it means http.

    Raises:
        UsageError: it is none.
    """
    given = text.strip().rstrip("/")
    if "://" not in given:
        start = given.partition("/")[0]
        is_here = (start.rpartition(":")[0] or start).strip("[]") in _LOOPBACK
        given = f"{'http' if is_here else 'https'}://{given}"
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is not the address of a server: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise UsageError(f"{text!r} is not the address of a server, such as https://epochal.example.org")
    if parts.username or parts.password:
        raise UsageError("A server's address holds no user and no password; the key is given apart: --key")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def is_readable_on_the_way(address: str) -> bool:
    """Whether keys and rows sent there can be read in the network: no TLS, and not this machine."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK


def known_servers(home: Path) -> Mapping[str, KnownServer]:
    """Return what is kept, by address; nothing if the file is not there or cannot be read."""
    try:
        return msgspec.json.decode((home / FILE_NAME).read_bytes(), type=_Servers)
    except (OSError, msgspec.MsgspecError):
        return {}


def keep_server(home: Path, address: str, server: KnownServer | None) -> None:
    """Keep `server` under `address`, or forget that address; the file is replaced as a whole.

    Raises:
        OSError: it cannot be written.
    """
    import tempfile  # not at the top: it is slow to import, and every init() with a server comes by here

    servers = {**known_servers(home)}
    servers.pop(address, None)
    if server is not None:
        servers[address] = server
    home.mkdir(parents=True, exist_ok=True)
    # mkstemp makes it for its owner only, before there is a key in it.
    fd, name = tempfile.mkstemp(prefix=FILE_NAME, dir=home)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(servers)) + b"\n")
        Path(name).replace(home / FILE_NAME)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
