"""Blocks hold what the frames held, and say clearly when bytes are not a block."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import msgspec
import pytest
import zstandard

from epochal.errors import BlockError
from epochal.runlog.format import Header
from epochal.runlog.reader import Frame, LostRange, RunLogReader
from epochal.runlog.writer import RunLogWriter
from epochal.wire.block import Block, Column, Loss, decode, encode
from epochal.wire.build import build_block, header_frame


def header(kind: str = "primary") -> Header:
    return Header(run_id="r1", project="p", entity=None, writer="w1", kind=kind, start_time=1.0)  # type: ignore[arg-type]


def block_of(path: Path, records: list[tuple[object, ...]], *, damage: int | None = None) -> Block:
    writer = RunLogWriter(path, header())
    for record in records:
        writer.append(msgspec.msgpack.encode(record))
    writer.close()
    if damage is not None:
        data = bytearray(path.read_bytes())
        data[damage] ^= 1
        path.write_bytes(data)
    with RunLogReader(path) as reader:
        frames: list[Frame] = []
        losses: list[LostRange] = []
        while got := reader.read():
            if not got[0] and not got[1]:
                break
            frames += got[0]
            losses += got[1]
        return build_block(
            reader.header,
            frames,
            losses,
            first_offset=reader.first_offset,
            end_offset=reader.offset,
        )


def test_rows_become_columns_and_other_records_keep_their_place(tmp_path: Path) -> None:
    block = block_of(
        tmp_path / "w.runlog",
        [
            (2, 1.0, {"lr": 0.1}, []),
            (1, 2.0, 0, {"loss": 0.5, "n": 3}),
            (1, 3.0, 1, {"loss": 0.25, "name": "x"}),
            (5, 3.5, "stdout", "hi\n"),
            (1, 4.0, 2, {"loss": 0.125, "ok": True}),
        ],
    )

    assert (block.n_rows, block.steps, block.unplaced) == (3, (0, 1), None)
    assert struct.unpack("<3d", block.times) == (2.0, 3.0, 4.0)
    assert block.columns == [
        Column("loss", "f", None, struct.pack("<3d", 0.5, 0.25, 0.125)),
        Column("n", "i", struct.pack("<I", 0), struct.pack("<q", 3)),
        Column("name", "v", struct.pack("<I", 1), ["x"]),
        Column("ok", "b", struct.pack("<I", 2), b"\x01"),
    ]
    assert block.records == [(0, [2, 1.0, {"lr": 0.1}, []]), (2, [5, 3.5, "stdout", "hi\n"])]


def test_a_block_survives_its_encoding(tmp_path: Path) -> None:
    block = block_of(
        tmp_path / "w.runlog", [(1, 1.0, s, {"a": float("inf"), "t": "é"}) for s in (5, 3, 3, 90)]
    )

    assert decode(encode(block)) == block
    assert block.steps == struct.pack("<4q", 5, 3, 3, 90)


def test_unplaced_rows_are_marked(tmp_path: Path) -> None:
    block = block_of(
        tmp_path / "w.runlog", [(13, 1.0, 0, {"a": 1.0}), (1, 1.0, 50, {"a": 2.0}), (13, 1.0, 1, {})]
    )

    assert block.unplaced == b"\x01\x00\x01"
    assert block.steps == struct.pack("<3q", 0, 50, 1)


def test_a_first_block_tells_the_header(tmp_path: Path) -> None:
    frame = header_frame(header(), 90)
    block = build_block(header(), [frame], [], first_offset=0, end_offset=90)

    ((row, record),) = decode(encode(block)).records
    assert (row, record[:2], frame.offset, frame.end) == (0, [0, 1.0], 8, 90)
    assert msgspec.convert(record[2], Header) == header()


def test_a_damaged_frame_is_told_in_the_block(tmp_path: Path) -> None:
    records: list[tuple[object, ...]] = [(1, 1.0, s, {"a": 1.0}) for s in range(3)]
    whole = block_of(tmp_path / "whole.runlog", records)

    block = block_of(tmp_path / "w.runlog", records, damage=whole.first_offset + 12)

    assert (block.first_offset, block.end_offset) == (whole.first_offset, whole.end_offset)
    assert block.steps == (1, 1)
    (loss,) = block.losses
    assert isinstance(loss, Loss)
    assert loss.offset == whole.first_offset


def test_rows_of_a_shape_no_version_writes_are_carried_along_as_records(tmp_path: Path) -> None:
    block = block_of(
        tmp_path / "w.runlog", [(1, 1.0, "five", {"a": 1}), (1, 1.0, 2**63, {"a": 1}), (1, 1.0, 1, {"a": 1})]
    )

    assert block.n_rows == 1
    assert [index for index, _ in block.records] == [0, 0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a block"),
        (b"PK\x03\x04....", "not a block"),
        (b"EPB\x02....", "version 2.*update"),
        (b"EPB\x01 not zstd", "damaged"),
        (b"EPB\x01" + zstandard.compress(b"\x93\x01\x02\x03"), "damaged"),
        (b"EPB\x01" + zstandard.compress(b"")[:6], "damaged"),
    ],
)
def test_bytes_that_are_no_block_are_refused_with_the_reason(data: bytes, says: str) -> None:
    with pytest.raises(BlockError, match=says):
        decode(data)


def test_a_block_cut_or_changed_anywhere_never_gives_another_block(tmp_path: Path) -> None:
    block = block_of(tmp_path / "w.runlog", [(1, 1.0, s, {"a": s * 0.5}) for s in range(20)])
    data = encode(block)

    for at in range(len(data)):
        with pytest.raises(BlockError):
            decode(data[:at])
        flipped = bytearray(data)
        flipped[at] ^= 0x20
        with contextlib.suppress(BlockError):  # a few bits of zstd's own header carry nothing
            assert decode(bytes(flipped)) == block
