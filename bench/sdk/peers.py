"""The same measurements on Epochal and on the published packages of its peers.

    python bench/sdk/peers.py [--rounds 3] [--only wandb,trackio] [--markdown FILE]

Every tracker has an environment of its own under .bench/ (made on first use), every measurement a
process of its own, and the trackers take turns, so that a noisy minute hits all of them.  Figures are
medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import become_subreaper, run, users_environment
from trackers import PACKAGES, TRACKERS

ROOT = Path(__file__).resolve().parents[2]
VENVS = ROOT / ".bench" / "venvs"
# MLflow takes seconds for what the others do in milliseconds: fewer rounds of its slow cases are enough.
CASES = ("back_to_back", "paced", "wide_1000", "wide_10000", "burst")

Result = dict[str, float]


def python_of(tracker: str) -> str:
    """Return the interpreter that has `tracker`, installing it first if need be."""
    if tracker in ("floor", "epochal"):
        return sys.executable
    python = VENVS / tracker / "bin" / "python"
    if not python.exists():
        print(f"installing {PACKAGES[tracker]} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENVS / tracker], check=True)
    has = subprocess.run([python, "-m", "pip", "show", "-q", tracker], capture_output=True, check=False)
    if has.returncode != 0:
        subprocess.run([python, "-m", "pip", "install", "-q", PACKAGES[tracker]], check=True)
    return str(python)


def measure(tracker: str, case: str) -> Result:
    """Run one measurement and return its figures, `cpu_s` of all its processes included."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{tracker}-"))
    try:
        done = run(
            [python_of(tracker), str(Path(__file__).with_name("worker.py")), tracker, case, str(folder)],
            env={**users_environment(), "HOME": str(folder)},
            cwd=folder,
            timeout_s=900,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode != 0:
        raise RuntimeError(f"{tracker} {case} ended with {done.returncode}: {done.stdout[-500:]}")
    result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    # Who does not get through 20,000 calls in a minute is measured on fewer, and counted up.
    scale = 20_000 / result["n_calls"] if "n_calls" in result else 1.0
    return {**result, "cpu_s": done.cpu_s * scale}


def collect(trackers: list[str], rounds: int) -> dict[tuple[str, str], list[Result]]:
    results: dict[tuple[str, str], list[Result]] = {}
    for number in range(rounds):
        for case in CASES:
            for tracker in trackers:
                try:
                    results.setdefault((tracker, case), []).append(measure(tracker, case))
                except (RuntimeError, TimeoutError) as error:
                    print(f"  {tracker} {case}: {error}", file=sys.stderr)
        print(f"round {number + 1} of {rounds} done", flush=True)
    return results


def table(results: dict[tuple[str, str], list[Result]], trackers: list[str]) -> str:
    """Return the figures as a Markdown table, one row a tracker."""
    columns = [
        ("5 scalars, p50 us", "back_to_back", "p50"),
        ("p99.9 us", "back_to_back", "p999"),
        ("50 calls a second, p50 us", "paced", "p50"),
        ("1,000 scalars, p50 us", "wide_1000", "p50"),
        ("10,000 scalars, p50 us", "wide_10000", "p50"),
        ("CPU of 20,000 calls, s", "burst", "cpu_s"),
        ("import, init, first log, ms", "burst", "first_log_ms"),
        ("finish, s", "burst", "finish_s"),
        ("memory added, MiB", "burst", "rss_mib"),
    ]
    lines = ["| | " + " | ".join(title for title, _, _ in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for tracker in trackers:
        cells = []
        for _, case, figure in columns:
            values = [r[figure] for r in results.get((tracker, case), [])]
            cells.append(
                f"{statistics.median(values):,.{2 if figure in ('cpu_s', 'finish_s') else 1}f}"
                if values
                else "–"
            )
        lines.append(f"| {tracker} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--only", default="", help="peers to take, separated by commas (default all)")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    chosen = [name for name in arguments.only.split(",") if name] or list(PACKAGES)
    trackers = [name for name in TRACKERS if name in ("floor", "epochal", *chosen)]
    become_subreaper()
    for tracker in trackers:
        python_of(tracker)
    text = table(collect(trackers, arguments.rounds), trackers)
    versions = ", ".join(PACKAGES[t] for t in trackers if t in PACKAGES)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    note = f"{machine}, medians of {arguments.rounds}; {versions}."
    print(f"\n{text}\n\n{note}")
    if arguments.markdown:
        arguments.markdown.write_text(f"{text}\n\n{note}\n")


if __name__ == "__main__":
    main()
