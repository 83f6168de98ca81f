"""A server that is killed at any moment of taking runs in has every row once when it runs again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epochal.ingest.watcher import Watcher

if TYPE_CHECKING:
    from tests.ingest.conftest import DataFolder, RunLog

    NewLog = Callable[..., RunLog]

SERVER = """
import sys
from pathlib import Path
from epochal.ingest.accept import Ingest
from epochal.ingest.watcher import Watcher
from epochal.query.live import ChangeFeed
from epochal.store.metadata import Metadata
from epochal.store.metrics.embedded.store import EmbeddedMetricStore
from epochal.store.metrics.stores import MetricStores

import epochal.ingest.watcher as watcher_module
watcher_module.MAX_FILE_BYTES = int(sys.argv[3])  # small bites: many moments to be killed in
data, runs = Path(sys.argv[1]), Path(sys.argv[2])
metadata = Metadata(data / "metadata.db")
ingest = Ingest(metadata, MetricStores(data / "projects", EmbeddedMetricStore), ChangeFeed())
watcher = Watcher(ingest, lambda: [runs], metadata.writers.finished_paths())
print("ready", flush=True)
while True:
    watcher.poll()
"""


def kill_while_it_works(data: Path, runs: Path, *, work: Callable[[], None], after_s: float) -> None:
    command = [sys.executable, "-c", SERVER, str(data), str(runs), "3000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        work()
        try:
            server.wait(after_s)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_server_killed_at_any_moment_has_every_row_once(
    data: DataFolder, new_log: NewLog, runs_folder: Path
) -> None:
    data.close()
    chance = random.Random(7)
    main = new_log()
    child = new_log(writer="child001", kind="secondary")
    other = new_log("r2", "writer02")
    main_steps: list[int] = []
    ordinals: list[int] = []

    def write_on() -> None:
        for _ in range(150):
            step = len(main_steps) * 3
            main.row(step, {"loss": float(step), "text": "x" * 40})
            main_steps.append(step)
            child.unplaced(len(ordinals), {"a": len(ordinals)})
            child.unplaced(len(ordinals), {"b": -len(ordinals)})
            ordinals.append(len(ordinals))
            other.row(step, {"y": step})

    for _ in range(8):
        kill_while_it_works(
            data.path, runs_folder, work=write_on, after_s=chance.choice([0.0, 0.02, 0.1, 0.3])
        )

    data.reopen()
    watcher = Watcher(data.ingest, lambda: [runs_folder], data.metadata.writers.finished_paths())
    while watcher.poll():
        pass
    watcher.stop()
    n = len(main_steps)
    assert data.counts() == {"loss": n, "text": n, "a": n, "b": n}
    assert data.counts("r2") == {"y": n}
    assert data.rows("r2") == [(step, {"y": step}) for step in main_steps]
    rows = data.rows()
    assert {step: row["loss"] for step, row in rows if "loss" in row} == {s: float(s) for s in main_steps}
    placed = [(row["a"], row["b"]) for _, row in rows if "a" in row or "b" in row]
    assert placed == [(i, -i) for i in ordinals], "both parts of every unplaced row are on one step, in order"
    assert data.run().n_rows == len(rows)
    assert data.run("r2").summary == {"y": main_steps[-1]}
