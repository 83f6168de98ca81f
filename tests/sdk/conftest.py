"""A run of its own for each SDK test, and a look at what it wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.runlog.format import RecordType
from epochal.runlog.reader import read_all
from epochal.sdk.process import process
from epochal.sdk.settings import Settings
from epochal.sdk.terminal import terminal

Record = list[Any]


@pytest.fixture(autouse=True)
def _fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test be the first thing that happens in its process, in an empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    terminal._said.clear()
    process.settings = Settings()
    yield
    for run in reversed(process.live()):
        run.finish(quiet=True)


@pytest.fixture
def run() -> epochal.Run:
    """A live run of the project `demo`."""
    return epochal.init(project="demo")


@pytest.fixture
def records() -> Callable[[epochal.Run | Path, RecordType], list[Record]]:
    """Return a function that gives all records of a kind in a run's folder, writer by writer."""

    def read(where: epochal.Run | Path, kind: RecordType) -> list[Record]:
        folder = where if isinstance(where, Path) else Path(where.sync_dir)
        found: list[Record] = []
        for path in sorted(folder.glob("*.runlog")):
            if not path.name.startswith("sidecar-"):
                found += [f.record for f in read_all(path)[0] if f.record[0] == kind]
        return found

    return read


@pytest.fixture
def rows(
    records: Callable[[epochal.Run | Path, RecordType], list[Record]],
) -> Callable[[epochal.Run | Path], dict[int, dict[str, Any]]]:
    """Return a function that gives the rows of a run by step, parts of one step merged."""

    def read(where: epochal.Run | Path) -> dict[int, dict[str, Any]]:
        merged: dict[int, dict[str, Any]] = {}
        for _, _, step, data in records(where, RecordType.ROW):
            merged.setdefault(step, {}).update(data)
        return merged

    return read


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a Python program in a process of its own, killed after a minute."""

    def run_script(source: str, *args: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "script.py"
        path.write_text(source)
        return subprocess.run(
            [sys.executable, str(path), *args], capture_output=True, text=True, timeout=60, check=False
        )

    return run_script
