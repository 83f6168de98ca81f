"""Memory, disks and network of the machine, as far as the run's container or job may use them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from epochal.sidecar.cgroup import ControlGroup

MIB = 1024**2
GIB = 1024**3


def usable_cores(pid: int, group: ControlGroup) -> float:
    """Return how many cores process `pid` may use, by its affinity and its group's quota."""
    try:
        allowed = float(len(os.sched_getaffinity(pid)))
    except (AttributeError, OSError):
        allowed = float(os.cpu_count() or 1)
    quota = group.cpu_limit()
    return min(allowed, quota) if quota is not None else allowed


def memory(group: ControlGroup, rss_bytes: int) -> dict[str, float]:
    """Return the keys about memory; the whole is the group's limit where there is one."""
    machine = psutil.virtual_memory()
    total, available = machine.total, machine.available
    limit, used = group.memory_limit(), group.memory_used()
    if limit is not None and used is not None and limit < total:
        total, available = limit, min(available, max(0, limit - used))
    return {
        "memory_percent": 100.0 * (total - available) / total,
        "proc.memory.rssMB": rss_bytes / MIB,
        "proc.memory.percent": 100.0 * rss_bytes / total,
        "proc.memory.availableMB": available / MIB,
    }


def disk_usage(paths: Sequence[str]) -> dict[str, float]:
    """Return how full the file systems of `paths` are; one that cannot be asked is left out."""
    found = {}
    for path in paths:
        try:
            usage = psutil.disk_usage(path)
        except OSError:
            continue
        found[f"disk.{path}.usagePercent"] = usage.percent
        found[f"disk.{path}.usageGB"] = usage.used / GIB
    return found


def disk_counters(paths: Sequence[str], sys: Path = Path("/sys/dev/block")) -> dict[str, tuple[int, int]]:
    """Return bytes read and written since the machine started, by device.

    Of the devices that `paths` lie on; where those have none of their own, as in a container, of all
    together, under the empty name.
    """
    per_device = psutil.disk_io_counters(perdisk=True) or {}
    names = {name for path in paths if (name := _device_of(path, sys)) in per_device}
    if names:
        return {n: (per_device[n].read_bytes, per_device[n].write_bytes) for n in sorted(names)}
    total = psutil.disk_io_counters() if per_device else None
    return {"": (total.read_bytes, total.write_bytes)} if total else {}


def network_counters() -> tuple[int, int]:
    """Return bytes sent and received since the machine started, without what it sent to itself."""
    cards = [c for name, c in psutil.net_io_counters(pernic=True).items() if not name.startswith("lo")]
    return sum(c.bytes_sent for c in cards), sum(c.bytes_recv for c in cards)


def _device_of(path: str, sys: Path) -> str:
    try:
        number = Path(path).stat().st_dev
        return (sys / f"{os.major(number)}:{os.minor(number)}").resolve(strict=True).name
    except OSError:
        return ""
