"""System metrics, of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from epochal.sidecar.system.processes import ProcessTree, TreeReading, cpu_percent
from epochal.sidecar.system.sampler import Sampler

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and its child, as process ids."""
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    yield process.pid, int(process.stdout.readline())
    process.communicate()


def reading(seconds: dict[int, float], age: float = 10.0) -> TreeReading:
    return TreeReading(seconds, rss_bytes=0, n_threads=1, root_age_s=age, pids=frozenset(seconds))


def test_a_process_tree_is_the_process_and_what_it_started(family: tuple[int, int]) -> None:
    parent, child = family

    found = ProcessTree(parent).read()

    assert found.pids == {parent, child}
    assert found.rss_bytes >= psutil.Process(parent).memory_info().rss
    assert found.n_threads >= 2


def test_cpu_is_the_share_of_the_usable_cores_since_the_sample_before() -> None:
    before, after = reading({1: 5.0, 2: 1.0, 3: 9.0}), reading({1: 7.0, 2: 1.5, 4: 0.5})

    assert cpu_percent(before, after, elapsed_s=2.0, n_cores=4) == pytest.approx(100 * 3.0 / 2.0 / 4)


def test_the_first_sample_s_cpu_is_the_share_since_the_process_began() -> None:
    assert cpu_percent(None, reading({1: 5.0}, age=10.0), elapsed_s=0.0, n_cores=1) == 50.0


def test_a_sample_has_the_keys_that_charts_know() -> None:
    sampler = Sampler(os.getpid(), ["/"])

    found = sampler.sample(time.monotonic(), None)

    assert {
        "cpu",
        "proc.cpu.threads",
        "memory_percent",
        "proc.memory.rssMB",
        "proc.memory.percent",
        "proc.memory.availableMB",
        "disk./.usagePercent",
        "disk./.usageGB",
        "network.sent",
        "network.recv",
    } <= set(found)
    assert 0 < found["memory_percent"] <= 100
    assert found["proc.memory.rssMB"] == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.5)


def test_in_shared_mode_the_label_keeps_the_writers_apart() -> None:
    found = Sampler(os.getpid(), ["/"], label="rank1").sample(time.monotonic(), None)

    assert {key.rpartition("/l:")[2] for key in found} == {"rank1"}


def test_a_process_that_is_gone_gives_an_empty_sample() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    sampler = Sampler(process.pid, ["/"])

    process.communicate()

    assert sampler.sample(time.monotonic(), None) == {}
