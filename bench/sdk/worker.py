"""One measurement in a process of its own: `python worker.py TRACKER CASE FOLDER`, JSON on standard output.

Standard library and the tracker only, because it runs inside each tracker's own environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from trackers import TRACKERS


class Tracker(Protocol):
    def start(self, folder: Path) -> None: ...
    def log(self, data: dict[str, float]) -> object: ...
    def finish(self) -> None: ...


FIVE = {"train/loss": 0.6931, "train/accuracy": 0.5, "lr": 0.001, "grad_norm": 1.75, "epoch": 3.0}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Return the quantiles of `seconds` in microseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e6

    return {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": ordered[-1] * 1e6}


def timed_calls(
    log: Callable[[dict[str, float]], object], data: dict[str, float], n: int, pace_s: float
) -> list[float]:
    """Return the seconds of each of `n` calls, `pace_s` apart."""
    taken = []
    for i in range(n):
        row = {key: value + i * 1e-6 for key, value in data.items()}
        began = perf_counter()
        log(row)
        taken.append(perf_counter() - began)
        if pace_s:
            time.sleep(pace_s)
    return taken


def wide(n: int) -> dict[str, float]:
    return {f"layer.{i // 10}/weight_{i % 10}/norm": i * 1.1 for i in range(n)}


def rss_mib() -> float:
    """Return this process's resident memory in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def case_back_to_back(tracker: Tracker) -> dict[str, Any]:
    return quantiles(timed_calls(tracker.log, FIVE, 5_000, 0))


def case_paced(tracker: Tracker) -> dict[str, Any]:
    return quantiles(timed_calls(tracker.log, FIVE, 150, 0.02))


def case_wide_1000(tracker: Tracker) -> dict[str, Any]:
    return quantiles(timed_calls(tracker.log, wide(1_000), 100, 0))


def case_wide_10000(tracker: Tracker) -> dict[str, Any]:
    return quantiles(timed_calls(tracker.log, wide(10_000), 20, 0))


def case_burst(tracker: Tracker) -> dict[str, Any]:
    """20,000 calls of 5 scalars, or as many as a minute takes.

    Whoever started this counts the CPU of everything below it.
    """
    began = perf_counter()
    n_calls = 0
    while n_calls < 20_000 and (n_calls % 100 or perf_counter() - began < 60):
        tracker.log(FIVE)
        n_calls += 1
    return {"calls_s": perf_counter() - began, "n_calls": n_calls}


CASES = {
    "back_to_back": case_back_to_back,
    "paced": case_paced,
    "wide_1000": case_wide_1000,
    "wide_10000": case_wide_10000,
    "burst": case_burst,
}


def main() -> None:
    name, case, folder = sys.argv[1:4]
    before = rss_mib()
    tracker: Tracker = TRACKERS[name]()
    began = perf_counter()
    tracker.start(Path(folder))
    tracker.log(FIVE)
    first_log_s = perf_counter() - began
    result = CASES[case](tracker)
    result |= {"first_log_ms": first_log_s * 1e3, "rss_mib": rss_mib() - before}
    began = perf_counter()
    tracker.finish()
    result["finish_s"] = perf_counter() - began
    # Some trackers write to standard output as they go: the result is the last line.
    sys.stdout.flush()
    os.write(1, b"\n" + json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
