"""The sample runs are real run logs, the same for the same seed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from epochal.runlog.format import RecordType
from epochal.runlog.reader import read_all

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_sample_runs.py"


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(SCRIPT), *arguments]


def records(folder: Path) -> dict[str, list[list[object]]]:
    """Return the records of each file without their wall times, by writer."""
    return {
        path.stem: [
            [f.record[0], *f.record[2:]] for f in read_all(path)[0] if f.record[0] != RecordType.HEADER
        ]
        for path in sorted(folder.glob("run-*/*.runlog"), key=lambda p: p.stem)
    }


def test_the_same_seed_writes_the_same_runs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        environ = os.environ | {"EPOCHAL_HOME": str(tmp_path / name)}
        subprocess.run(command("--runs", "3", "--steps", "40"), env=environ, check=True, capture_output=True)

    first, second = records(tmp_path / "a" / "runs"), records(tmp_path / "b" / "runs")
    assert len(first) == 6
    assert repr(first) == repr(second)  # as text, because NaN is not equal to itself


def test_interrupted_live_runs_say_that_they_were_killed(tmp_path: Path) -> None:
    environ = os.environ | {"EPOCHAL_HOME": str(tmp_path)}
    arguments = command("--runs", "2", "--live", "50", "--keys", "3", "--steps", "100000")
    process = subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE)
    try:
        while not any(p.stat().st_size > 2000 for p in tmp_path.glob("runs/*/*.runlog")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()

    ends = [r[1] for rows in records(tmp_path / "runs").values() for r in rows if r[0] == RecordType.EXIT]
    assert [end["state"] for end in ends if isinstance(end, dict)] == ["killed", "killed"]
