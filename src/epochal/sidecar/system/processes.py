"""CPU and memory of the training process and everything it started."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import psutil


class TreeReading(NamedTuple):
    """The process tree at one moment."""

    cpu_seconds: dict[int, float]  # by process id, user and system, since each began
    rss_bytes: int  # summed, so pages that are shared count for each
    n_threads: int
    root_age_s: float
    pids: frozenset[int]


class ProcessTree:
    """A process and its descendants; new ones are found and ended ones forgotten at each reading."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._root = psutil.Process(pid)
        self._known: dict[int, psutil.Process] = {pid: self._root}
        self._proc = proc
        self._has_children_files = (proc / "self" / "task").is_dir() and any(
            (task / "children").exists() for task in (proc / "self" / "task").iterdir()
        )

    def read(self) -> TreeReading:
        """Return the tree as it is now.

        Raises:
            psutil.NoSuchProcess: the root is gone.
        """
        pids = self._pids()
        self._known = {pid: self._known[pid] for pid in pids if pid in self._known}
        cpu, rss, threads = {}, 0, 0
        for pid in pids:
            try:
                process = self._known.get(pid) or psutil.Process(pid)
                self._known[pid] = process
                with process.oneshot():
                    times = process.cpu_times()
                    cpu[pid] = times.user + times.system
                    rss += process.memory_info().rss
                    threads += process.num_threads()
            except psutil.Error:
                self._known.pop(pid, None)
                if pid == self._root.pid:
                    raise
        age = max(0.0, time.time() - self._root.create_time())
        return TreeReading(cpu, rss, threads, age, frozenset(cpu))

    def _pids(self) -> list[int]:
        if not self._has_children_files:
            return [self._root.pid, *(p.pid for p in self._root.children(recursive=True))]
        found, waiting = [], [self._root.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += self._children_of(pid)
        return found

    def _children_of(self, pid: int) -> list[int]:
        """From the kernel's own lists: asking every process of the machine for its parent, as psutil
        must, costs tens of milliseconds on a busy node."""
        children: list[int] = []
        try:
            tasks = list((self._proc / str(pid) / "task").iterdir())
        except OSError:
            return children
        for task in tasks:
            try:
                text = (task / "children").read_text()
            except OSError:
                continue
            children += [int(word) for word in text.split()]
        return children


def cpu_percent(before: TreeReading | None, after: TreeReading, elapsed_s: float, n_cores: float) -> float:
    """Return the tree's share of `n_cores` over the last `elapsed_s` seconds, 0 to 100.

    Without a reading before: since the process began.
    """
    if before is None:
        used, elapsed_s = sum(after.cpu_seconds.values()), after.root_age_s
    else:
        used = sum(s - before.cpu_seconds.get(pid, 0.0) for pid, s in after.cpu_seconds.items())
    if elapsed_s <= 0 or n_cores <= 0:
        return 0.0
    return max(0.0, 100.0 * used / elapsed_s / n_cores)
