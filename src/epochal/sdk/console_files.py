"""Finds the files that this process prints into, for the sidecar to follow.

In a batch job standard output is a regular file.  Whoever writes to it (C code, a program that was started, a
library with a descriptor of its own) can then be recorded without standing between writer and file: the
sidecar reads what the file gained.  No write of the user's can ever wait for that, or fail by it.

A terminal or a pipe cannot be read a second time; there only what Python prints is captured.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Sequence

_DESCRIPTORS = {"stdout": 1, "stderr": 2}

# stream, path, offset (bytes), device, inode
ConsoleFile = tuple[str, str, int, int, int]


def found() -> list[ConsoleFile]:
    """Return the regular files that descriptors 1 and 2 are, one that is both as standard output."""
    files: list[ConsoleFile] = []
    for stream, fd in _DESCRIPTORS.items():
        with contextlib.suppress(OSError):
            status = os.fstat(fd)
            known = [(device, inode) for *_, device, inode in files]
            if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in known:
                path = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - not where it leads: what it is
                files.append((stream, path, status.st_size, status.st_dev, status.st_ino))
    return files


def without(files: Sequence[ConsoleFile], sink: Callable[[str, str], object]) -> Callable[[str, str], object]:
    """Return a sink that hands to `sink` what is printed and does not go into one of `files`."""
    followed = {(device, inode) for *_, device, inode in files}

    def take(stream: str, text: str) -> None:
        if not _goes_into(stream, followed):
            sink(stream, text)

    return take


def flush(files: Sequence[ConsoleFile]) -> None:
    """Have what Python holds back written, if it goes into one of `files`."""
    followed = {(device, inode) for *_, device, inode in files}
    for stream in _DESCRIPTORS:
        if _goes_into(stream, followed):
            with contextlib.suppress(Exception):
                getattr(sys, stream).flush()


def _goes_into(stream: str, followed: set[tuple[int, int]]) -> bool:
    try:
        status = os.fstat(getattr(sys, stream).fileno())
    except Exception:  # noqa: BLE001  a user's stream may raise anything, and many have no descriptor
        return False
    return (status.st_dev, status.st_ino) in followed
