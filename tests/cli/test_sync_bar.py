"""The line that `epochal sync` shows says how much, how fast, and how long still."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from epochal.cli.sync_bar import Bar, duration, report_lines, size
from epochal.runlog.format import Header, RecordType
from epochal.runlog.writer import RunLogWriter
from epochal.upload.outgoing_folder import OutgoingFolder
from epochal.upload.sync import LostPart, RunReport


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def outgoing(tmp_path: Path) -> OutgoingFolder:
    header = Header(run_id="r", project="p", entity=None, writer="w", kind="primary", start_time=1.0)
    writer = RunLogWriter(tmp_path / "w.runlog", header)
    for i in range(1000):
        writer.record(RecordType.ROW, i, {"i": i})
    writer.close()
    return OutgoingFolder(tmp_path)


def test_it_shows_rows_bytes_rate_and_time_left(tmp_path: Path) -> None:
    folder, now = outgoing(tmp_path), [0.0]
    terminal = Terminal()
    bar = Bar(terminal, [folder], clock=lambda: now[0])
    (log,) = folder.logs
    while log.build(4096):
        pass
    half = next(built.end_offset for built in log.waiting if built.end_offset > log.size / 2)
    log.acknowledged(half)
    now[0] = 10.0

    bar.show(None)

    shown = terminal.getvalue()
    share = round(100 * half / log.size)
    assert f"{share}%" in shown
    assert f"{log.n_rows:,} rows" in shown
    assert f"{size(half)} at {size(half / 10)}/s" in shown
    assert "0:0" in shown
    assert "left" in shown
    bar.clear()
    assert terminal.getvalue().endswith("\r")


def test_nothing_is_written_where_nobody_sees_it(tmp_path: Path) -> None:
    stream = io.StringIO()
    bar = Bar(stream, [outgoing(tmp_path)])

    bar.show(None)
    bar.clear()

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00 min"), (75, "1:15 min"), (3600, "1 h 00 min"), (7290, "2 h 01 min")]
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_report_names_every_loss() -> None:
    lost = LostPart("w.runlog", 100, 20, "the checksum does not match")
    report = RunReport("/runs/a", "r", "p", "ada", 10, 500, 0, 0, [lost], None)

    lines = report_lines("https://x", [report], 0, 0, is_quiet=False)

    assert lines == [
        "10 rows of 1 run sent to https://x (500 bytes of run logs).",
        "/runs/a/w.runlog: 20 bytes at 100 lost: the checksum does not match",
    ]
