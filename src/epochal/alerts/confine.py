"""What the process that sends may not do, whatever the library it uses is told by a channel's address.

The interpreter asks an audit hook before it connects, opens a file or starts a program, and a hook cannot
be taken away again.  A connection is judged by the address that it is made to, after names were looked up:
a name that means something else each time it is asked gains nothing.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from epochal.alerts.addresses import Network, may_reach

_STARTS = ("subprocess.", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "ctypes.", "pty.")
_CHANGES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refusals:
    """Counts what was refused."""

    def __init__(self) -> None:
        self.n_addresses = 0
        self.n_others = 0


def confine(allowed: Sequence[Network], folders: Sequence[str]) -> Refusals:
    """From now on, for the life of this process: connect to allowed addresses and read program files only.

    Args:
        allowed: networks that may be reached beside the public ones.
        folders: of the programs themselves; files are read below them only, and written nowhere.

    Returns:
        What was refused, counted from now on.
    """
    refusals = Refusals()
    roots = tuple(os.path.join(os.path.realpath(folder), "") for folder in folders)  # noqa: PTH118

    def judge(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            if not _is_allowed(arguments[0], arguments[1], allowed):
                refusals.n_addresses += 1
                raise PermissionError("this address may not be sent to")
        elif event == "open":
            if not _may_open(arguments, roots):
                refusals.n_others += 1
                raise PermissionError("no file may be read or written while sending")
        elif event.startswith((*_STARTS, *_CHANGES)):
            refusals.n_others += 1
            raise PermissionError("no program may be started and no file changed while sending")

    sys.addaudithook(judge)
    return refusals


def _is_allowed(connection: object, address: object, allowed: Sequence[Network]) -> bool:
    if not isinstance(connection, socket.socket) or not isinstance(address, tuple) or not address:
        return False  # a local socket has a path in place of an address
    return connection.family in (socket.AF_INET, socket.AF_INET6) and may_reach(address[0], allowed)


def _may_open(arguments: tuple[object, ...], roots: tuple[str, ...]) -> bool:
    path, mode, flags = (*arguments, None, None)[:3]
    if isinstance(path, int):
        return True  # it is open already
    if not isinstance(path, (str, bytes)) or (isinstance(flags, int) and flags & _WRITING):
        return False
    if isinstance(mode, str) and set(mode) & set("wax+"):
        return False
    return os.path.realpath(os.fsdecode(path)).startswith(roots)
