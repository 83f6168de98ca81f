"""Runs a command and counts the CPU of every process it leaves behind.

A helper process that a tracker detaches from its parent would escape `time`; as a child subreaper this
process inherits such orphans, waits for them, and adds up what the kernel says of each.  Linux only.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36


class Finished(NamedTuple):
    stdout: str
    returncode: int
    cpu_s: float  # user and system, of the command and all its descendants
    wall_s: float  # until the last of them was gone


def users_environment() -> dict[str, str]:
    """Return this process's environment without what a user does not have: no tracker's settings, and Python
    may keep its bytecode, without which every process compiles everything anew."""
    dropped = ("WANDB_", "EPOCHAL_", "MLFLOW_", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)}


def become_subreaper() -> None:
    """Make orphans of our descendants our own children."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def run(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout_s: float = 300) -> Finished:
    """Run `command` until it and every process it started are gone.

    Raises:
        TimeoutError: some are still there after `timeout_s`; they are killed.
    """
    became = time.monotonic()
    out_path = cwd / "stdout.txt"
    with out_path.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=env, cwd=cwd)
    cpu_s, returncode = 0.0, -1
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            if time.monotonic() - became > timeout_s:
                _kill_children()
                raise TimeoutError(f"{command} left processes running for {timeout_s} s")
            time.sleep(0.005)
            continue
        cpu_s += usage.ru_utime + usage.ru_stime
        if pid == process.pid:
            returncode = process.returncode = os.waitstatus_to_exitcode(status)
    return Finished(out_path.read_text(errors="replace"), returncode, cpu_s, time.monotonic() - became)


def _kill_children() -> None:
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            os.kill(int(pid), 9)
