"""Runs one training script of its own to its end, however that comes, and judges what is left of it.

The script says of every row that it is about to log it, and again when `log()` has returned.  So of a script
that was killed between the two it is known that the row may be there or not; every other row must be there,
once.  See life_cases.py for the scripts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from epochal.runlog.format import RecordType
from epochal.runlog.reader import IncompleteRunLogError, read_all

if TYPE_CHECKING:
    from tests.drills.server_kill import Server

HANG_S = 30.0  # from the start of the process to its end
IMPORT_S = 30.0  # more for one that imports torch in five processes, beside all the others of the drill
ORPHAN_S = 10.0  # from the end of the process to the end of everything it started
MARK = "EPOCHAL_DRILL_MARK"

PRELUDE = """\
import atexit, gc, multiprocessing, os, signal, sys, threading, time
# As a terminal starts a program; a test runner may have been started without some of them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
said = os.open(os.environ["DRILL_SAID"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def zombies():
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        found += fields[0] == "Z" and fields[1] == str(os.getpid())
    os.write(said, f"zombies {found}\\n".encode())

atexit.register(zombies)  # The first one in is the last one called.
import epochal as wandb

def log(i, run=None):
    key = f"p{os.getpid()}"
    os.write(said, f"? {key} {i}\\n".encode())
    (run or wandb).log({key: i})
    os.write(said, f"= {key} {i}\\n".encode())

def init(**arguments):
    settings = wandb.Settings(x_disable_stats=True, silent=True)
    return wandb.init(project="drill", settings=settings, **arguments)

def ready():
    print("ready", flush=True)
"""


class Case(NamedTuple):
    """A way for a training process to live and end."""

    name: str
    script: str  # behind PRELUDE
    exit_code: int = 0  # of the script without a tracker; negative for a signal
    act: Callable[[Job], None] | None = None  # done to it from outside
    n_rows: int = 1  # at least so many must be found, so that no case passes by doing nothing
    imports: str = ""  # a package that it needs


class Verdict(NamedTuple):
    """What one repetition came to; no faults is right."""

    faults: list[str]  # each begins with one word: hang, code, lost, twice, zombie, orphan, server, noise
    seconds: float  # that the process took
    leave_s: float  # until everything that it started was gone

    def kinds(self) -> set[str]:
        """Return the first words of the faults."""
        return {fault.split()[0].rstrip(":") for fault in self.faults}


class Job:
    """A training script that runs, in a session of its own.

    Args:
        script: the program's text, behind PRELUDE.
        folder: for the script and the runs' home.
        environ: what it gets beyond this process's environment.
    """

    def __init__(self, script: str, folder: Path, environ: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.mark = uuid.uuid4().hex
        (folder / "train.py").write_text(PRELUDE + script)
        own = {
            "EPOCHAL_HOME": str(folder / "home"),
            "DRILL_SAID": str(folder / "said"),
            "EPOCHAL_SIDECAR_LOG": str(folder / "sidecar.log"),
            MARK: self.mark,
        }
        self.began = time.monotonic()
        with (folder / "errors.txt").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(folder / "train.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environ, **own},
                cwd=folder,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Wait for the script's `ready()`."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == b"ready\n", (line, (self.folder / "errors.txt").read_text())

    def go_on(self) -> None:
        """Let the script's `sys.stdin.readline()` return."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it still lives."""
        self.process.send_signal(number)

    def sidecars(self) -> list[int]:
        """Return the ids of its sidecars."""
        return [
            pid for pid, words in self.left() if b"-I" in words and b"epochal.sidecar" in b" ".join(words)
        ]

    def left(self) -> Iterator[tuple[int, list[bytes]]]:
        """Yield id and command line of every process that it started, itself included."""
        mark = f"{MARK}={self.mark}".encode()
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (path / "environ").read_bytes().split(b"\0"):
                        yield int(path.name), (path / "cmdline").read_bytes().split(b"\0")

    def kill_all(self) -> None:
        """End whatever is left of it."""
        if self.process.poll() is None:
            self.process.kill()
        for pid, _ in self.left():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


Rows = dict[str, Counter[str]]
"""Of each run, how often a key had a value, written as `key value`."""


def run_case(case: Case, folder: Path, *, server: Server | None, url: str | None) -> Verdict:
    """Run `case` once and return what was wrong with it.

    Args:
        case: what is run.
        folder: that is not there yet.
        server: that lives and has to have the rows in the end, if there is one.
        url: of a server that the script is told of; nobody need be there.
    """
    environ = {}
    if url is not None:
        environ = {"EPOCHAL_BASE_URL": url, "EPOCHAL_API_KEY": server.key if server else "epochal-aaaa"}
    patience_s = HANG_S + (IMPORT_S if case.imports else 0.0)
    job = Job(case.script, folder, environ)
    faults: list[str] = []
    try:
        if case.act is not None:
            case.act(job)
        try:
            code = job.process.wait(max(0.1, patience_s - (time.monotonic() - job.began)))
        except subprocess.TimeoutExpired:
            faults.append(f"hang: not over after {patience_s:g} s")
            return Verdict(faults, patience_s, 0.0)
        ended = time.monotonic()
        if code != case.exit_code:
            faults.append(f"code {code}, not {case.exit_code}: {_tail(folder / 'errors.txt')}")
        leave_s = _wait_until_gone(job, ended, faults)
        _judge(case, folder, server, faults)
        return Verdict(faults, ended - job.began, leave_s)
    finally:
        job.kill_all()


def _wait_until_gone(job: Job, ended: float, faults: list[str]) -> float:
    while left := list(job.left()):
        if time.monotonic() - ended > ORPHAN_S:
            faults.append(f"orphan: {[b' '.join(words)[-80:] for _, words in left]}")
            break
        time.sleep(0.1)
    return time.monotonic() - ended


def _judge(case: Case, folder: Path, server: Server | None, faults: list[str]) -> None:
    intended, done, n_zombies = _said(folder / "said")
    by_run = rows_of(folder / "home" / "runs")
    found = sum(by_run.values(), Counter[str]())
    if n_zombies:
        faults.append(f"zombie: {n_zombies} at the end of the process")
    if lost := done - found:
        faults.append(f"lost: {_some(lost)}")
    if twice := found - intended:
        faults.append(f"twice: {_some(twice)}")
    if found.total() < case.n_rows:
        faults.append(f"lost: only {found.total()} rows of at least {case.n_rows}")
    if server is not None:
        for run, rows in by_run.items():
            if (there := _at_server(server, run, rows)) != rows:
                faults.append(f"server: of {run} lacks {_some(rows - there)}, has more {_some(there - rows)}")
    noise = _tail(folder / "sidecar.log") + "".join(
        _tail(note) for note in folder.glob("home/runs/*/sidecar-errors.txt")
    )
    if noise:
        faults.append(f"noise: {noise}")


def _said(path: Path) -> tuple[Counter[str], Counter[str], int]:
    """Return the rows about to be logged, those whose log() returned, and the number of zombies."""
    intended, done, n_zombies = Counter[str](), Counter[str](), 0
    # A kill may cut the last line: a write over the edge of a page is not one.
    for line in path.read_text().split("\n")[:-1]:
        kind, _, rest = line.partition(" ")
        if kind == "zombies":
            n_zombies += int(rest)
        else:
            (intended if kind == "?" else done)[rest] += 1
    return intended, done, n_zombies


def rows_of(runs: Path) -> Rows:
    """Return the rows in all run logs below `runs`, by run."""
    found: Rows = {}
    for path in runs.glob("*/*.runlog"):
        if path.name.startswith("sidecar-"):
            continue
        try:
            frames, report = read_all(path)
        except IncompleteRunLogError:
            continue
        assert not report.losses, report
        rows = found.setdefault(path.parent.name.rpartition("-")[2], Counter())
        for frame in frames:
            if frame.record[0] in (RecordType.ROW, RecordType.UNPLACED_ROW):
                values: dict[str, object] = frame.record[3]  # type: ignore[assignment]
                rows.update(f"{key} {value}" for key, value in values.items() if key.startswith("p"))
    return {run: rows for run, rows in found.items() if rows}


def _at_server(server: Server, run: str, rows: Counter[str]) -> Counter[str]:
    found = Counter[str]()
    for key in {row.partition(" ")[0] for row in rows}:
        query = {"entity": "local", "project": "drill", "run": run, "keys": key, "format": "jsonl"}
        try:
            lines = server.request(f"/api/history?{urllib.parse.urlencode(query)}").splitlines()
        except OSError:  # It has no such run.
            continue
        found.update(f"{key} {json.loads(line)[key]:g}" for line in lines)
    return found


def _some(rows: Counter[str]) -> str:
    return f"{rows.total()} rows {sorted(rows)[:5]}"


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:] if path.exists() else ""
