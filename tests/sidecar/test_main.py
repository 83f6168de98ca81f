"""The sidecar's loop, in a thread of the test, with the test as its trainer."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import IncompleteRunLogError, read_all
from epochal.runlog.writer import RunLogWriter
from epochal.sidecar.main import IDLE_S, Sidecar
from epochal.sidecar.trainer import Trainer
from epochal.sidecar.watched_run import HEARTBEAT_EVERY_S


class Session:
    """A sidecar that serves this process, on a clock that can be put forward."""

    def __init__(self) -> None:
        self._skipped_s = 0.0
        self.line, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.sidecar = Sidecar(Trainer(os.getpid(), -1), theirs, -1, self.clock)
        self.thread = threading.Thread(target=self._serve, args=(theirs,), daemon=True)
        self.thread.start()

    def clock(self) -> float:
        return time.monotonic() + self._skipped_s

    def skip(self, seconds: float) -> None:
        self._skipped_s += seconds
        self.line.sendall(b"\n")  # It is asleep until something comes, or its own time.

    def send(self, **line: object) -> None:
        self.line.sendall(json.dumps(line).encode() + b"\n")

    def has_left(self, patience_s: float = 20.0) -> bool:
        self.thread.join(patience_s)
        return not self.thread.is_alive()

    def _serve(self, theirs: socket.socket) -> None:
        with theirs:
            self.sidecar.run()
            self.sidecar.stop()


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.line.close()
    assert session.has_left()


def new_run(folder: Path) -> Path:
    folder.mkdir()
    header = Header(run_id="r1", project="p", entity=None, writer="w1", kind="primary", start_time=1.0)
    writer = RunLogWriter(folder / "w1.runlog", header)
    writer.record(RecordType.EXIT, {"state": None, "exit_code": 0})
    writer.close()
    return folder


def records(folder: Path, kind: RecordType) -> list[list[object]]:
    found = []
    for path in folder.glob("sidecar-*.runlog"):
        with contextlib.suppress(IncompleteRunLogError):  # It has only just been made.
            found += [frame.record for frame in read_all(path)[0] if frame.record[0] == kind]
    return found


def wait_for(folder: Path, kind: RecordType, n: int = 1) -> None:
    deadline = time.monotonic() + 20
    while len(records(folder, kind)) < n:
        assert time.monotonic() < deadline, f"no {n} records {kind!r}"
        time.sleep(0.01)


def test_it_leaves_when_there_has_been_no_run_for_a_while(session: Session, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    session.send(open=str(folder), settings={"disable_git": True})
    session.send(close=str(folder))
    wait_for(folder, RecordType.EXIT)

    session.skip(IDLE_S - 10)
    assert not session.has_left(0.2)
    session.skip(20)

    assert session.has_left()
    with pytest.raises(BrokenPipeError):
        session.send(open=str(folder))


def test_it_stays_while_a_run_is_open_and_gives_signs_of_life(session: Session, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    session.send(open=str(folder), settings={"disable_git": True, "sampling_interval": 10.0})

    for n in range(1, 8):
        wait_for(folder, RecordType.HEARTBEAT, n)
        wait_for(folder, RecordType.SYSTEM, n)
        session.skip(HEARTBEAT_EVERY_S)

    assert not session.has_left(0.0)
    session.send(close=str(folder))
    wait_for(folder, RecordType.EXIT)


def test_a_run_without_metrics_and_metadata_has_none(session: Session, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    session.send(open=str(folder), settings={"disable_stats": True, "disable_meta": True})
    session.send(close=str(folder))
    wait_for(folder, RecordType.EXIT)

    assert records(folder, RecordType.SYSTEM) == []
    assert records(folder, RecordType.METADATA) == []


def test_a_folder_that_is_gone_or_holds_no_run_log_costs_the_other_runs_nothing(
    session: Session, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    folder = new_run(tmp_path / "run")
    for path in (tmp_path / "gone", tmp_path / "empty", folder):
        session.send(open=str(path), settings={"disable_git": True})
        session.send(close=str(path))
    wait_for(folder, RecordType.EXIT)

    assert [record[2]["state"] for record in records(folder, RecordType.EXIT)] == ["finished"]  # type: ignore[index]


def test_a_run_that_is_deleted_while_it_runs_costs_the_other_runs_nothing(
    session: Session, tmp_path: Path
) -> None:
    deleted, folder = new_run(tmp_path / "deleted"), new_run(tmp_path / "run")
    for path in (deleted, folder):
        session.send(open=str(path), settings={"disable_git": True})
        wait_for(path, RecordType.HEARTBEAT)
    shutil.rmtree(deleted)
    for _ in range(3):
        session.skip(HEARTBEAT_EVERY_S)
    for path in (deleted, folder):
        session.send(close=str(path))
    wait_for(folder, RecordType.EXIT)

    assert list(tmp_path.iterdir()) == [folder]


def test_a_run_log_damaged_at_its_beginning_still_gets_an_end(session: Session, tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    session.send(open=str(folder), settings={"disable_git": True})
    wait_for(folder, RecordType.HEARTBEAT)
    (folder / "child.runlog").write_bytes(b"\xff" * 100)
    for _ in range(3):
        session.skip(2.0)
        time.sleep(0.05)
    session.send(close=str(folder))
    wait_for(folder, RecordType.EXIT)

    assert not (folder / "sidecar-errors.txt").exists()


def test_it_goes_at_once_when_the_line_is_cut_and_no_run_is_open(session: Session) -> None:
    session.line.close()

    assert session.has_left(IDLE_S / 2)
