"""Offline run folders in every state, sent three times: every record that can be read is there, once.

DRILLS=full takes a thousand folders (`make drills`).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from epochal.errors import RunLogError
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import read_all
from epochal.runlog.writer import RunLogWriter

pytestmark = pytest.mark.slow

IS_FULL = os.environ.get("DRILLS") == "full"
N_WHOLE, N_CUT, N_GROWING, N_FLIPPED = (300, 300, 300, 100) if IS_FULL else (12, 12, 12, 4)
N_ROWS = 200
KEY = "epochal-aaaa"


class Folder(NamedTuple):
    """One offline run."""

    run: str
    path: Path  # of its run log


@pytest.mark.timeout(1800 if IS_FULL else 240)
def test_every_intact_record_arrives_once(peer: Any, epochal_home: Path) -> None:
    chance = random.Random(5)
    runs = epochal_home / "runs"
    folders = [_new_run(runs, f"whole{n}", N_ROWS) for n in range(N_WHOLE)]
    folders += [_cut(_new_run(runs, f"cut{n}", N_ROWS), chance) for n in range(N_CUT)]
    folders += [_flip(_new_run(runs, f"flipped{n}", N_ROWS), chance) for n in range(N_FLIPPED)]
    growing = [_begin(runs, f"growing{n}") for n in range(N_GROWING)]
    peer.fail_sometimes(0.05, 3)

    # The last third of each comes while they are sent, the last row after it.
    writing = threading.Thread(target=_grow, args=(growing,))
    writing.start()
    reports = [_sync(peer.url), _sync(peer.url)]
    writing.join()
    for writer in growing:
        writer.close()
    reports.append(_sync(peer.url))

    folders += [Folder(writer.path.parent.name.rpartition("-")[2], writer.path) for writer in growing]
    for folder in folders:
        assert peer.counts("i", folder.run) == _intact(folder.path), folder.run
    _check_losses(reports, folders)


def _check_losses(reports: list[dict[str, Any]], folders: list[Folder]) -> None:
    """What is damaged is named, once: a part that was sent is not reported again."""
    named = Counter(
        (Path(run["folder"]).name, lost["offset"])
        for report in reports
        for run in report["runs"]
        for lost in run["lost"]
    )
    expected = Counter[tuple[str, int]]()
    for folder in folders:
        try:
            _, report = read_all(folder.path)
        except RunLogError:
            continue
        expected.update((folder.path.parent.name, loss.offset) for loss in report.losses)
    assert named == expected


def _intact(path: Path) -> Counter[int]:
    try:
        frames, _ = read_all(path)
    except RunLogError:
        return Counter()
    return Counter(f.record[3]["i"] for f in frames if f.record[0] == RecordType.ROW)  # type: ignore[index]


def _begin(runs: Path, run: str) -> RunLogWriter:
    folder = runs / f"offline-run-20261122_101500-{run}"
    folder.mkdir(parents=True)
    header = Header(run_id=run, project="p", entity=None, writer=f"w-{run}", kind="primary", start_time=1.0)
    return RunLogWriter(folder / f"w-{run}.runlog", header)


def _new_run(runs: Path, run: str, n_rows: int) -> Folder:
    writer = _begin(runs, run)
    for i in range(n_rows):
        writer.record(RecordType.ROW, i, {"i": i, "text": "x" * (i * 37 % 100)})
    writer.close()
    return Folder(run, writer.path)


def _cut(folder: Folder, chance: random.Random) -> Folder:
    with folder.path.open("r+b") as file:
        file.truncate(chance.randrange(folder.path.stat().st_size))
    return folder


def _flip(folder: Folder, chance: random.Random) -> Folder:
    data = bytearray(folder.path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    folder.path.write_bytes(data)
    return folder


def _grow(writers: list[RunLogWriter]) -> None:
    for i in range(N_ROWS):
        for writer in writers:
            writer.record(RecordType.ROW, i, {"i": i})


def _sync(url: str) -> dict[str, Any]:
    environ = {**os.environ, "EPOCHAL_BASE_URL": url, "EPOCHAL_API_KEY": KEY}
    command = [sys.executable, "-m", "epochal.cli.main", "sync", "--json", "--patience", "30"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    return dict(json.loads(done.stdout))
