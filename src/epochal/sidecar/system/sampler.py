"""One run's system samples: readings of the hardware, made into the keys that charts know."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import psutil

from epochal.sidecar.cgroup import ControlGroup
from epochal.sidecar.system import machine
from epochal.sidecar.system.nvidia import NvidiaGpus
from epochal.sidecar.system.processes import ProcessTree, TreeReading, cpu_percent


class Sampler:
    """Samples for one run; counters that only grow count from its creation.

    Args:
        pid: of the training process.
        disk_paths: whose file systems are looked at.
        label: of the writer in shared mode, which then ends every key, so that the writers' samples of
            one run stay apart.

    Raises:
        psutil.Error: there is no such process.
    """

    def __init__(self, pid: int, disk_paths: Sequence[str], label: str | None = None) -> None:
        self._pid = pid
        self._disk_paths = disk_paths
        self._suffix = f"/l:{label}" if label else ""
        self._group = ControlGroup(pid)
        self._tree = ProcessTree(pid)
        self._before: TreeReading | None = None
        self._before_at = 0.0
        self._disk_start = machine.disk_counters(disk_paths)
        self._network_start = machine.network_counters()

    def sample(self, now: float, gpus: NvidiaGpus | None) -> dict[str, float]:
        """Return the sample at `now` (seconds that only go forward), empty if the process is gone."""
        try:
            tree = self._tree.read()
        except psutil.Error:
            return {}
        values: dict[str, float] = {}
        cores = machine.usable_cores(self._pid, self._group)
        values["cpu"] = cpu_percent(self._before, tree, now - self._before_at, cores)
        values["proc.cpu.threads"] = tree.n_threads
        self._before, self._before_at = tree, now
        # One source that fails (a driver that hangs up, a file system that is gone) leaves the others.
        with contextlib.suppress(OSError, psutil.Error):
            values.update(machine.memory(self._group, tree.rss_bytes))
        with contextlib.suppress(OSError, psutil.Error):
            values.update(machine.disk_usage(self._disk_paths))
        with contextlib.suppress(OSError, psutil.Error):
            values.update(self._disk_traffic())
        with contextlib.suppress(OSError, psutil.Error):
            values.update(self._network_traffic())
        if gpus is not None:
            values.update(gpus.sample(tree.pids))
        return {key + self._suffix: value for key, value in values.items()}

    def _disk_traffic(self) -> dict[str, float]:
        found = {}
        for device, (n_read, n_written) in machine.disk_counters(self._disk_paths).items():
            start_read, start_written = self._disk_start.setdefault(device, (n_read, n_written))
            prefix = f"disk.{device}." if device else "disk."
            found[f"{prefix}in"] = (n_read - start_read) / machine.MIB
            found[f"{prefix}out"] = (n_written - start_written) / machine.MIB
        return found

    def _network_traffic(self) -> dict[str, float]:
        sent, received = machine.network_counters()
        start_sent, start_received = self._network_start
        # A card that went away takes its counts with it.
        return {
            "network.sent": max(0.0, sent - start_sent),
            "network.recv": max(0.0, received - start_received),
        }
