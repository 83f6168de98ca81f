from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epochal.ingest.watcher import MAX_FILE_BYTES, Watcher
from epochal.runlog.format import RecordType

if TYPE_CHECKING:
    from tests.ingest.conftest import DataFolder, RunLog

    NewLog = Callable[..., RunLog]
    NewWatcher = Callable[..., Watcher]


@pytest.fixture
def data(data: DataFolder) -> DataFolder:
    """The clock is the real one here: a watcher compares it with the times of files."""
    data.clock = time.time
    data.reopen()
    return data


@pytest.fixture
def new_watcher(data: DataFolder, runs_folder: Path) -> Iterator[NewWatcher]:
    """Return a function that makes a watcher, of the runs folder unless others are named."""
    watchers: list[Watcher] = []

    def make(
        folders: Callable[[], list[Path]] = lambda: [runs_folder], clock: Callable[[], float] = time.time
    ) -> Watcher:
        watcher = Watcher(data.ingest, folders, data.metadata.writers.finished_paths(), clock)
        watchers.append(watcher)
        return watcher

    yield make
    for watcher in watchers:
        watcher.stop()


def settle(watcher: Watcher) -> int:
    """Poll until nothing is left to do; return how often that took."""
    n = 1
    while watcher.poll():
        n += 1
    return n


def finish(log: RunLog, sidecar: RunLog | None = None) -> None:
    log.write(RecordType.EXIT, {"exit_code": 0})
    if sidecar is not None:
        sidecar.write(RecordType.EXIT, {"state": "finished", "exit_code": 0})


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_was_there_and_what_comes_is_taken_in(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    watcher = new_watcher()
    settle(watcher)
    assert data.rows() == [(0, {"loss": 1.0})]

    log.row(1, {"loss": 0.5})
    child = new_log(writer="child001", kind="secondary")
    child.unplaced(0, {"x": 1})
    other = new_log("r2", "writer02")
    other.row(0, {"y": 2})
    settle(watcher)

    assert data.rows() == [(0, {"loss": 1.0}), (1, {"loss": 0.5}), (2, {"x": 1})]
    assert data.rows("r2") == [(0, {"y": 2})]


def test_a_runs_folder_that_is_named_later_is_found(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher, tmp_path: Path
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    folders = [tmp_path / "not-there"]
    now = time.time()
    watcher = new_watcher(lambda: folders, lambda: now)
    settle(watcher)
    assert data.metadata.projects.count() == 0

    folders.append(log.path.parent.parent)
    now += 2.0
    settle(watcher)

    assert data.rows() == [(0, {"loss": 1.0})]


def test_the_thread_follows_a_run_until_it_is_stopped(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    log = new_log()
    watcher = new_watcher()
    watcher.start()
    try:
        for step in range(3):
            log.row(step, {"loss": 1.0})
            deadline = time.monotonic() + 30
            while (data.metadata.runs.get("local", "p", "r1") is None or data.run().n_rows <= step) and (
                time.monotonic() < deadline
            ):
                time.sleep(0.01)
    finally:
        watcher.stop()

    assert data.run().n_rows == 3
    assert {change.run for change in data.changes.all} == {"r1"}


def test_the_header_says_whose_run_log_it_is(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    log = new_log("r1", folder="run-20261122_101500-another")
    log.row(0, {"loss": 1.0})

    settle(new_watcher())

    assert data.rows("r1") == [(0, {"loss": 1.0})]
    assert data.metadata.runs.get("local", "p", "another") is None


@pytest.mark.parametrize(
    "content", [b"not a run log at all", b"EPOCHAL\x63" + b"x" * 50, b"EPOCHAL\x01" + b"\x05\x00\x00\x00" * 9]
)
def test_a_file_that_is_no_run_log_is_told_once_and_disturbs_nobody(
    data: DataFolder,
    new_log: NewLog,
    new_watcher: NewWatcher,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
) -> None:
    log, other = new_log(), new_log("r2", "writer02")
    foreign = log.path.with_name("zz.runlog")
    foreign.write_bytes(content)
    watcher = new_watcher()
    settle(watcher)
    log.row(0, {"loss": 1.0})
    other.row(0, {"loss": 2.0})
    settle(watcher)
    settle(watcher)

    assert data.rows() == [(0, {"loss": 1.0})]
    assert data.rows("r2") == [(0, {"loss": 2.0})]
    (warning,) = warnings(caplog)
    assert str(foreign) in warning
    (loss,) = data.metadata.losses.of_run(data.run().key)
    assert (loss.writer, loss.offset, loss.n_bytes) == ("zz", 0, len(content))
    assert data.metadata.losses.of_run(data.run("r2").key) == []


def test_a_foreign_file_is_put_on_record_though_it_was_seen_before_the_run_log(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher, runs_folder: Path
) -> None:
    foreign = runs_folder / "run-20261122_101500-r1" / "aa.runlog"
    foreign.parent.mkdir()
    foreign.write_bytes(b"not a run log at all")
    watcher = new_watcher()
    settle(watcher)

    log = new_log(folder=foreign.parent.name)
    log.row(0, {"loss": 1.0})
    settle(watcher)

    assert [loss.writer for loss in data.metadata.losses.of_run(data.run().key)] == ["aa"]


@pytest.mark.parametrize("kept_bytes", [0, 3, 8, 12, 60])
def test_a_run_log_that_is_just_beginning_is_waited_for(
    data: DataFolder,
    new_log: NewLog,
    new_watcher: NewWatcher,
    caplog: pytest.LogCaptureFixture,
    kept_bytes: int,
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    log.close()
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:kept_bytes])
    watcher = new_watcher()
    settle(watcher)

    with log.path.open("ab") as file:
        file.write(whole[kept_bytes:])
    settle(watcher)

    assert data.rows() == [(0, {"loss": 1.0})]
    assert warnings(caplog) == []


def test_a_torn_tail_is_read_once_it_is_whole(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    log.row(1, {"loss": 2.0})
    log.close()
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-5])
    watcher = new_watcher()
    settle(watcher)
    assert data.rows() == [(0, {"loss": 1.0})]

    log.path.write_bytes(whole)
    settle(watcher)

    assert data.rows() == [(0, {"loss": 1.0}), (1, {"loss": 2.0})]
    assert data.metadata.losses.of_run(data.run().key) == []


@pytest.mark.parametrize("project", ["a/b", "..", "x" * 5000])
def test_a_run_with_a_name_no_address_can_carry_is_told_and_disturbs_nobody(
    data: DataFolder,
    new_log: NewLog,
    new_watcher: NewWatcher,
    caplog: pytest.LogCaptureFixture,
    project: str,
) -> None:
    new_log("bad", "writer00", project=project).row(0, {"loss": 1.0})
    new_log("r1").row(0, {"loss": 2.0})

    settle(new_watcher())

    assert data.rows() == [(0, {"loss": 2.0})]
    assert data.metadata.projects.count() == 1
    assert "project name" in warnings(caplog)[0]


def test_a_folder_that_vanishes_and_comes_back_loses_nothing(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher, tmp_path: Path
) -> None:
    log, other = new_log(), new_log("r2", "writer02")
    log.row(0, {"loss": 1.0})
    now = time.time()
    watcher = new_watcher(clock=lambda: now)
    settle(watcher)

    away = tmp_path / "away"
    shutil.move(log.path.parent, away)
    other.row(0, {"y": 1})
    settle(watcher)
    assert data.rows("r2") == [(0, {"y": 1})]

    log.row(1, {"loss": 0.5})
    shutil.move(away, log.path.parent)
    now += 60.0
    settle(watcher)
    now += 60.0
    settle(watcher)
    assert data.rows() == [(0, {"loss": 1.0}), (1, {"loss": 0.5})]


def test_a_run_log_that_was_cut_or_replaced_gives_nothing_twice(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    log = new_log()
    for step in range(10):
        log.row(step, {"loss": float(step)})
    watcher = new_watcher()
    settle(watcher)

    log.path.write_bytes(log.path.read_bytes()[:-100])
    settle(watcher)
    replacement = new_log("r1", "writer02", folder="elsewhere")
    replacement.row(10, {"loss": 10.0})
    os.replace(replacement.path, log.path)  # noqa: PTH105
    settle(watcher)

    assert data.counts() == {"loss": 11}


def test_a_copied_run_folder_is_taken_in_once(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher, runs_folder: Path
) -> None:
    log = new_log()
    for step in range(10):
        log.row(step, {"loss": float(step)})
    shutil.copytree(log.path.parent, runs_folder / "run-20991231_000000-r1")
    log.row(10, {"loss": 10.0})

    watcher = new_watcher()
    settle(watcher)
    settle(watcher)

    assert data.counts() == {"loss": 11}


def test_a_finished_run_is_not_opened_again_not_even_after_a_restart(
    data: DataFolder,
    new_log: NewLog,
    new_watcher: NewWatcher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = new_log()
    sidecar = new_log(writer="sidecar-writer01", kind="sidecar")
    log.row(0, {"loss": 1.0})
    finish(log, sidecar)
    settle(new_watcher())
    assert data.metadata.writers.unfinished() == []

    # Whoever opens them now finds that they are no run logs.
    for path in (log.path, sidecar.path):
        path.write_bytes(b"x" * path.stat().st_size)
    data.reopen()
    settle(new_watcher())

    assert warnings(caplog) == []
    assert data.run().end_state == "finished"


def test_a_finished_run_that_grows_all_the_same_is_taken_in(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    """A forked child may outlive its parent."""
    log = new_log()
    finish(log, new_log(writer="sidecar-writer01", kind="sidecar"))
    now = time.time()
    watcher = new_watcher(clock=lambda: now)
    settle(watcher)
    new_log(writer="child001", kind="secondary").unplaced(0, {"late": 1})
    now += 121.0
    settle(watcher)
    assert data.rows() == [(0, {"late": 1})]

    log.row(5, {"later": 1})
    data.reopen()
    settle(new_watcher())
    assert data.rows() == [(0, {"late": 1}), (5, {"later": 1})]


def test_a_run_without_a_sidecar_is_finished_after_a_while(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    finish(new_log())
    now = time.time()
    watcher = new_watcher(clock=lambda: now)
    settle(watcher)
    assert len(data.metadata.writers.unfinished()) == 1

    for _ in range(5):
        now += 30.0
        settle(watcher)
    assert data.metadata.writers.unfinished() == []


def test_a_small_run_does_not_wait_for_a_large_one(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    large, small = new_log("large", "writer00"), new_log("small", "writer99")
    text = "x" * 100_000
    for step in range(60):
        large.row(step, {"text": text})
    small.row(0, {"loss": 1.0})
    assert large.path.stat().st_size > 2 * MAX_FILE_BYTES

    watcher = new_watcher()
    assert watcher.poll()
    assert data.rows("small") == [(0, {"loss": 1.0})]
    assert 0 < data.run("large").n_rows < 60

    settle(watcher)
    assert data.run("large").n_rows == 60


def test_a_project_that_cannot_be_stored_holds_nobody_up_and_is_tried_again(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    with data.metadata.write() as connection:
        key = data.metadata.projects.ensure(connection, "local", "first", now=1.0)
    obstacle = data.path / "projects" / f"{key}.db"
    obstacle.mkdir()
    first, second = new_log("r1", project="first"), new_log("r2", "writer02", project="second")
    first.row(0, {"a": 1})
    second.row(0, {"b": 2})
    now = time.time()
    watcher = new_watcher(clock=lambda: now)
    settle(watcher)
    assert data.rows("r2", "second") == [(0, {"b": 2})]
    n_warnings = len(warnings(caplog))
    assert n_warnings == 1

    now += 100
    settle(watcher)
    assert len(warnings(caplog)) == n_warnings, "the same trouble is told once"

    obstacle.rmdir()
    first.row(1, {"a": 2})
    now += 100
    settle(watcher)
    assert data.rows("r1", "first") == [(0, {"a": 1}), (1, {"a": 2})]


def test_many_runs_are_taken_in_with_few_files_open(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    for i in range(100):
        log = new_log(f"r{i}", f"writer{i:02}")
        log.row(0, {"loss": float(i)})
        log.close()
    watcher = new_watcher()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    settle(watcher)

    assert len(os.listdir("/proc/self/fd")) - before < 80  # noqa: PTH208
    assert [data.run(f"r{i}").summary for i in range(100)] == [{"loss": float(i)} for i in range(100)]


@pytest.mark.parametrize("at", [8, 9, 10, 11, 12, 20, 60])
def test_a_run_whose_only_run_log_has_a_damaged_header_is_shown_with_its_loss(
    at: int, data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    """Its sidecar's log says whose it is."""
    log = new_log()
    for step in range(10):
        log.row(step, {"loss": 1.0})
    damaged = bytearray(log.path.read_bytes())
    damaged[at] ^= 0xFF
    log.path.write_bytes(damaged)
    sidecar = new_log(writer="sidecar-00000001", kind="sidecar", watches="writer01")
    sidecar.write(RecordType.EXIT, {"state": "finished", "exit_code": 0})
    sidecar.close()

    settle(new_watcher())

    losses = data.metadata.losses.of_run(data.run().key)
    assert [(loss.writer, loss.offset, loss.n_bytes) for loss in losses] == [("writer01", 0, len(damaged))]


def test_what_a_full_disk_took_is_told_as_a_loss_of_the_run(
    data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    log.write(RecordType.LOST, {"n_records": 1_200, "reason": "the disk was full", "offset": 77})
    log.row(1, {"loss": 1.0})

    settle(new_watcher())

    [loss] = data.metadata.losses.of_run(data.run().key)
    assert (loss.writer, loss.offset, loss.n_bytes) == ("writer01", 77, 0)
    assert loss.reason == "1,200 records were never written: the disk was full"


@pytest.mark.parametrize("n_bytes", [0, 4, 30])
def test_a_run_whose_only_run_log_ends_in_its_header_is_shown(
    n_bytes: int, data: DataFolder, new_log: NewLog, new_watcher: NewWatcher
) -> None:
    log = new_log()
    log.path.write_bytes(log.path.read_bytes()[:n_bytes])
    sidecar = new_log(writer="sidecar-00000001", kind="sidecar", watches="writer01")
    sidecar.write(RecordType.EXIT, {"state": "killed", "signal": 9})

    settle(new_watcher())

    assert data.run().run_id == "r1"
