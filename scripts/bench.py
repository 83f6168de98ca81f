"""Runs the benchmarks one after the other and shows their tables: `make bench`, `make bench-peers`.

    python scripts/bench.py [NAME …] [--write]

With --write the tables go into docs/benchmarks.md, each with its command, so that anybody can repeat
what is claimed.  Names: see BENCHMARKS below; without any, all but `peers`, which installs five
trackers first.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"


class Benchmark(NamedTuple):
    """One script of bench/ and what it answers."""

    title: str
    command: tuple[str, ...]


BENCHMARKS = {
    "sdk": Benchmark("What Epochal costs the training", ("python", "bench/sdk/overhead.py")),
    "kill": Benchmark(
        "A thousand SIGKILLs: every row whose log() had returned is in the store, once",
        ("python", "bench/sdk/kills.py"),
    ),
    "server-kill": Benchmark(
        "Two hundred SIGKILLs of a server: every acknowledged row is there, once, in sound files",
        ("python", "bench/store/server_kills.py"),
    ),
    "server-mode": Benchmark(
        "What a server costs the training that is sent to it", ("python", "bench/sdk/server_mode.py")
    ),
    "live": Benchmark("From log() to the open page", ("node", "bench/web/live.mjs")),
    "ingest": Benchmark("Following run logs", ("python", "bench/ingest/watcher.py")),
    "server": Benchmark("What a server takes over HTTP", ("python", "bench/server/ingest.py")),
    "store": Benchmark("The metric store", ("python", "bench/store/metrics_store.py")),
    "runs": Benchmark("Queries over 100,000 runs", ("python", "bench/store/runs_query.py")),
    "store-ingest": Benchmark(
        "What the metric store costs while it takes runs in", ("python", "bench/store/ingest.py")
    ),
    "charts": Benchmark("Reading charts", ("python", "bench/store/charts.py")),
    "scan": Benchmark("Exact rows and keys out of the store", ("python", "bench/store/scan.py")),
    "peers": Benchmark("The same calls on published trackers", ("python", "bench/sdk/peers.py")),
}


def table_of(benchmark: Benchmark) -> str:
    """Run `benchmark`, showing what it prints, and return its tables and notes.

    Raises:
        subprocess.CalledProcessError: it failed, or found what must not be.
    """
    # Node.js may be a Python package here, which only webapp.py knows.
    programs = {"python": [sys.executable], "node": [sys.executable, "scripts/webapp.py", "node"]}
    program, *rest = benchmark.command
    command = [*programs[program], *rest]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    kept = []
    for line in process.stdout:
        print(line, end="", flush=True)
        kept.append(line)
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    first = next((i for i, line in enumerate(kept) if line.startswith("|")), len(kept))
    return "".join(kept[first:]).strip()


def section(name: str, table: str, today: str) -> str:
    benchmark = BENCHMARKS[name]
    return f"## {benchmark.title}\n\n`{' '.join(benchmark.command)}`, {today}\n\n{table}\n"


def write(sections: dict[str, str]) -> None:
    """Put `sections` into the page, in the order of BENCHMARKS; others stay as they are."""
    text = PAGE.read_text() if PAGE.exists() else ""
    old = {
        name: match.group(0).strip() + "\n"
        for name, benchmark in BENCHMARKS.items()
        if (match := re.search(rf"^## {re.escape(benchmark.title)}\n.*?(?=^## |\Z)", text, re.M | re.S))
    }
    parts = [sections.get(name) or old.get(name) for name in BENCHMARKS]
    PAGE.write_text("\n".join([_introduction(), *filter(None, parts)]))


def _introduction() -> str:
    return (
        "# Benchmarks\n\n"
        "Every figure is the median of repeats, with its floor or its rival measured in the same run.\n"
        "`make bench` and `make bench-peers` print these tables on your machine;\n"
        "`python scripts/bench.py --write` writes this page.\n\n"
        f"The figures below: {os.cpu_count()} cores of a shared virtual machine, Linux, "
        f"Python {platform.python_version()}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which (default all but peers)")
    parser.add_argument("--write", action="store_true", help="also write docs/benchmarks.md")
    arguments = parser.parse_args()
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    sections = {}
    for name in arguments.names or [name for name in BENCHMARKS if name != "peers"]:
        print(f"\n{BENCHMARKS[name].title}\n", flush=True)
        sections[name] = section(name, table_of(BENCHMARKS[name]), today)
        if arguments.write:
            write(sections)


if __name__ == "__main__":
    main()
