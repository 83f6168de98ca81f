"""What Epochal costs the training it watches, each figure beside its floor.

    python bench/sdk/overhead.py [--rounds 5] [--calls 10000000]

Prints: import time; init until the first log; p50 and p99.9 of log() for 5, 1,000 and 10,000
scalars against msgspec + os.write of the same bytes; the paced call; the slow-down of a loop of 1 ms
steps; CPU of 20,000 calls over all processes until they are blocks; memory added, also after ten
million calls.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from processes import become_subreaper, run, users_environment

Row = tuple[str, str, str, str]  # what, figure, floor or rival, aim


def in_a_process(code: str, folder: Path, *arguments: str) -> dict[str, float]:
    """Run `code` in a fresh interpreter with its runs in `folder`; return the JSON it prints last."""
    env = {**users_environment(), "EPOCHAL_HOME": str(folder), "PYTHONPATH": str(Path(__file__).parent)}
    done = run([sys.executable, "-c", code, *arguments], env=env, cwd=folder, timeout_s=1200)
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stdout[-1000:]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "cpu_s": done.cpu_s}


CALLS = """
import json, sys, tempfile
from pathlib import Path
import worker
from trackers import TRACKERS

n_keys, n_calls = int(sys.argv[1]), int(sys.argv[2])
data = worker.FIVE if n_keys == 5 else worker.wide(n_keys)
both = {}
trackers = {name: TRACKERS[name]() for name in ("floor", "epochal")}
for name, tracker in trackers.items():
    tracker.start(Path(tempfile.mkdtemp(dir=".")))
    both[name] = []
if sys.argv[3:] == ["step metric"]:
    trackers["epochal"].run.define_metric("*", step_metric="global_step")
    trackers["epochal"].run.log({"global_step": 1})
# In turns of a tenth, so that a noisy moment hits both.
for _ in range(10):
    for name, tracker in trackers.items():
        both[name] += worker.timed_calls(tracker.log, data, n_calls // 10, 0)
trackers["epochal"].finish()
quantiles = {name: worker.quantiles(taken) for name, taken in both.items()}
print(json.dumps({f"{name}_{q}": v for name, qs in quantiles.items() for q, v in qs.items()}))
"""

PACED = """
import json, sys
from pathlib import Path
import worker
from trackers import TRACKERS
tracker = TRACKERS[sys.argv[1]]()
tracker.start(Path("."))
print(json.dumps(worker.quantiles(worker.timed_calls(tracker.log, worker.FIVE, 250, 0.02))))
tracker.finish()
"""

LOOP = """
import json
from pathlib import Path
from time import perf_counter
import epochal
from trackers import Floor

def step():
    until = perf_counter() + 0.001
    while perf_counter() < until:
        pass

def loop(n, log):
    began = perf_counter()
    for i in range(n):
        step()
        if log is not None:
            log({"loss": 0.5 / (i + 1), "accuracy": i * 1e-4, "lr": 1e-3, "grad_norm": 1.0, "epoch": 0.0})
    return perf_counter() - began

run = epochal.init(project="bench", settings={"silent": True})
floor = Floor()
floor.start(Path("."))
plain = logged = written = 0.0
for _ in range(10):
    plain += loop(300, None)
    logged += loop(300, run.log)
    written += loop(300, floor.log)
run.finish()
print(json.dumps({"slower": logged / plain - 1, "slower_floor": written / plain - 1}))
"""

FIRST_LOG = """
import json, sys
from time import perf_counter
before = perf_counter()
import epochal
imported = perf_counter()
run = epochal.init(project="bench", settings={"silent": True})
run.log({"loss": 1.0})
logged = perf_counter()
run.finish()
print(json.dumps({"import_ms": (imported - before) * 1e3, "first_log_ms": (logged - imported) * 1e3}))
"""

LONG_RUN = """
import json
import epochal, worker
run = epochal.init(project="bench", id="long", config={"lr": 0.1}, settings={"silent": True})
for _ in range(1_000_000):
    run.log(worker.FIVE)
import os
os.kill(os.getpid(), 9)
"""

RESUME = """
import json
from time import perf_counter
import epochal
began = perf_counter()
run = epochal.init(project="bench", id="long", resume="must", settings={"silent": True})
resumed = perf_counter()
assert (run.step, run.config.lr) == (1_000_000, 0.1), run.step
run.finish()
print(json.dumps({"init_ms": (resumed - began) * 1e3}))
"""

BURST = """
import json
import epochal, worker
run = epochal.init(project="bench", settings={"silent": True})
for _ in range(20_000):
    run.log(worker.FIVE)
run.finish()
print(json.dumps({}))
"""

MEMORY = """
import json, sys, time
import worker
before = worker.rss_mib()
import epochal
run = epochal.init(project="bench", settings={"silent": True})
n, marks = int(sys.argv[1]), []
for part in range(10):
    for i in range(n // 10):
        run.log({"loss": 0.5, "accuracy": 0.25, "lr": 1e-3, "grad_norm": 1.5, "epoch": 3.0})
    marks.append(worker.rss_mib() - before)
import psutil
mine = psutil.Process()
def is_ours(process):
    try:
        return "epochal" in " ".join(process.cmdline()) and process.pid != mine.pid
    except psutil.Error:
        return False
sidecars = [p for p in psutil.process_iter() if is_ours(p) and p.create_time() >= mine.create_time() - 1]
sidecar = sum(p.memory_info().rss for p in sidecars) / 2**20
run.finish()
print(json.dumps({"first": marks[0], "last": marks[-1], "most": max(marks), "sidecar": sidecar}))
"""


def conversion_cpu_s(folder: Path) -> float:
    """Return the CPU seconds that turning every run log below `folder` into encoded blocks takes."""
    from epochal.runlog.reader import RunLogReader
    from epochal.wire.block import encode
    from epochal.wire.build import block_of_batch

    began = time.process_time()
    for path in folder.rglob("*.runlog"):
        with RunLogReader(path) as reader:
            first = reader.first_offset
            while True:
                batch, losses = reader.read_batch()
                if not batch.payloads and not losses:
                    break
                block = block_of_batch(
                    reader.header, batch, losses, first_offset=first, end_offset=reader.offset
                )
                encode(block)
                first = reader.offset
    return time.process_time() - began


def repeated(measure: Callable[[Path], dict[str, float]], rounds: int) -> dict[str, float]:
    """Return the median of every figure over `rounds` runs, each in an empty folder."""
    results = []
    for _ in range(rounds):
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        try:
            results.append(measure(folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return {key: statistics.median(r[key] for r in results) for key in results[0]}


def calls(n_keys: int, n_calls: int, rounds: int, aim: str, *also: str) -> list[Row]:
    r = repeated(lambda folder: in_a_process(CALLS, folder, str(n_keys), str(n_calls), *also), rounds)
    factor = r["epochal_p50"] / r["floor_p50"]
    rows = [
        (
            ", ".join(
                [f"log() of {n_keys:,} scalars", *(f"with a {word} to be added" for word in also), "p50"]
            ),
            f"{r['epochal_p50']:.2f} us = {factor:.2f} x",
            f"{r['floor_p50']:.2f} us",
            aim,
        )
    ]
    if n_keys == 5 and not also:
        rows.append(("… p99.9", f"{r['epochal_p999']:.0f} us", f"{r['floor_p999']:.0f} us", "< 200 us"))
    return rows


def resumed(rounds: int) -> list[Row]:
    """Return what init() takes that goes on with a run of a million rows which was killed."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with contextlib.suppress(RuntimeError):  # It ends by SIGKILL.
            in_a_process(LONG_RUN, folder)
        taken = statistics.median(in_a_process(RESUME, folder)["init_ms"] for _ in range(rounds))
    finally:
        shutil.rmtree(folder)
    return [("init() that resumes a run of 1,000,000 rows", f"{taken:.1f} ms", "", "< 100 ms")]


def burst(rounds: int) -> list[Row]:
    def measure(folder: Path) -> dict[str, float]:
        done = in_a_process(BURST, folder)
        return {"processes": done["cpu_s"], "blocks": conversion_cpu_s(folder)}

    r = repeated(measure, rounds)
    idle = statistics.median(_bare_interpreter_cpu_s() for _ in range(rounds))
    return [
        (
            "CPU of 20,000 calls until they are blocks",
            f"{r['processes'] + r['blocks']:.3f} s"
            f" ({r['processes']:.3f} trainer and sidecar, {r['blocks']:.3f} blocks)",
            f"{idle:.3f} s: an interpreter that does nothing",
            "< 0.3 s",
        )
    ]


def _bare_interpreter_cpu_s() -> float:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        return run([sys.executable, "-c", "pass"], env=users_environment(), cwd=folder).cpu_s
    finally:
        shutil.rmtree(folder)


def all_rows(rounds: int, n_calls: int) -> list[Row]:
    rows: list[Row] = []
    first = repeated(lambda folder: in_a_process(FIRST_LOG, folder), max(rounds, 5))
    rows.append(("import epochal, warm", f"{first['import_ms']:.1f} ms", "", "< 50 ms"))
    rows.append(("init() until the first log() returned", f"{first['first_log_ms']:.1f} ms", "", "< 100 ms"))
    rows += calls(5, 20_000, rounds, "<= 2 x")
    rows += calls(1_000, 500, rounds, "<= 1.5 x")
    rows += calls(10_000, 100, rounds, "<= 1.5 x")
    rows += calls(5, 20_000, rounds, "<= 2 x", "step metric")
    rows += calls(1_000, 500, rounds, "<= 1.5 x", "step metric")
    paced = repeated(lambda folder: in_a_process(PACED, folder, "epochal"), rounds)
    floor = repeated(lambda folder: in_a_process(PACED, folder, "floor"), rounds)
    rows.append(
        ("log() at 50 calls a second, p50", f"{paced['p50']:.1f} us", f"{floor['p50']:.1f} us", "< 50 us")
    )
    loop = repeated(lambda folder: in_a_process(LOOP, folder), rounds)
    rows.append(
        (
            "slow-down of a loop of 1 ms steps",
            f"{loop['slower']:.2%}",
            f"{loop['slower_floor']:.2%}",
            "< 0.5 %",
        )
    )
    rows += burst(rounds)
    rows += resumed(rounds)
    memory = repeated(lambda folder: in_a_process(MEMORY, folder, str(n_calls)), 1)
    rows.append((f"memory added after {n_calls // 10:,} calls", f"{memory['first']:.1f} MiB", "", "< 10 MiB"))
    rows.append((f"… after {n_calls:,} calls", f"{memory['last']:.1f} MiB", "", "flat"))
    rows.append(("… with the sidecar", f"{memory['last'] + memory['sidecar']:.1f} MiB", "", "< 60 MiB"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="repeats of each measurement (default 5)")
    parser.add_argument(
        "--calls", type=int, default=10_000_000, help="calls of the memory test (default 10 million)"
    )
    arguments = parser.parse_args()
    become_subreaper()
    in_a_process(FIRST_LOG, Path(tempfile.mkdtemp(prefix="bench-")))  # compiled once: all are warm
    rows = [("", "Epochal", "floor", "aim"), *all_rows(arguments.rounds, arguments.calls)]
    print("| " + " | ".join(rows[0]) + " |\n|---|---|---|---|")
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
