from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from epochal.runlog.format import Header, RecordType, frame
from epochal.runlog.writer import RunLogWriter
from epochal.sidecar.log_tail import LogTail

HEADER = Header(run_id="r1", project="p", entity=None, writer="w1", kind="primary", start_time=1.0)
WANTED = {RecordType.EXIT, RecordType.ATTRIBUTES}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w1.runlog"


@pytest.fixture
def writer(path: Path) -> RunLogWriter:
    return RunLogWriter(path, HEADER)


def types(records: list[list[object]]) -> list[object]:
    return [record[0] for record in records]


def test_wanted_records_come_once_and_in_order_while_the_file_grows(path: Path, writer: RunLogWriter) -> None:
    tail = LogTail(path, WANTED)
    writer.record(RecordType.ROW, 0, {"loss": 1.0})
    writer.record(RecordType.ATTRIBUTES, {"preempting": True})
    assert types(tail.advance()) == [RecordType.ATTRIBUTES]
    assert tail.advance() == []

    writer.record(RecordType.CONSOLE, "stdout", "x" * 3_000_000)  # longer than what is read at once
    writer.record(RecordType.EXIT, {"exit_code": 0})
    assert types(tail.advance()) == [RecordType.EXIT]
    tail.close()
    writer.close()


def test_a_record_that_is_still_being_written_is_waited_for(path: Path, writer: RunLogWriter) -> None:
    writer.record(RecordType.ROW, 0, {"loss": 1.0})
    tail = LogTail(path, WANTED)
    tail.advance()
    data = frame(msgspec.msgpack.encode([11, 1.0, {"exit_code": 3}]), writer.size)

    for n in range(len(data)):
        with path.open("ab") as file:
            assert tail.advance() == []
            file.write(data[n : n + 1])

    assert tail.advance() == [[11, 1.0, {"exit_code": 3}]]
    tail.close()
    writer.close()


@pytest.mark.parametrize("at", [0, 3, 5, 9, 30])
def test_damage_hides_only_the_frame_that_it_hits(path: Path, writer: RunLogWriter, at: int) -> None:
    start = writer.size
    writer.record(RecordType.ATTRIBUTES, {"name": "a damaged frame of some length"})
    for step in range(100):
        writer.record(RecordType.ROW, step, {"loss": 1.0})
    writer.record(RecordType.EXIT, {"exit_code": 1})
    writer.close()
    with path.open("r+b") as file:
        file.seek(start + at)
        file.write(b"\xff\xff")

    tail = LogTail(path, WANTED)
    found = tail.advance() or tail.last_records()

    assert types(found) == [RecordType.EXIT]
    tail.close()


def test_a_file_is_synced_when_it_grew_and_only_then(path: Path, writer: RunLogWriter) -> None:
    tail = LogTail(path, WANTED)

    assert tail.sync()
    assert not tail.sync()
    writer.record(RecordType.ROW, 0, {"loss": 1.0})
    assert tail.sync()
    tail.close()
    writer.close()
