"""Training scripts as processes of their own, and what their run folders say afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from epochal.runlog.format import RecordType
from epochal.runlog.reader import IncompleteRunLogError, read_all

T = TypeVar("T")

PATIENCE_S = 30.0  # for what must happen at all, on a busy machine


def wait_for(look: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """Return what `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {patience_s:g} s in vain for {what}"
        time.sleep(0.02)
    return found


class Folder:
    """The folder of one session of a run, as anybody may read it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self, kind: RecordType, *, of_sidecar: bool) -> list[list[Any]]:
        """Return the records of `kind`, of the sidecar's files or of the others."""
        found = []
        for file in sorted(self.path.glob("*.runlog")):
            if file.name.startswith("sidecar-") == of_sidecar:
                try:
                    frames, report = read_all(file)
                except IncompleteRunLogError:
                    continue
                assert not report.losses
                found += [frame.record for frame in frames if frame.record[0] == kind]
        return found

    def end(self) -> dict[str, Any]:
        """Return the sidecar's exit record, waiting for it."""
        found: list[dict[str, Any]] = wait_for(
            lambda: [r[2] for r in self.records(RecordType.EXIT, of_sidecar=True)], f"the end in {self.path}"
        )
        return found[-1]

    def metadata(self) -> dict[str, Any]:
        """Return the metadata as the last records have it."""
        merged: dict[str, Any] = {}
        for record in self.records(RecordType.METADATA, of_sidecar=True):
            merged.update(record[2])
        return merged

    def values(self, key: str) -> list[Any]:
        """Return the values of `key` in all rows, of every writer, writer by writer."""
        rows = [r[3] for r in self.records(RecordType.ROW, of_sidecar=False)]
        rows += [r[3] for r in self.records(RecordType.UNPLACED_ROW, of_sidecar=False)]
        return [row[key] for row in rows if key in row]

    def console(self) -> str:
        """Return what the run captured of standard output."""
        return "".join(r[3] for r in self.records(RecordType.CONSOLE, of_sidecar=False) if r[2] == "stdout")


class Training:
    """A training script that runs, in a session of its own as a job has.

    Args:
        script: the program's text.
        folder: for the script and the runs' home.
    """

    def __init__(self, script: str, folder: Path, *options: str) -> None:
        self.home = folder / "home"
        path = folder / "train.py"
        path.write_text(textwrap.dedent(script))
        environ = {
            **os.environ,
            "EPOCHAL_HOME": str(self.home),
            "EPOCHAL_SIDECAR_LOG": str(folder / "sidecar.log"),
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, *options, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=folder,
            text=True,
            start_new_session=True,
        )
        self.output = self.errors = ""
        self._sidecar_log = folder / "sidecar.log"

    def read_line(self) -> str:
        """Return the next line that the script prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        return line.rstrip("\n")

    def tell(self, line: str) -> None:
        """Give the script a line to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for the end and return the exit code, negative for a signal."""
        output, self.errors = self.process.communicate(timeout=timeout_s)
        self.output += output
        return self.process.returncode

    def folders(self) -> list[Folder]:
        """Return the folders of its runs, oldest first."""
        return [Folder(path) for path in sorted((self.home / "runs").iterdir())]

    def folder(self) -> Folder:
        """Return the folder of its only run."""
        (folder,) = self.folders()
        return folder

    def sidecars(self) -> list[psutil.Process]:
        """Return its sidecars that run."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                # Not the shell that starts one, which has the same words behind its own.
                is_sidecar = words[1:2] == ["-I"] and any("epochal.sidecar" in word for word in words)
                is_ours = is_sidecar and str(self.process.pid) in words
                # Nor a program that one starts (git): until it is replaced, the fork has its parent's words.
                is_fork = process.ppid() in {sidecar.pid for sidecar in found}
                if is_ours and not is_fork and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def sidecar(self) -> psutil.Process:
        """Return its sidecar, waiting until it has begun with the run."""
        wait_for(lambda: any(self.home.glob("runs/*/sidecar-*.runlog")), "the sidecar's file")
        (sidecar,) = self.sidecars()
        return sidecar

    def next_sidecar(self, before: psutil.Process) -> psutil.Process:
        """Return the sidecar that came after `before`, waiting until it has begun with the run."""
        wait_for(lambda: len(list(self.home.glob("runs/*/sidecar-*.runlog"))) > 1, "another sidecar's file")
        (sidecar,) = [p for p in self.sidecars() if p.pid != before.pid]
        return sidecar

    def stop(self) -> None:
        """End what is left of it; fails if the sidecar does not leave by itself or had an accident."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        wait_for(lambda: not self.sidecars(), "the sidecar's end", patience_s=10.0)
        words = self._sidecar_log.read_text() if self._sidecar_log.exists() else ""
        assert words == "", words
        notes = list(self.home.glob("runs/*/sidecar-errors.txt"))
        assert not notes, notes[0].read_text()


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[..., Training]]:
    """Start training scripts; none of their processes is left 10 s after the test."""
    started: list[Training] = []

    def start(script: str, *options: str) -> Training:
        folder = tmp_path / f"job{len(started)}"
        folder.mkdir()
        started.append(Training(script, folder, *options))
        return started[-1]

    yield start
    for training in started:
        training.stop()
