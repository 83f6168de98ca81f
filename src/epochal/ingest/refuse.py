"""Leaves out rows that have no place in a run, and says so on record.

Steps begin at 0.  The SDK drops a row with a negative one and tells the script; other writers may send it all
the same.  Refusing the whole block would hold its writer up for ever, since what cannot be stored now cannot
be stored later: so the row becomes a loss of the run, with its reason, and everything else goes on.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.ingest.steps import steps_of
from epochal.wire.block import Block, Column, Loss


def without_negative_steps(block: Block) -> Block:
    """Return `block` without rows whose steps are negative, and with a loss that tells of them.

    A row that has no step yet is not looked at.  `block` has passed `check_block`.
    """
    if block.n_rows == 0 or _is_fine(block):
        return block
    steps = steps_of(block)
    is_kept = steps >= 0
    if block.unplaced is not None:
        is_kept |= np.frombuffer(block.unplaced, np.uint8) != 0
    if is_kept.all():
        return block
    return _kept(block, steps, is_kept)


def _is_fine(block: Block) -> bool:
    if isinstance(block.steps, bytes):
        return int(np.frombuffer(block.steps, "<i8").min()) >= 0
    first, stride = block.steps
    return first >= 0 and first + stride * (block.n_rows - 1) >= 0


def _kept(block: Block, steps: NDArray[np.int64], is_kept: NDArray[np.bool_]) -> Block:
    refused = steps[~is_kept]
    new_row = np.cumsum(is_kept) - 1  # of each kept row
    columns = [_kept_column(column, is_kept, new_row) for column in block.columns]
    before = np.concatenate([[0], np.cumsum(is_kept)]).tolist()
    return msgspec.structs.replace(
        block,
        n_rows=int(is_kept.sum()),
        steps=steps[is_kept].astype("<i8").tobytes(),
        times=np.frombuffer(block.times, "<f8")[is_kept].tobytes(),
        unplaced=_masked(block.unplaced, is_kept),
        columns=[column for column in columns if len(column.values)],
        records=[(before[min(max(n, 0), block.n_rows)], record) for n, record in block.records],
        losses=[*block.losses, _loss(block, refused)],
    )


def _loss(block: Block, refused: NDArray[np.int64]) -> Loss:
    low, high = int(refused.min()), int(refused.max())
    named = f"step {low}" if low == high else f"steps from {low} to {high}"
    rows = "1 row" if refused.size == 1 else f"{refused.size} rows"
    # Which bytes these rows are is not known any more; the block's place says about where.
    return Loss(block.end_offset - 1, 0, f"{rows} with negative {named} left out: steps begin at 0")


def _masked(unplaced: bytes | None, is_kept: NDArray[np.bool_]) -> bytes | None:
    return None if unplaced is None else np.frombuffer(unplaced, np.uint8)[is_kept].tobytes()


def _kept_column(column: Column, is_kept: NDArray[np.bool_], new_row: NDArray[np.int64]) -> Column:
    rows = np.arange(is_kept.size) if column.rows is None else np.frombuffer(column.rows, "<u4")
    if rows.size and int(rows.max()) >= is_kept.size:
        return column  # the store says what is wrong with it
    has = is_kept[rows]
    values: bytes | list[object]
    if isinstance(column.values, list):
        values = [value for value, keep in zip(column.values, has.tolist(), strict=True) if keep]
    else:
        items = np.frombuffer(column.values, np.uint8).reshape(rows.size, -1)
        values = items[has].tobytes()
    new = None if column.rows is None else new_row[rows[has]].astype("<u4").tobytes()
    return Column(column.key, column.kind, new, values)
