"""A training that the kernel kills for memory says so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]

LIMIT_BYTES = 250 * 2**20


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group with a limit on memory; needs root and version 1, or a delegated version 2."""
    for parent, limit in _candidates():
        group = parent / f"epochal-drill-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(LIMIT_BYTES))
        except OSError:
            _remove(group)
            continue
        yield group
        _remove(group)
        return
    pytest.skip("not run: no permission to make a control group")


def _candidates() -> Iterator[tuple[Path, str]]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield Path("/sys/fs/cgroup") / path.lstrip("/"), "memory.max"
        elif controllers == "memory":
            yield Path("/sys/fs/cgroup/memory") / path.lstrip("/"), "memory.limit_in_bytes"


def _remove(group: Path) -> None:
    for _ in range(200):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # The sidecar is still in it.
            time.sleep(0.05)
        else:
            return


def test_a_kill_for_memory_is_recorded_as_one(train: Start, memory_group: Path) -> None:
    script = f"""
import os
open({str(memory_group / "cgroup.procs")!r}, "w").write(str(os.getpid()))
import epochal as wandb
wandb.init(project="drill")
wandb.log({{"loss": 1.0}})
import time
time.sleep(1.0)  # as long as the sidecar takes to look at the group for the first time
hoard = []
while True:
    hoard.append(bytearray(os.urandom(1 << 20)))
"""
    training = train(script)

    assert training.wait(60) == -9
    end = training.folder().end()
    assert (end["state"], end["signal"]) == ("killed", 9)
    assert end["reason"].startswith("Out of memory")
    assert training.folder().values("loss") == [1.0]
    training.stop()
