"""Where a server listens: the port is taken before anything else starts."""

from __future__ import annotations

import errno
import socket

from epochal.errors import PortInUseError, UsageError
from epochal.server.settings import DEFAULT_PORT


def listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket.

    Args:
        host: an address, or a name of this machine.
        port: None takes the default one, or a free one where that is in use; 0 takes a free one.

    Raises:
        PortInUseError: the port that was asked for is taken.
        UsageError: nothing can listen at that address.
    """
    if port is not None:
        return _listen(host, port)
    try:
        return _listen(host, DEFAULT_PORT)
    except PortInUseError:
        return _listen(host, 0)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise UsageError(f"{port} is no port: ports go from 0 to 65535.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port) from error
        raise UsageError(
            f"Epochal cannot listen on {host}, port {port}: {error.strerror or error}.\n"
            "Choose another --host or --port; ports below 1024 need special rights."
        ) from error


def url_of(listening: socket.socket) -> str:
    """Return the address to open for a browser on this machine: `http://127.0.0.1:8585`."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
