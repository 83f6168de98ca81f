"""A folder seen through a FUSE file system on which every operation takes its time.

    python slow_mount.py FOLDER MOUNT LATENCY_S

It serves until it is unmounted.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import mfusepy as fuse

P = ParamSpec("P")
R = TypeVar("R")


def late(
    operation: Callable[Concatenate[SlowFolder, str, P], R],
) -> Callable[Concatenate[SlowFolder, str, P], R]:
    """Give `operation` the path in the folder behind, after the time that everything takes."""

    @functools.wraps(operation)
    def wrapped(self: SlowFolder, path: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        time.sleep(self.latency_s)
        return operation(self, self.folder + path, *args, **kwargs)

    return wrapped


class SlowFolder(fuse.Operations):  # type: ignore[misc]
    """Hands every operation on to `folder`, late.

    Args:
        folder: that is shown.
        latency_s: before each operation.
    """

    use_ns = True  # times are whole nanoseconds

    def __init__(self, folder: str, latency_s: float) -> None:
        self.folder = folder
        self.latency_s = latency_s

    @late
    def getattr(self, path: str, fh: int | None = None) -> dict[str, object]:
        """Return the facts of a file."""
        found = os.lstat(path)
        facts = {n: getattr(found, n) for n in ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size")}
        return facts | {n: getattr(found, f"{n}_ns") for n in ("st_atime", "st_mtime", "st_ctime")}

    @late
    def readdir(self, path: str, fh: int) -> list[str]:
        """Return the names in a folder."""
        return [".", "..", *os.listdir(path)]  # noqa: PTH208  strings are what is asked for

    @late
    def mkdir(self, path: str, mode: int) -> int:
        """Make a folder."""
        Path(path).mkdir(mode)
        return 0

    @late
    def create(self, path: str, mode: int, fi: object = None) -> int:
        """Make a file and open it."""
        return os.open(path, os.O_RDWR | os.O_CREAT, mode)

    @late
    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        # The kernel gives the place of every write, also of those that append.
        return os.open(path, flags & ~os.O_APPEND)

    @late
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read a part of a file."""
        return os.pread(fh, size, offset)

    @late
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write a part of a file."""
        return os.pwrite(fh, data, offset)

    @late
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Cut a file."""
        os.truncate(path, length)
        return 0

    @late
    def unlink(self, path: str) -> int:
        """Delete a file."""
        Path(path).unlink()
        return 0

    @late
    def rename(self, old: str, new: str) -> int:
        """Give a file another name."""
        Path(old).rename(self.folder + new)
        return 0

    @late
    def flush(self, path: str, fh: int) -> int:
        """A descriptor of the file was closed."""
        return 0

    @late
    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """Put a file on the disk."""
        os.fsync(fh)
        return 0

    @late
    def release(self, path: str, fh: int) -> int:
        """Close a file."""
        os.close(fh)
        return 0


if __name__ == "__main__":
    # Several at once: what one reader waits for, the next one does not have to.
    fuse.FUSE(SlowFolder(sys.argv[1], float(sys.argv[3])), sys.argv[2], foreground=True, nothreads=False)
