"""What is read back from run logs that are whole, torn, damaged, or not run logs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.errors import NewerRunLogError, NotARunLogError
from epochal.runlog.format import MAGIC, Header, frame
from epochal.runlog.reader import IncompleteRunLogError, RunLogReader, read_all
from epochal.runlog.writer import RunLogWriter

HEADER = Header(run_id="r1", project="p", entity=None, writer="w1", kind="primary", start_time=1.5)
ROWS: list[dict[str, object]] = [{"loss": 0.9}, {}, {"loss": 0.7, "note": "x" * 300}, {"loss": 0.6}]
encode = msgspec.msgpack.encode


def write_rows(path: Path, rows: list[dict[str, object]]) -> bytes:
    writer = RunLogWriter(path, HEADER)
    for step, row in enumerate(rows):
        writer.append(encode((1, 2.5, step, row)))
    writer.close()
    return path.read_bytes()


def rows_of(path: Path) -> list[object]:
    frames, _ = read_all(path)
    return [frame.record[3] for frame in frames if frame.record[0] == 1]


def test_rows_come_back_in_order_with_abutting_frames(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    write_rows(path, ROWS)

    frames, report = read_all(path)

    assert [f.record[2:] for f in frames] == [[step, row] for step, row in enumerate(ROWS)]
    assert [f.end for f in frames[:-1]] == [f.offset for f in frames[1:]]
    assert report.header == HEADER
    assert (report.losses, report.torn_bytes) == ([], 0)


def test_a_run_log_cut_at_any_byte_gives_back_its_first_rows(tmp_path: Path) -> None:
    whole = write_rows(tmp_path / "whole.runlog", ROWS)
    ends = [f.end for f in read_all(tmp_path / "whole.runlog")[0]]
    first = ends[0] - len(frame(encode((1, 2.5, 0, ROWS[0])), 0))
    path = tmp_path / "cut.runlog"

    for kept in range(len(whole) + 1):
        path.write_bytes(whole[:kept])
        if kept < first:
            with pytest.raises(IncompleteRunLogError):
                read_all(path)
            continue
        n_whole = sum(end <= kept for end in ends)
        frames, report = read_all(path)
        assert [f.record[3] for f in frames] == ROWS[:n_whole]
        assert report.losses == []
        assert report.torn_bytes == kept - ([first, *ends][n_whole])


def test_a_flipped_bit_anywhere_costs_the_frame_it_is_in_and_no_other(tmp_path: Path) -> None:
    whole = write_rows(tmp_path / "whole.runlog", ROWS)
    frames = read_all(tmp_path / "whole.runlog")[0]
    path = tmp_path / "flipped.runlog"

    for at in range(frames[0].offset, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        hit = next(i for i, f in enumerate(frames) if f.offset <= at < f.end)

        found, report = read_all(path)

        assert [f.record[3] for f in found] == [r for i, r in enumerate(ROWS) if i != hit]
        if hit < len(ROWS) - 1:
            (loss,) = report.losses
            assert (loss.offset, loss.n_bytes) == (frames[hit].offset, frames[hit].end - frames[hit].offset)
        else:  # Nothing follows, so nobody can tell damage from a write that is still going on.
            assert report.torn_bytes == frames[hit].end - frames[hit].offset


def test_bytes_of_a_frame_inside_a_logged_value_are_never_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    inner = b"".join(frame(encode((1, 2.5, 7, {"forged": 1})), offset) for offset in range(400))
    write_rows(path, [{"note": inner}, {"loss": 0.5}])
    first = read_all(path)[0][0]
    data = bytearray(path.read_bytes())
    data[first.offset] ^= 0xFF  # the outer length: the reader must search through the value
    path.write_bytes(data)

    rows = rows_of(path)

    assert {"loss": 0.5} in rows
    # One copy lies by construction at the offset it was made for only if the lengths line up; none does.
    assert [r for r in rows if r != {"loss": 0.5}] == []


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(
            st.text(max_size=8), st.floats() | st.text(max_size=30) | st.integers(-(2**63), 2**63)
        ),
        max_size=12,
    ),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
)
def test_reading_while_the_file_grows_gives_the_same_as_reading_it_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("grow")
    whole = write_rows(folder / "whole.runlog", rows)
    expected, _ = read_all(folder / "whole.runlog")
    header_end = len(write_rows(folder / "empty.runlog", []))
    path = folder / "growing.runlog"
    path.write_bytes(whole[:header_end])

    found = []
    with RunLogReader(path) as reader:
        for cut in [*sorted(cuts), len(whole)]:
            path.write_bytes(whole[: max(header_end, cut)])
            found += reader.read()[0]

    assert repr(found) == repr(expected)  # by text, for NaN is not equal to itself


def test_a_reader_goes_on_from_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    write_rows(path, ROWS)
    third = read_all(path)[0][2]

    with RunLogReader(path, third.offset) as reader:
        frames, _ = reader.read()

    assert [f.record[2] for f in frames] == [2, 3]


def test_small_reads_and_frames_larger_than_a_read_give_every_row(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    rows: list[dict[str, object]] = [{"v": "y" * n} for n in (1, 5000, 3, 100_000, 2)]
    write_rows(path, rows)

    found = []
    with RunLogReader(path) as reader:
        while more := reader.read(max_bytes=1000)[0]:
            found += more

    assert [f.record[3] for f in found] == rows


def test_zeros_after_a_power_loss_are_skipped_once_rows_follow(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    whole = write_rows(path, ROWS[:2])
    gap = whole + bytes(5000)
    late = frame(encode((1, 2.5, 9, {"late": 1})), len(gap))
    path.write_bytes(gap + late)

    frames, report = read_all(path)

    assert [f.record[2] for f in frames] == [0, 1, 9]
    assert [(loss.offset, loss.n_bytes) for loss in report.losses] == [(len(whole), 5000)]


def test_a_file_that_is_no_run_log_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.runlog"
    path.write_bytes(b"just some notes, nothing else")

    with pytest.raises(NotARunLogError, match=r"notes\.runlog is not a run log"):
        RunLogReader(path)


def test_a_run_log_whose_header_is_damaged_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    data = bytearray(write_rows(path, ROWS))
    data[20] ^= 0xFF
    path.write_bytes(data)

    with pytest.raises(NotARunLogError, match=r"w1\.runlog cannot be read[^$]*is damaged[^$]*restore"):
        RunLogReader(path)


def test_a_run_log_of_a_newer_version_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    data = bytearray(write_rows(path, ROWS))
    data[7] = 9
    path.write_bytes(data)

    with pytest.raises(NewerRunLogError, match=r"version 9[^$]*update Epochal"):
        RunLogReader(path)


def test_unknown_record_types_and_trailing_items_are_given_through(tmp_path: Path) -> None:
    path = tmp_path / "w1.runlog"
    writer = RunLogWriter(path, HEADER)
    writer.append(encode((31, 1.0, {"of": "the future"})))
    writer.append(encode((1, 1.0, 0, {"loss": 1.0}, "one item more")))
    writer.close()

    frames, report = read_all(path)

    assert [f.record[0] for f in frames] == [31, 1]
    assert report.losses == []


def test_the_magic_names_the_format_and_its_version() -> None:
    assert MAGIC == b"EPOCHAL\x01"
