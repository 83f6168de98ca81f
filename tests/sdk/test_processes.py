"""Threads, forked and spawned processes, and very many runs.  Each script runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from epochal.runlog.format import RecordType
from epochal.runlog.reader import read_all

Script = Callable[..., subprocess.CompletedProcess[str]]

BEGIN = """
import os, sys, threading
import epochal as wandb
run = wandb.init(project="demo", id="r1")
"""


def logs(home: Path, run_id: str = "r1") -> dict[str, list[list[Any]]]:
    """Return the records of every writer of a run, by the writer's kind and number."""
    found: dict[str, list[list[Any]]] = {}
    for path in sorted(home.glob(f"runs/*-{run_id}/*.runlog")):
        if path.name.startswith("sidecar-"):
            continue
        frames, report = read_all(path)
        kind = report.header.kind
        n = sum(key.startswith(kind) for key in found)
        found[f"{kind}{n}" if n else kind] = [f.record for f in frames]
    return found


def data(records: list[list[Any]], kind: RecordType = RecordType.ROW) -> list[tuple[int, dict[str, Any]]]:
    return [(r[2], r[3]) for r in records if r[0] == kind]


def test_threads_log_every_row_once_and_each_at_a_step_of_its_own(script: Script, epochal_home: Path) -> None:
    done = script(
        BEGIN
        + """
sys.setswitchinterval(1e-6)
def work(who):
    for i in range(2000):
        run.log({f"thread{who}": i})
threads = [threading.Thread(target=work, args=(w,)) for w in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert run.step == 16000
run.finish()
"""
    )

    assert done.returncode == 0, done.stderr
    rows = data(logs(epochal_home)["primary"])
    assert sorted(step for step, _ in rows) == list(range(16000))
    for who in range(8):
        assert sorted(d[f"thread{who}"] for _, d in rows if f"thread{who}" in d) == list(range(2000))


def test_rows_of_threads_that_name_steps_and_threads_that_do_not_never_share_one(
    script: Script, epochal_home: Path
) -> None:
    done = script(
        BEGIN
        + """
sys.setswitchinterval(1e-6)
def implicit():
    for i in range(3000):
        run.log({"x": 1})
def explicit():
    for i in range(300):
        run.log({"y": 1}, step=run.step + 1000, commit=True)
threads = [threading.Thread(target=t) for t in (implicit, explicit, implicit, implicit)]
[t.start() for t in threads]; [t.join() for t in threads]
run.finish()
"""
    )

    assert done.returncode == 0, done.stderr
    steps = [step for step, d in data(logs(epochal_home)["primary"]) if "x" in d]
    assert len(set(steps)) == len(steps) == 9000


def test_a_forked_child_writes_a_log_of_its_own(script: Script, epochal_home: Path) -> None:
    done = script(
        BEGIN
        + """
run.log({"parent": 1})
pid = os.fork()
if pid == 0:
    wandb.log({"child": 1}, commit=False)
    run.log({"child2": 2})
    run.log({"child": 3})
    run.log({"placed": 4}, step=50)
    run.summary["from_child"] = 5
    run.finish()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
run.log({"parent": 2})
print(run.summary["from_child"], run.summary["child"])
run.finish()
"""
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["5", "3"]
    found = logs(epochal_home)
    assert data(found["primary"]) == [(0, {"parent": 1}), (1, {"parent": 2})]
    unplaced = data(found["secondary"], RecordType.UNPLACED_ROW)
    assert unplaced == [(0, {"child": 1}), (0, {"child2": 2}), (1, {"child": 3})]
    assert data(found["secondary"]) == [(50, {"placed": 4})]
    ends = [r for records in found.values() for r in records if r[0] == RecordType.EXIT]
    assert len(ends) == 1


def test_a_child_that_logs_nothing_leaves_nothing(script: Script, epochal_home: Path) -> None:
    done = script(BEGIN + "pid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0); run.finish()")

    assert done.returncode == 0, done.stderr
    assert list(logs(epochal_home)) == ["primary"]


def test_init_in_a_forked_child_begins_a_run_of_its_own(script: Script, epochal_home: Path) -> None:
    done = script(
        BEGIN
        + """
pid = os.fork()
if pid == 0:
    other = wandb.init(project="demo", id="r2")
    assert other is not run and wandb.run is other
    wandb.log({"a": 1})
    other.finish()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
run.finish()
"""
    )

    assert done.returncode == 0, done.stderr
    assert data(logs(epochal_home, "r2")["primary"]) == [(0, {"a": 1})]
    assert list(logs(epochal_home)) == ["primary"]


def test_a_fork_in_the_middle_of_other_threads_calls_never_hangs(script: Script) -> None:
    """A child inherits locks as they were: one that another thread held would never be free again."""
    done = script(
        BEGIN
        + """
stop = threading.Event()
def work():
    while not stop.is_set():
        run.log({"a": 1})
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]
for _ in range(40):
    pid = os.fork()
    if pid == 0:
        run.log({"child": 1})
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set(); [t.join() for t in threads]
run.finish()
""",
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_log_to_the_run(method: str, script: Script, epochal_home: Path) -> None:
    done = script(
        """
import multiprocessing, sys
import epochal as wandb

def work(run, i):
    run.log({"worker": i})
    wandb.log({"again": i})

if __name__ == "__main__":
    run = wandb.init(project="demo", id="r1")
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=work, args=(run, i)) for i in range(3)]
    [w.start() for w in workers]; [w.join() for w in workers]
    assert [w.exitcode for w in workers] == [0, 0, 0]
    run.finish()
""",
        method,
    )

    assert done.returncode == 0, done.stderr
    found = logs(epochal_home)
    rows = [d for records in found.values() for _, d in data(records, RecordType.UNPLACED_ROW)]
    assert sorted(map(str, rows)) == sorted(str({k: i}) for k in ("worker", "again") for i in range(3))
    assert sum(name.startswith("secondary") for name in found) == 3


def test_a_process_attaches_to_a_run_by_its_id(script: Script, epochal_home: Path) -> None:
    done = script(
        BEGIN
        + """
import subprocess
other = "import epochal; run = epochal.attach('r1'); run.log({'other': 1}); print(run.project)"
assert subprocess.check_output([sys.executable, "-c", other], text=True).split() == ["demo"]
run.finish()
"""
    )

    assert done.returncode == 0, done.stderr
    assert data(logs(epochal_home)["secondary"], RecordType.UNPLACED_ROW) == [(0, {"other": 1})]


def test_rows_of_a_device_reach_the_log_of_a_spawned_worker(script: Script, epochal_home: Path) -> None:
    """A worker ends without running atexit, so the thread that waits for devices must be waited for."""
    pytest.importorskip("jax")
    done = script(
        """
import multiprocessing
import epochal as wandb

def work(run):
    import jax, jax.numpy as jnp
    start = jnp.full((300, 300), 0.5)
    slow = jax.jit(lambda m: jax.lax.fori_loop(0, 20, lambda _, m: jnp.tanh(m @ m), m).sum())
    run.log({"late": slow(start)})

if __name__ == "__main__":
    run = wandb.init(project="demo", id="r1")
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(run,))
    worker.start(); worker.join()
    run.finish()
"""
    )

    assert done.returncode == 0, done.stderr
    (row,) = data(logs(epochal_home)["secondary"], RecordType.UNPLACED_ROW)
    assert isinstance(row[1]["late"], float)


MANY = """
import os, resource, sys, threading
import epochal as wandb
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
def count():
    return len(os.listdir("/proc/self/fd")), threading.active_count()
n, first = int(sys.argv[1]), None
for i in range(n):
    run = wandb.init(project="demo", settings={"silent": True})
    run.log({"i": i})
    run.finish()
    first = first or count()
# Fewer is fine: the line to a sidecar that cannot keep up is given up.
assert all(now <= then for now, then in zip(count(), first)), (count(), first)
"""


def test_many_runs_in_one_process_leave_no_handle_and_no_thread(script: Script, epochal_home: Path) -> None:
    n = int(os.environ.get("MANY_RUNS", "500"))
    done = script(MANY, str(n))

    assert done.returncode == 0, done.stderr
    assert len(list((epochal_home / "runs").iterdir())) == n


def test_runs_that_are_live_together_are_independent(script: Script, epochal_home: Path) -> None:
    done = script(
        """
import threading
import epochal as wandb
def work(i):
    run = wandb.init(project="demo", id=f"r{i}", reinit="create_new")
    for j in range(100):
        run.log({"j": j})
    run.finish()
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert wandb.run is None
"""
    )

    assert done.returncode == 0, done.stderr
    for i in range(8):
        assert data(logs(epochal_home, f"r{i}")["primary"]) == [(j, {"j": j}) for j in range(100)]


def test_a_row_logged_in_a_signal_handler_is_kept(script: Script, epochal_home: Path) -> None:
    done = script(
        BEGIN
        + """
import signal
n = 0
def handler(*_):
    global n
    n += 1
    run.log({"signal": n})
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for i in range(20000):
    run.log({"loop": i})
signal.setitimer(signal.ITIMER_REAL, 0)
print(n)
run.finish()
"""
    )

    assert done.returncode == 0, done.stderr
    rows = data(logs(epochal_home)["primary"])
    assert sorted(step for step, _ in rows) == list(range(len(rows)))
    assert sum("loop" in d for _, d in rows) == 20000
    assert sum("signal" in d for _, d in rows) == int(done.stdout)


def test_a_run_without_finish_ends_with_its_process(script: Script, epochal_home: Path) -> None:
    done = script(BEGIN + 'run.log({"a": 1})')

    assert done.returncode == 0, done.stderr
    ends = [r[2] for r in logs(epochal_home)["primary"] if r[0] == RecordType.EXIT]
    assert [end["exit_code"] for end in ends] == [0]
