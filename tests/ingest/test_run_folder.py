"""When a run folder is over, and when it only looks so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from epochal.ingest.run_folder import RunFolder
from epochal.ingest.run_log_file import RunLogFile
from epochal.ingest.watcher import MAX_FILE_BYTES
from epochal.runlog.format import RecordType

if TYPE_CHECKING:
    from tests.ingest.conftest import Clock, DataFolder, RunLog


def take_in(folder: RunFolder, file: RunLogFile, data: DataFolder) -> None:
    """Read and store what `file` has, as a round of the watcher does."""
    block = folder.read(file, data.ingest, MAX_FILE_BYTES)
    assert block is not None
    data.ingest.accept([block])
    file.accepted()


def test_a_run_is_not_over_while_rows_are_unread_whatever_its_sidecar_says(
    data: DataFolder, clock: Clock, new_log: Callable[..., RunLog]
) -> None:
    """A killed trainer's last rows come between the reading of its run log and of its sidecar's."""
    trainer = new_log()
    sidecar = new_log(writer="sidecar-00000001", kind="sidecar", watches="writer01")
    trainer.row(0, {"loss": 0.9})
    folder = RunFolder(trainer.path.parent, {})
    files = {file.path: file for file in folder.look(clock.now)}

    take_in(folder, files[trainer.path], data)
    trainer.row(1, {"loss": 0.7})
    sidecar.write(RecordType.EXIT, {"state": "killed", "signal": 9})
    take_in(folder, files[sidecar.path], data)

    assert not folder.is_over(clock.now)
    assert folder.look(clock.now) == [files[trainer.path]]
    take_in(folder, files[trainer.path], data)
    assert folder.is_over(clock.now)
    assert data.rows() == [(0, {"loss": 0.9}), (1, {"loss": 0.7})]


def test_a_folder_that_was_only_just_made_is_looked_at_again_at_once(
    clock: Clock, new_log: Callable[..., RunLog]
) -> None:
    """The watcher may come between the making of a run's folder and of its first file."""
    trainer = new_log()
    empty = trainer.path.with_name("run-20261122_000000-r2")
    empty.mkdir()
    folder = RunFolder(empty, {})

    assert folder.look(clock.now) == []

    assert not folder.is_done
    assert folder.next_look(clock.now) == clock.now
