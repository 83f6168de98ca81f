"""A repair of a whole data folder: what is lost is on record, what run logs still have comes back."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from epochal.care.check import check_folder
from epochal.care.repair import repair_folder
from epochal.ids import RunId, WriterId
from epochal.ingest.watcher import Watcher
from epochal.runlog.folder import new_run_folder
from epochal.runlog.format import Header
from epochal.runlog.writer import RunLogWriter
from epochal.server.data_folder import DataFolder
from epochal.store.metrics.embedded.check import check_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.care.conftest import Folder

LOSE_A_CHUNK = (
    "UPDATE chunks SET body = zeroblob(9) WHERE level = 0 AND chunk_no = (SELECT min(chunk_no) FROM chunks "
    "JOIN series USING (series_no) JOIN runs USING (run_no) WHERE key = 'loss' AND run_id = 'r1')"
)


def repair(folder: Folder, runs_folder: Path | None = None) -> list[str]:
    folders = [] if runs_folder is None else [runs_folder]
    return repair_folder(folder.path, runs_folders=folders, stamp="now")


def strip(folder: Folder) -> None:
    """Take the rows out of blocks, as a server does for what its metadata has."""
    with folder.opened() as (_, stores, ingest):
        with stores.use("1.db") as store:
            for run in ("r1", "r2"):
                store.release(RunId(run), WriterId("w1"), 1 << 40)
        ingest.accept([folder.log("r1", 1), folder.log("r2", 1)])
    folder.sql("UPDATE writers SET released = end_offset")
    folder.compact()
    with folder.opened() as (_, _, ingest):
        ingest.accept([folder.log("r1", 1), folder.log("r2", 1)])
    folder.compact()


def test_a_sound_folder_is_left_as_it_is(folder: Folder) -> None:
    assert repair(folder) == []
    assert not (folder.path / "repaired").exists()


def test_what_is_lost_is_on_record_with_its_run(folder: Folder) -> None:
    strip(folder)
    before = dict(folder.losses("r1"))
    folder.sql(LOSE_A_CHUNK)

    done = repair(folder)

    assert any("are lost" in what for what in done)
    assert check_folder(folder.path).n_problems == 0
    after = dict(folder.losses("r1"))
    assert after.items() < before.items()
    with folder.opened() as (metadata, _, _):
        run = metadata.runs.get("local", "p", "r1")
        assert run is not None
        (loss,) = metadata.losses.of_run(run.key)
    assert loss.reason == (
        f"{len(before) - len(after)} points of 'loss' (history) from step 0 to "
        f"{min(after) - 1} were damaged in the store"
    )
    assert repair(folder) == []


def test_a_run_whose_metadata_is_ahead_goes_on_from_its_history(folder: Folder) -> None:
    folder.sql("UPDATE writers SET applied_offset = applied_offset + 1000 WHERE run_key = 1", "metadata.db")
    assert check_folder(folder.path).n_problems == 1

    repair(folder)

    assert check_folder(folder.path).n_problems == 0
    with folder.opened() as (_, _, ingest):
        block = folder.log("r1", 5)
        assert ingest.accept([block])[block.run_id, block.writer] == block.end_offset


@pytest.mark.parametrize("seed", range(10))
def test_a_file_that_sqlite_cannot_read_is_made_anew_from_what_it_can(folder: Folder, seed: int) -> None:
    strip(folder)
    before = {run: dict(folder.losses(run)) for run in ("r1", "r2")}
    path = folder.path / "projects" / "1.db"
    content, rng = bytearray(path.read_bytes()), random.Random(seed)
    while not any(problem.kind == "file" for problem in check_file(path)):
        at = rng.randrange(8192, len(content) - 8192)
        content[at : at + 4096] = rng.randbytes(4096)
        path.write_bytes(content)

    done = repair(folder)

    assert any("made anew" in what for what in done)
    left = check_folder(folder.path)
    assert {p.what for f in left.files for p in f.problems} <= {
        "its history is there, and the metadata does not know it"
    }
    for run in ("r1", "r2"):
        assert dict(folder.losses(run)).items() <= before[run].items()
    assert (folder.path / "repaired" / "now-1.damaged.db").is_file()
    with folder.opened() as (_, _, ingest):  # and both can go on
        for run in ("r1", "r2"):
            ingest.accept([folder.log(run, 5)])


@pytest.fixture
def logged(folder: Folder, tmp_path: Path) -> Path:
    """Log the run r9 to a run log, take it in, and return the folder of its runs."""
    runs_folder = tmp_path / "runs"
    session = new_run_folder(runs_folder, "r9", mode="online", now=1e9)
    header = Header(run_id="r9", project="p", entity=None, writer="w9", kind="primary", start_time=1e9)
    writer = RunLogWriter(session / "w9.runlog", header)
    for step in range(300):
        writer.append(msgspec.msgpack.encode([1, 1e9 + step, step, {"loss": 1 / (1 + step)}]))
    writer.close()
    take_in(folder, runs_folder)
    folder.compact()
    return runs_folder


def take_in(folder: Folder, runs_folder: Path) -> None:
    with folder.opened() as (metadata, _, ingest):
        watcher = Watcher(ingest, lambda: [runs_folder], metadata.writers.finished_paths())
        while watcher.poll():
            pass
        watcher.stop()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET body = zeroblob(9)",
        "UPDATE runs SET run_id = NULL WHERE run_id = 'r9'",
    ],
)
def test_a_run_whose_run_logs_are_here_comes_back_whole(folder: Folder, logged: Path, statement: str) -> None:
    before = folder.losses("r9")
    folder.sql("UPDATE writers SET released = end_offset")
    folder.compact()
    folder.sql("DELETE FROM blocks")
    folder.sql(statement)

    done = repair(folder, logged)
    take_in(folder, logged)

    assert any("r9: it will be taken in again" in what for what in done), done
    assert folder.losses("r9") == before
    with folder.opened() as (metadata, _, _):
        run = metadata.runs.get("local", "p", "r9")
        assert run is not None
        assert (run.n_rows, run.last_step) == (300, 299)
        assert metadata.losses.of_run(run.key) == []


def command(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "epochal.cli.main", "store", *arguments, "--data-dir", str(folder.path)]
    environment = os.environ | {"EPOCHAL_HOME": str(folder.path.parent)}
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def test_the_command_repairs_and_says_what_it_did(folder: Folder) -> None:
    folder.sql("UPDATE runs SET n_bytes = 1")

    first, second = command(folder, "repair"), command(folder, "repair")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "run r1: its size was counted anew" in first.stdout
    assert first.stdout.splitlines()[-1] == "All is sound."
    assert "There is nothing to repair." in second.stdout


def test_the_folder_of_a_running_server_is_not_touched(folder: Folder) -> None:
    owner = DataFolder(folder.path)

    refused = command(folder, "repair")

    owner.close()
    assert refused.returncode == 1
    assert "in use" in refused.stderr
