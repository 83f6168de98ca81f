"""Builds blocks out of a run log's frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from epochal.ids import RunId, WriterId
from epochal.runlog.columns import ColumnKind, KeyColumn, LoggedRow, columns_of, little_endian
from epochal.runlog.format import MAGIC, Header, RecordType
from epochal.runlog.reader import Frame, LostRange
from epochal.wire.block import Block, Column, Loss

# Plain integers: comparing with a member of an enum costs more than everything else about a row.
_ROW, _UNPLACED_ROW = int(RecordType.ROW), int(RecordType.UNPLACED_ROW)
_CHECKPOINT = int(RecordType.CHECKPOINT)
_BEYOND_64_BITS = 2**63


def build_block(
    header: Header,
    frames: Sequence[Frame],
    losses: Sequence[LostRange],
    *,
    first_offset: int,
    end_offset: int,
) -> Block:
    """Return the block of `frames`, which are all whole frames from `first_offset` to `end_offset`.

    Args:
        header: of the file.
        losses: inside the range.
        first_offset: of the first frame, or of the loss that comes before it.
        end_offset: where the reader goes on.
    """
    rows, unplaced, records = _sorted_out(frames)
    columns, times = columns_of(rows)
    return Block(
        run_id=RunId(header.run_id),
        project=header.project,
        entity=header.entity,
        writer=WriterId(header.writer),
        kind=header.kind,
        first_offset=first_offset,
        end_offset=end_offset,
        n_rows=len(rows),
        steps=_steps([row[0] for row in rows]),
        times=little_endian("d", times),
        unplaced=bytes(unplaced) if any(unplaced) else None,
        columns=[_encoded(column) for column in columns],
        records=records,
        losses=[Loss(*loss) for loss in losses],
    )


def _sorted_out(
    frames: Sequence[Frame],
) -> tuple[list[LoggedRow], bytearray, list[tuple[int, list[object]]]]:
    """Return the rows, whether each is unplaced, and the other records with the rows before each.

    Once a logged row, so with plain tuples and as few calls as can be.
    """
    rows: list[Any] = []
    unplaced = bytearray()
    records: list[tuple[int, list[object]]] = []
    take, mark = rows.append, unplaced.append
    for _, _, record in frames:
        kind = record[0]
        if kind in (_ROW, _UNPLACED_ROW) and _is_row(record):
            take((record[2], record[1], record[3]))
            mark(kind == _UNPLACED_ROW)
        elif kind != _CHECKPOINT:  # It repeats what other records say.
            records.append((len(rows), record))
    return rows, unplaced, records


def header_frame(header: Header, end_offset: int) -> Frame:
    """Return the frame of a file's header, which ends at `end_offset`.

    A writer's first block begins at offset 0 and has it as its first record, so that a store knows from
    the blocks alone when and where the writer began.
    """
    record = [int(RecordType.HEADER), header.start_time, msgspec.to_builtins(header)]
    return Frame(len(MAGIC), end_offset, record)


def _is_row(record: list[Any]) -> bool:
    """A row of the shape that every version writes; anything else is carried along as a record."""
    return (
        len(record) >= 4
        and type(record[1]) is float
        and type(record[2]) is int
        and record[2] < _BEYOND_64_BITS
        and type(record[3]) is dict
    )


def _steps(steps: list[int]) -> tuple[int, int] | bytes:
    if not steps:
        return (0, 1)
    stride = steps[1] - steps[0] if len(steps) > 1 else 1
    if stride and steps == list(range(steps[0], steps[0] + stride * len(steps), stride)):
        return (steps[0], stride)
    return little_endian("q", steps)


_TYPECODES: dict[ColumnKind, Literal["d", "q", "B"]] = {"f": "d", "i": "q", "b": "B"}


def _encoded(column: KeyColumn) -> Column:
    rows = None if column.rows is None else little_endian("I", column.rows)
    if column.kind == "v":
        return Column(column.key, column.kind, rows, list(column.values))
    return Column(column.key, column.kind, rows, little_endian(_TYPECODES[column.kind], column.values))
