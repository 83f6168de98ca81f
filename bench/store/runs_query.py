"""How fast the runs of a large project are filtered, sorted, grouped and listed.

    python bench/store/runs_query.py [--runs N] [--folder DIR]

Builds a project of 100,000 runs with 50 config and 100 summary fields, writes its parts, and asks a mix of
questions while 1,000 of the runs log all the time, in the same process.  Beside the time that passes stands
the processor's, for a machine that others use too; the floor is one mask or sort by numpy of arrays as long.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from project import MODELS, NOW, live_updates, make_project

from epochal.query.groups import list_groups
from epochal.query.run_fields import list_fields
from epochal.query.runs import choose_runs, list_runs
from epochal.store.metadata import Metadata

N_LIVE = 1_000
LIVE_ROUND_S = 4.0  # in which each of them gets a new summary
ROUNDS = 40


class Question(NamedTuple):
    """One kind of question; `ask` takes a number that varies it."""

    name: str
    ask: Callable[[Metadata, random.Random], object]
    floor: Callable[[np.ndarray, np.ndarray], object]


def page(where: str | None = None, order: str = "-created_at", **asked: object) -> Callable[..., object]:
    """Return a question for the first 50 runs, with their summaries."""

    def ask(metadata: Metadata, rng: random.Random) -> object:
        number = rng.randrange(98)
        text = None if where is None else where.format(n=number, x=rng.random(), model=rng.choice(MODELS))
        return list_runs(
            metadata,
            1,
            now=NOW,
            chosen=choose_runs(where=text, **asked),  # type: ignore[arg-type]
            order=order.format(n=number),
            documents=["config", "summary"],
        )

    return ask


def groups(metadata: Metadata, rng: random.Random) -> object:
    return list_groups(
        metadata,
        1,
        ["config.model.name", "config.optimizer.name"],
        now=NOW,
        aggregates=["summary.acc", f"summary.metric{rng.randrange(98):02d}/value"],
        order="-mean(summary.acc)",
    )


def fields(metadata: Metadata, _: random.Random) -> object:
    return list_fields(metadata, 1, section="summary", prefix="metric1")


def masked_sort(numbers: np.ndarray, others: np.ndarray) -> object:
    return np.argsort(numbers[others > 0.5], kind="stable")


def only_sort(numbers: np.ndarray, _: np.ndarray) -> object:
    return np.argsort(numbers, kind="stable")


def only_mask(numbers: np.ndarray, others: np.ndarray) -> object:
    return np.flatnonzero((numbers > 0.5) & (others > 0.5))


QUESTIONS = [
    Question("newest 50", page(), only_sort),
    Question("by any summary field", page(order="-summary.metric{n:02d}/value"), only_sort),
    Question("by two fields", page(order="-config.model.name,+summary.acc"), only_sort),
    Question("by name", page(order="+display_name"), only_sort),
    Question("two numbers", page("config.lr > 0.01 and summary.metric{n:02d}/value > {x}"), only_mask),
    Question(
        "three of and/or/not, sorted by another",
        page(
            'config.model.name = "{model}" and (summary.acc > {x} or not state = finished)',
            "-summary.metric{n:02d}/value",
        ),
        masked_sort,
    ),
    Question("tags in a list", page('tags in ["best", "paper"] and config.amp = true'), only_mask),
    Question("regex on the name", page("name ~ /{model}.*otter-\\d*7$/"), only_mask),
    Question("part of the name", page(search="calm-otter-12"), only_mask),
    Question("what diverged", page("summary.loss = nan or summary.loss is null"), only_mask),
    Question("groups by two fields, two aggregates", groups, only_sort),
    Question("fields with a prefix", fields, only_mask),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, help="where to write, or what to use again")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        measure(arguments.folder, arguments.runs, arguments.rounds)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        make(folder, arguments.runs)
        # In a process of its own, so that its memory is that of the questions alone.
        again = [sys.executable, __file__, "--ask", "--folder", str(folder), "--runs", str(arguments.runs)]
        subprocess.run([*again, "--rounds", str(arguments.rounds)], check=True)


def make(folder: Path, n_runs: int) -> None:
    print(f"{n_runs:,} runs x 50 config and 100 summary fields; {os.cpu_count()} cores\n")
    print("| | | |\n| --- | ---: | --- |", flush=True)
    path = folder / "metadata.db"
    if path.exists():
        metadata = Metadata(path)
    else:
        began = time.perf_counter()
        metadata = make_project(path, n_runs)
        row("making the project", f"{time.perf_counter() - began:.0f} s", size(path))
    (folder / "fields.db").unlink(missing_ok=True)
    began = time.perf_counter()
    page("summary.acc > 0.5", "-summary.acc")(metadata, random.Random(1))
    row("first answer without parts", f"{time.perf_counter() - began:.2f} s", "out of the documents")
    began, used = time.perf_counter(), time.process_time()
    metadata.fields.build(1, pause=lambda _: None)
    took = f"{time.perf_counter() - began:.1f} s"
    row("writing all parts", took, f"CPU {time.process_time() - used:.1f} s, {size(folder / 'fields.db')}")
    metadata.close()


def measure(folder: Path, n_runs: int, rounds: int) -> None:
    began = time.perf_counter()
    metadata = Metadata(folder / "metadata.db")
    opened = time.perf_counter()
    page("summary.acc > 0.5", "-summary.acc")(metadata, random.Random(1))
    ended = time.perf_counter()
    opening = f"after opening in {1e3 * (opened - began):.0f} ms"
    row("first answer of a new process", f"{1e3 * (ended - opened):.0f} ms", opening)
    over = threading.Event()
    used: list[float] = []
    live = threading.Thread(target=write, args=(metadata, n_runs, over, used))
    live.start()
    rng = random.Random(2)
    times: dict[str, list[float]] = {question.name: [] for question in QUESTIONS}
    cpu: dict[str, list[float]] = {question.name: [] for question in QUESTIONS}
    for _ in range(rounds):
        for question in rng.sample(QUESTIONS, len(QUESTIONS)):
            began, used_s = time.perf_counter(), time.thread_time()
            question.ask(metadata, rng)
            times[question.name].append(time.perf_counter() - began)
            cpu[question.name].append(time.thread_time() - used_s)
            time.sleep(0.02)  # as people and pages ask, so that the runs change between two questions
    over.set()
    live.join()
    table(times, cpu)
    row("a run's new summary", f"{1e6 * statistics.median(used):.0f} us", "CPU of save and put")
    row("memory of the process", f"{peak_mb():.0f} MB", "the most, with all of it")
    metadata.close()


def write(metadata: Metadata, n_runs: int, over: threading.Event, used: list[float]) -> None:
    """Let the newest runs log."""
    updates = live_updates(metadata, list(range(max(1, n_runs - N_LIVE), n_runs)), random.Random(3))
    while not over.is_set():
        began = time.thread_time()
        next(updates)
        used.append((time.thread_time() - began) / 100)
        over.wait(LIVE_ROUND_S / (N_LIVE / 100))


def table(times: dict[str, list[float]], cpu: dict[str, list[float]]) -> None:
    rng = np.random.default_rng(1)
    numbers, others = rng.random(100_000), rng.random(100_000)
    print("\n| question | p50 ms | p95 ms | CPU p50 ms | CPU p95 ms | floor ms |\n| --- |" + " ---: |" * 5)
    for question in QUESTIONS:
        floor = min(timed(lambda q=question: q.floor(numbers, others)) for _ in range(5))  # type: ignore[misc]
        print(
            f"| {question.name} | {ms(times[question.name])} | {ms(cpu[question.name])} | {1e3 * floor:.1f} |"
        )
    every = [[t for of_one in kind.values() for t in of_one] for kind in (times, cpu)]
    print(
        f"| **all of them** | {ms(every[0])} | {ms(every[1])} | |\n\n| | | |\n| --- | ---: | --- |",
        flush=True,
    )


def ms(seconds: Iterable[float]) -> str:
    p50, p95 = np.percentile(list(seconds), [50, 95])
    return f"{1e3 * p50:.0f} | {1e3 * p95:.0f}"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(name: str, value: str, note: str) -> None:
    print(f"| {name} | {value} | {note} |", flush=True)


def size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.0f} MB"


def peak_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return float(text.partition("VmHWM:")[2].split()[0]) / 1e3


if __name__ == "__main__":
    main()
