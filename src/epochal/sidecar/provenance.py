"""Where a run came from: machine, code, packages.  For the run's metadata.

Everything that costs more than microseconds, so that the training process does not have to spend it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from epochal.base.secrets import mask_command, mask_text, without_credentials

GIT_TIMEOUT_S = 5.0  # of one git command; a work tree on a slow network file system may take minutes


def of_trainer(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the trainer's own facts as they are recorded: with the secrets taken out."""
    recorded = {k: v for k, v in facts.items() if k not in ("raw_command", "import_paths")}
    command = facts.get("raw_command")
    if isinstance(command, list):
        recorded["command"] = mask_command([str(word) for word in command])
    environment = facts.get("environment")
    if isinstance(environment, dict):
        recorded["environment"] = {str(k): mask_text(str(v)) for k, v in environment.items()}
    return recorded


def of_machine() -> dict[str, object]:
    """Return host, operating system, processor and memory."""
    system = os.uname()
    return {
        "host": system.nodename,
        "os": f"{system.sysname} {system.release}",
        "distribution": _distribution(),
        "machine": system.machine,
        "cpu_count": psutil.cpu_count(logical=False) or os.cpu_count(),
        "cpu_count_logical": os.cpu_count(),
        "cpu_model": _cpu_model(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def of_packages(paths: Iterable[str]) -> list[str]:
    """Return the installed packages on `paths` as `name==version`, sorted.

    From the names of their metadata folders, which hold both: reading 500 files would take a second.
    """
    found: dict[str, str] = {}
    for path in paths:
        try:
            names = [e.name for e in os.scandir(path or ".")]
        except OSError:
            continue
        for name in names:
            base, dot, kind = name.rpartition(".")
            if dot and kind in ("dist-info", "egg-info"):
                package, _, version = base.partition("-")
                # The first one on the path is the one that an import finds.
                found.setdefault(package.lower().replace("_", "-"), version.partition("-py")[0])
    return [f"{package}=={version}" for package, version in sorted(found.items()) if version]


class Git:
    """Asks git about a work tree, one command at a time; `stop` may be called from another thread."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def describe(self, folder: str) -> dict[str, object]:
        """Return what git knows of the work tree around `folder`: commit, branch, remote, root, and whether
        files differ from the commit; empty where there is no git or no work tree.

        A key is left out where its command took too long.
        """
        commit = self._run(folder, "rev-parse", "HEAD")
        if not commit:
            return {}
        found: dict[str, object] = {"commit": commit}
        if branch := self._run(folder, "symbolic-ref", "--short", "-q", "HEAD"):
            found["branch"] = branch
        if remote := self._run(folder, "config", "--get", "remote.origin.url"):
            found["remote"] = without_credentials(remote)
        if root := self._run(folder, "rev-parse", "--show-toplevel"):
            found["root"] = root
        # Without untracked files: they would mean a walk through every folder of data beside the code.
        changes = self._run(folder, "status", "--porcelain", "--untracked-files=no")
        if changes is not None:
            found["is_dirty"] = bool(changes)
        return found

    def stop(self) -> None:
        """End the command that runs, and let no other one begin."""
        self._is_stopped = True
        if self._running is not None:
            self._running.kill()

    def _run(self, folder: str, *command: str) -> str | None:
        """Return what the command prints, or None if it fails, is stopped or takes too long."""
        environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        # A repository may name programs for git to start; a run's metadata must not start any.
        safe = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
        if self._is_stopped:
            return None
        try:
            self._running = subprocess.Popen(
                ["git", "-C", folder, *safe, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environ,
            )
        except OSError:
            return None
        try:
            output, _ = self._running.communicate(timeout=GIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.communicate()
            return None
        succeeded = self._running.returncode == 0
        self._running = None
        return output.decode("utf-8", "replace").strip() if succeeded else None


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model\t"))]
    return names[0] if names else None


def _distribution() -> str | None:
    """Source: os-release(5)."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    names = [line.partition("=")[2].strip("\"'") for line in lines if line.startswith("PRETTY_NAME=")]
    return names[0] if names else None
