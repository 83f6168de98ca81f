"""Runs the test suites and adds them up: Python, web app, browser.

    python scripts/run_tests.py                    all three
    python scripts/run_tests.py python browser     some of them

Ends with every test that could not run and why, and one line: `N passed, N failed, N skipped`.  A suite that
broke before it could report is a failure, and a test that did not run is never counted as passed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parent))
import webapp

ROOT = Path(__file__).resolve().parent.parent


class NotRun(NamedTuple):
    """A test that could not run here, and why."""

    test: str
    reason: str


class Result(NamedTuple):
    """What one suite came to."""

    suite: str
    passed: int
    failed: int
    not_run: list[NotRun]
    seconds: float


def run_python(report: Path) -> int:
    """Run pytest on all cores; its report goes to `report`."""
    # By file: fixtures of a file (a built wheel, a live server) are then made once, in one process.
    workers = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", *workers, "-q", f"--junitxml={report}"]
    # Where CI is set, pytest shows every line of a difference: one list of rows was 120,000 lines of log.
    env = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def run_web(report: Path) -> int:
    """Run the web app's unit tests."""
    return _npm("test", report, {})


def run_browser(report: Path) -> int:
    """Run the browser tests against a real server.

    Raises:
        NothingToRunWithError: this machine has no Chromium.
    """
    chromium = find_chromium()
    if chromium is None:
        raise NothingToRunWithError(
            "no Chromium here; Debian's package is: apt-get install chromium "
            "(or name a program: CHROMIUM_BIN=/path/to/chromium)"
        )
    server = str(Path(sys.executable).parent / "epochal")
    return _npm("e2e", report, {"CHROMIUM_BIN": chromium, "EPOCHAL_BIN": server})


class NothingToRunWithError(Exception):
    """A suite needs something that this machine does not have."""


SUITES: dict[str, Callable[[Path], int]] = {"python": run_python, "web": run_web, "browser": run_browser}


def find_chromium() -> str | None:
    """Return the program for the browser tests, or None."""
    named = os.environ.get("CHROMIUM_BIN")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    return next((path for path in map(shutil.which, names) if path), None)


def run_suite(name: str, report: Path) -> Result:
    """Run one suite and read its report."""
    print(f"\n== {name} tests", flush=True)
    began = time.monotonic()
    try:
        exit_code = SUITES[name](report)
    except NothingToRunWithError as missing:
        return Result(name, 0, 0, [NotRun(f"all {name} tests", str(missing))], 0.0)
    except webapp.WebBuildError as error:
        print(error, file=sys.stderr)
        return Result(name, 0, 1, [], time.monotonic() - began)
    result = read_report(name, report, time.monotonic() - began)
    if exit_code != 0 and result.failed == 0:
        print(f"the {name} tests ended with exit code {exit_code} and no failed test", file=sys.stderr)
        result = result._replace(failed=1)
    if result.passed + result.failed + len(result.not_run) == 0:
        print(f"the {name} tests reported no test at all", file=sys.stderr)
        result = result._replace(failed=1)
    return result


def read_report(suite: str, report: Path, seconds: float) -> Result:
    """Count the tests in a JUnit report; an unreadable one is one failure."""
    passed, failed, not_run = 0, 0, []
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        print(f"the {suite} tests left no readable report: {error}", file=sys.stderr)
        return Result(suite, 0, 1, [], seconds)
    for case in cases:
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skipped is not None:
            name = f"{case.get('classname', '')} {case.get('name', '')}".strip()
            not_run.append(NotRun(name, skipped.get("message") or "no reason given"))
        else:
            passed += 1
    return Result(suite, passed, failed, not_run, seconds)


def print_totals(results: Sequence[Result]) -> None:
    """Print a line per suite, what did not run, and the closing line."""
    print("\n== all tests")
    for result in results:
        counts = f"{result.passed} passed, {result.failed} failed, {len(result.not_run)} skipped"
        print(f"{result.suite:8} {counts}  ({result.seconds:.0f} s)")
    not_run = [test for result in results for test in result.not_run]
    if not_run:
        print("\nNot run:")
    for test in not_run:
        print(f"- {test.test}: {test.reason}")
    passed, failed = sum(r.passed for r in results), sum(r.failed for r in results)
    print(f"\n{passed} passed, {failed} failed, {len(not_run)} skipped", flush=True)


def _npm(script: str, report: Path, environment: dict[str, str]) -> int:
    node = webapp.find_node() or webapp.install_node()
    webapp.install_packages(ROOT / "web", node)
    reporters = ["--reporter=default", "--reporter=junit", f"--outputFile.junit={report}"]
    command = [*node.npm, "run", "--silent", script, "--", *reporters]
    return subprocess.run(
        command, cwd=ROOT / "web", env={**node.environment(), **environment}, check=False
    ).returncode


def main() -> int:
    """Run what was asked for; 1 where anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(SUITES)}; all without any")
    asked = parser.parse_args().suites or list(SUITES)
    if unknown := set(asked) - set(SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="epochal-tests-") as folder:
        results = [run_suite(name, Path(folder) / f"{name}.xml") for name in asked]
    print_totals(results)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
