"""When the disk is full, the run logs keep what was logged, and it is taken in when there is room."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epochal.ingest.watcher import Watcher
from epochal.runlog.format import RecordType

if TYPE_CHECKING:
    from tests.ingest.conftest import Clock, DataFolder, RunLog


def limit_metadata(data: DataFolder, n_more_pages: int) -> None:
    """Let the metadata file grow by no more than that: SQLite then says what it says on a full disk."""
    with data.metadata.write() as connection:
        n_pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {n_pages + n_more_pages}")


@pytest.mark.parametrize("n_more_pages", [1, 4, 10])
def test_what_did_not_fit_is_taken_in_once_there_is_room(
    data: DataFolder,
    clock: Clock,
    runs_folder: Path,
    new_log: Callable[..., RunLog],
    caplog: pytest.LogCaptureFixture,
    n_more_pages: int,
) -> None:
    log = new_log()
    log.row(0, {"loss": 1.0})
    watcher = Watcher(data.ingest, lambda: [runs_folder], {}, clock)
    while watcher.poll():
        pass
    assert data.rows() == [(0, {"loss": 1.0})]

    limit_metadata(data, n_more_pages)
    for step in range(1, 4):
        log.row(step, {"loss": 1.0 / step})
        log.write(RecordType.CONFIG, {f"text{step}": "x" * 60_000})
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            clock.now += 60.0
            watcher.poll()
    said = [record.message for record in caplog.records if "disk is full" in record.message]
    assert len(said) == 1  # once, however often it is tried
    assert data.run().config == {}  # reading goes on

    limit_metadata(data, 1_000_000)
    for _ in range(5):
        clock.now += 60.0
        while watcher.poll():
            pass
    assert [step for step, _ in data.rows()] == [0, 1, 2, 3]
    assert data.counts() == {"loss": 4}
    assert sorted(data.run().config) == ["text1", "text2", "text3"]
    assert data.run().n_rows == 4
    watcher.stop()
