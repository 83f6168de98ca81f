"""Kills logging processes at random moments and looks for every row whose log() had returned.

The judge is not the run log but the process itself: after each `log()` it says so through a pipe, and what
was said before the SIGKILL must be found, once.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from epochal.runlog.format import RecordType
from epochal.runlog.reader import read_all

# Unbuffered 8-byte confirmations; a partial one at the end was not confirmed.
SCRIPT = """
import os, sys
import epochal as wandb
out = int(sys.argv[1])
mode = sys.argv[2]
run = wandb.init(project="kill-drill", settings=wandb.Settings(silent=True))
os.write(out, b"ready!!!")
i = 0
while True:
    if mode == "scalars":
        wandb.log({"i": i, "loss": i * 0.5})
    elif mode == "wide":
        wandb.log({"i": i, **{f"layer{k}/norm": k + 0.5 for k in range(500)}})
    else:
        wandb.log({"i": i, "text": "x" * (i * 7919 % 60_000)})
    os.write(out, i.to_bytes(8, "little"))
    i += 1
"""
MODES = ("scalars", "wide", "text")


class Killed(NamedTuple):
    """One killed process."""

    folder: Path  # of its run
    confirmed: int  # rows 0 … confirmed - 1 had been logged for sure
    mode: str


class Verdict(NamedTuple):
    """What is wrong with what was found; all zero is right."""

    n_killed: int
    n_confirmed: int
    n_lost: int
    n_twice: int
    n_wrong: int  # rows that nobody logged

    @property
    def is_right(self) -> bool:
        """Tell whether every confirmed row was found, once, and nothing else was."""
        return not (self.n_lost or self.n_twice or self.n_wrong)


Rows = Callable[[Killed], "list[int]"]  # the values of `i` that are found for a killed process


def kill_drill(
    n: int, seed: int, home: Path, *, rows: Rows | None = None, max_alive_s: float = 0.3
) -> Verdict:
    """Kill `n` logging processes and return what became of their rows.

    Args:
        n: how many processes.
        seed: of the random moments.
        home: the EPOCHAL_HOME of the runs.
        rows: where to look for them; the run logs if not given.
        max_alive_s: a process is killed up to this long after its first log() could begin.
    """
    chance = random.Random(seed)
    verdict = Verdict(0, 0, 0, 0, 0)
    for _ in range(n):
        killed = kill_one(home, chance.choice(MODES), chance.uniform(0.0, max_alive_s))
        found = Counter((rows or rows_in_run_log)(killed))
        verdict = Verdict(
            verdict.n_killed + 1,
            verdict.n_confirmed + killed.confirmed,
            verdict.n_lost + sum(found[i] == 0 for i in range(killed.confirmed)),
            verdict.n_twice + sum(count > 1 for count in found.values()),
            # The row in progress may be there or not; none can be after it.
            verdict.n_wrong + sum(not 0 <= i <= killed.confirmed for i in found),
        )
    return verdict


def kill_one(home: Path, mode: str, alive_s: float) -> Killed:
    """Start a logging process, kill it `alive_s` seconds after it is ready; return what it had confirmed."""
    reading, writing = os.pipe()
    before = _folders(home)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(writing), mode],
        pass_fds=[writing],
        env={**os.environ, "EPOCHAL_HOME": str(home)},
        stdin=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        if os.read(reading, 8) != b"ready!!!":
            raise RuntimeError("the process ended before its first log()")
        said = _read_until(reading, process, alive_s)
    finally:
        os.close(reading)
        process.kill()
    process.wait()
    (folder,) = _folders(home) - before
    return Killed(folder, len(said) // 8, mode)


def rows_in_run_log(killed: Killed) -> list[int]:
    """Return the rows in the run logs of the process, each as often as it is there."""
    found = []
    for path in killed.folder.glob("*.runlog"):
        frames, report = read_all(path)
        if report.losses:
            raise AssertionError(f"{path} is damaged: {report.losses}")
        # By step, as the store merges; the value tells that the step holds what was logged for it.
        found += [
            int(f.record[2]) if f.record[3]["i"] == f.record[2] else -1  # type: ignore[call-overload, index]
            for f in frames
            if f.record[0] == RecordType.ROW
        ]
    return found


def _read_until(fd: int, process: subprocess.Popen[bytes], alive_s: float) -> bytes:
    """Read what the process says, kill it in time, and return all of it."""
    os.set_blocking(fd, False)
    said, deadline, is_killed = bytearray(), time.monotonic() + alive_s, False
    while True:
        try:
            part = os.read(fd, 1 << 20)
            if not part:
                return bytes(said)
            said += part
        except BlockingIOError:
            time.sleep(0.001)
        if not is_killed and time.monotonic() >= deadline:
            is_killed = True
            process.send_signal(signal.SIGKILL)


def _folders(home: Path) -> set[Path]:
    runs = home / "runs"
    return set(runs.iterdir()) if runs.is_dir() else set()
