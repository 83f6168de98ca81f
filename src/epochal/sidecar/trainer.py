"""How the training process ended, as the kernel knows it, though it is not our child.

A pidfd becomes readable when its process ends.  From Linux 6.15 on it also tells the wait status, even after
somebody else has collected the process; before that, `/proc/<pid>/stat` tells it for as long as nobody
has, which the sidecar hurries to read.  Where both fail (a supervisor that collects at once on an older
kernel, another operating system) the process has vanished, and that is what is recorded.

Source: Linux, include/uapi/linux/pidfd.h; proc_pid_stat(5), field 52.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from pathlib import Path
from typing import NamedTuple

from epochal.sidecar.cgroup import ControlGroup

# struct pidfd_info, version 0: mask and cgroup id, then twelve 32-bit fields of which the last is the status.
_PIDFD_INFO = struct.Struct("=QQ11Ii")
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_GET_INFO = 0xC000_0000 | _PIDFD_INFO.size << 16 | 0xFF << 8 | 11  # _IOWR(0xFF, 11, struct pidfd_info)
_STATUS_FIELD = 52
_START_TIME_FIELD = 22


class End(NamedTuple):
    """How a process ended; neither code nor signal means that it vanished."""

    exit_code: int | None
    signal: int | None
    was_out_of_memory: bool = False


VANISHED = End(None, None)


class Trainer:
    """The training process.

    Args:
        pid: of the process.
        pidfd: of the same process, or -1; it stays the caller's to close.
    """

    def __init__(self, pid: int, pidfd: int, proc: Path = Path("/proc")) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._stat = proc / str(pid) / "stat"
        self._start_time = self._stat_field(_START_TIME_FIELD)
        self._group = ControlGroup(pid, proc)
        self._oom_kills = self._group.oom_kills()
        self._status: int | None = None

    def has_ended(self) -> bool:
        """Tell whether the process is over; keeps its status if this is the last moment to see it."""
        if self._pidfd >= 0:
            ended = bool(select.select([self._pidfd], [], [], 0)[0])
        else:
            ended = self._stat_field(_START_TIME_FIELD) != self._start_time or self._is_zombie()
            if self._start_time is None:
                ended = not _exists(self.pid)
        if ended:
            self._look()
        return ended

    def end(self, patience_s: float = 1.0) -> End:
        """Return how it ended, looking for up to `patience_s` seconds; only after `has_ended`."""
        deadline = time.monotonic() + patience_s
        while self._look() is None:
            # Between its end and its collection both sources may be silent for a moment.
            if time.monotonic() > deadline:
                return VANISHED
            time.sleep(0.005)
        assert self._status is not None
        if os.WIFSIGNALED(self._status):
            killed_for_memory = self._group.oom_kills() > self._oom_kills
            return End(None, os.WTERMSIG(self._status), killed_for_memory)
        return End(os.WEXITSTATUS(self._status), None)

    def _look(self) -> int | None:
        if self._status is None:
            self._status = self._status_by_pidfd()
        if self._status is None and self._is_zombie():
            text = self._stat_field(_STATUS_FIELD)
            self._status = int(text) if text is not None else None
        return self._status

    def _status_by_pidfd(self) -> int | None:
        if self._pidfd < 0:
            return None
        request = bytearray(_PIDFD_INFO.size)
        _PIDFD_INFO.pack_into(request, 0, _PIDFD_INFO_EXIT, *[0] * 13)
        try:
            fcntl.ioctl(self._pidfd, _PIDFD_GET_INFO, request)
        except OSError:  # An older kernel, or not collected yet.
            return None
        mask, *_, status = _PIDFD_INFO.unpack(request)
        return status if mask & _PIDFD_INFO_EXIT else None

    def _is_zombie(self) -> bool:
        same = self._stat_field(_START_TIME_FIELD) == self._start_time
        return same and self._stat_field(3) in ("Z", "X")

    def _stat_field(self, number: int) -> str | None:
        """Return a field of the process's stat line, counted from 1, or None if it is gone."""
        try:
            text = self._stat.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        # The second field is the program's name in parentheses and may hold anything.
        fields = text.rpartition(")")[2].split()
        return fields[number - 3] if len(fields) > number - 3 else None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
