"""The limits and the accounts of the container or job that a process runs in: control groups, v1 and v2.

Source: docs.kernel.org, admin-guide/cgroup-v2 and admin-guide/cgroup-v1/memory.
"""

from __future__ import annotations

from pathlib import Path

_UNLIMITED = 1 << 60  # v1 writes a number near 2^63 for "no limit"


class ControlGroup:
    """The control group of one process, found once.

    Args:
        pid: of the process; if it is gone, nothing is known.
        proc, sys: the mount points, of the kernel's files.
    """

    def __init__(self, pid: int, proc: Path = Path("/proc"), sys: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        paths = _paths(proc / str(pid) / "cgroup")
        self._v2 = _folders(sys, paths.get("", "/")) if "" in paths else []
        self._memory = _folders(sys / "memory", paths["memory"]) if "memory" in paths else []
        self._cpu = _folders(sys / "cpu", paths["cpu"]) if "cpu" in paths else []

    def cpu_limit(self) -> float | None:
        """Return how many cores it may use at most, or None where no quota is set."""
        limits = []
        for folder in self._v2:
            quota, _, period = _read(folder / "cpu.max").partition(" ")
            limits += _ratio(quota, period)
        for folder in self._cpu:
            limits += _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))
        return min(limits, default=None)

    def memory_limit(self) -> int | None:
        """Return how many bytes it may use at most, or None where no limit is set."""
        texts = [_read(folder / "memory.max") for folder in self._v2]
        texts += [_read(folder / "memory.limit_in_bytes") for folder in self._memory]
        limits = [int(text) for text in texts if text.isdigit() and int(text) < _UNLIMITED]
        return min(limits, default=None)

    def memory_used(self) -> int | None:
        """Return the bytes that count against the limit and cannot be given up, or None if not known."""
        for folder, name in [(f, "memory.current") for f in self._v2[:1]] + [
            (f, "memory.usage_in_bytes") for f in self._memory[:1]
        ]:
            text = _read(folder / name)
            if text.isdigit():
                stat = _table(folder / "memory.stat")
                return max(0, int(text) - stat.get("total_inactive_file", stat.get("inactive_file", 0)))
        return None

    def oom_kills(self) -> int:
        """Return how often the kernel has killed a process for memory: in this group, or, where groups do
        not count, on the machine."""
        for table in [_table(f / "memory.events") for f in self._v2] + [
            _table(f / "memory.oom_control") for f in self._memory
        ]:
            if "oom_kill" in table:
                return table["oom_kill"]
        return _table(self._proc / "vmstat").get("oom_kill", 0)


def _paths(file: Path) -> dict[str, str]:
    """Return the group's path by controller; the key of version 2 is the empty text."""
    paths = {}
    for line in _read(file).splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _folders(root: Path, path: str) -> list[Path]:
    """Return the folders of the group and the groups above it, nearest first, those that are visible.

    In a container the path may be the host's, of which only the end is mounted as the root.
    """
    folder = root / path.lstrip("/")
    chain = [folder, *folder.parents]
    chain = chain[: chain.index(root) + 1] if root in chain else [root]
    return [f for f in chain if f.is_dir()]


def _ratio(quota: str, period: str) -> list[float]:
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        return [int(quota) / int(period)]
    return []


def _table(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in _read(file).splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
