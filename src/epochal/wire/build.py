"""Builds blocks out of a run log's frames."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

import msgspec

from epochal.ids import RunId, WriterId
from epochal.runlog.format import MAGIC, Header, RecordType
from epochal.runlog.reader import Batch, Frame, LostRange
from epochal.wire.block import Block, Loss
from epochal.wire.gather import Gathered, gather, gather_records


def block_of_batch(
    header: Header,
    batch: Batch,
    losses: Sequence[LostRange],
    *,
    first_offset: int,
    end_offset: int,
) -> Block:
    """Return the block of `batch`, which is of all whole frames from `first_offset` to `end_offset`.

    Args:
        header: of the file; a block that begins at offset 0 gets it as its first record.
        batch: what the reader gave.
        losses: inside the range.
        first_offset: of the first frame, or of the loss that comes before it; 0 at the beginning.
        end_offset: where the reader goes on.
    """
    rows = gather(batch.payloads)
    if first_offset == 0:
        rows.records.insert(0, (0, header_frame(header, end_offset).record))
    return _block(header, rows, losses, first_offset, end_offset)


def build_block(
    header: Header,
    frames: Sequence[Frame],
    losses: Sequence[LostRange],
    *,
    first_offset: int,
    end_offset: int,
) -> Block:
    """Return the block of `frames`, as `block_of_batch`; the header is one of them."""
    rows = gather_records([frame.record for frame in frames])
    return _block(header, rows, losses, first_offset, end_offset)


def header_frame(header: Header, end_offset: int) -> Frame:
    """Return the frame of a file's header, which ends at `end_offset`.

    A writer's first block begins at offset 0 and has it as its first record, so that a store knows from
    the blocks alone when and where the writer began.
    """
    record = [int(RecordType.HEADER), header.start_time, msgspec.to_builtins(header)]
    return Frame(len(MAGIC), end_offset, record)


def _block(
    header: Header, rows: Gathered, losses: Sequence[LostRange], first_offset: int, end_offset: int
) -> Block:
    return Block(
        run_id=RunId(header.run_id),
        project=header.project,
        entity=header.entity,
        writer=WriterId(header.writer),
        kind=header.kind,
        first_offset=first_offset,
        end_offset=end_offset,
        n_rows=rows.n_rows,
        steps=_steps(rows.steps),
        times=_little_endian(rows.times),
        unplaced=rows.unplaced,
        columns=rows.columns,
        records=rows.records,
        losses=[Loss(*loss) for loss in losses],
    )


def _steps(steps: array[int]) -> tuple[int, int] | bytes:
    if not steps:
        return (0, 1)
    stride = steps[1] - steps[0] if len(steps) > 1 else 1
    if stride and steps.tolist() == list(range(steps[0], steps[0] + stride * len(steps), stride)):
        return (steps[0], stride)
    return _little_endian(steps)


def _little_endian(numbers: array[Any]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
