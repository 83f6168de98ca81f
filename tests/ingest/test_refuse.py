from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.ids import RunId, WriterId
from epochal.ingest.refuse import without_negative_steps
from epochal.runlog.format import Header
from epochal.runlog.reader import Frame
from epochal.store.metadata import LossRecord
from epochal.store.metrics.embedded.blocks import check_block
from epochal.wire.block import Block
from epochal.wire.build import build_block

if TYPE_CHECKING:
    from tests.ingest.conftest import DataFolder

Rows = list[tuple[int, dict[str, object]]]


def block_of(rows: Rows, first_offset: int = 0) -> Block:
    header = Header(run_id="r1", project="p", entity=None, writer="w1", kind="primary", start_time=0.0)
    records = [[1, float(i), step, data] for i, (step, data) in enumerate(rows)]
    frames = [Frame(first_offset + 10 * i, first_offset + 10 * i + 10, r) for i, r in enumerate(records)]
    return build_block(
        header, frames, [], first_offset=first_offset, end_offset=first_offset + 10 * max(1, len(frames))
    )


def test_a_row_with_a_negative_step_is_a_loss_and_holds_nothing_up(data: DataFolder) -> None:
    first = block_of([(0, {"a": 1.0}), (-3, {"a": 2.0, "b": "x"}), (1, {"a": 3.0}), (-1, {"c": True})])
    second = block_of([(2, {"a": 4.0})], first.end_offset)

    wanted = data.ingest.accept([first, second])

    assert wanted == {("r1", "w1"): second.end_offset}
    assert data.rows() == [(0, {"a": 1.0}), (1, {"a": 3.0}), (2, {"a": 4.0})]
    assert (data.run().n_rows, data.run().last_step, data.run().summary) == (3, 2, {"a": 4.0})
    assert data.metadata.losses.of_run(data.run().key) == [
        LossRecord(
            WriterId("w1"), 39, 0, "2 rows with negative steps from -3 to -1 left out: steps begin at 0"
        )
    ]


def test_a_negative_step_that_comes_over_http_holds_nothing_up_either(data: DataFolder) -> None:
    block = block_of([(0, {"a": 1.0}), (-3, {"a": 2.0}), (1, {"a": 3.0})])

    (outcome,) = data.ingest.accept_each([block]).values()

    assert (outcome.offset, outcome.error) == (block.end_offset, None)
    assert data.rows() == [(0, {"a": 1.0}), (1, {"a": 3.0})]


def test_the_loss_is_told_once_however_often_the_block_is_sent(data: DataFolder) -> None:
    block = block_of([(-7, {"a": 1.0})])
    for _ in range(3):
        data.ingest.accept([block])
    data.reopen()
    data.ingest.accept([block])

    losses = data.metadata.losses.of_run(data.run().key)
    assert [loss.reason for loss in losses] == ["1 row with negative step -7 left out: steps begin at 0"]
    assert data.rows() == []


values = st.floats(allow_nan=False) | st.integers(-5, 5) | st.booleans() | st.sampled_from(["x", ""])
rows = st.lists(
    st.tuples(st.integers(-3, 9), st.dictionaries(st.sampled_from("abc"), values, max_size=3)), max_size=12
)


@settings(deadline=None)
@given(rows)
def test_what_is_left_of_a_block_is_the_block_of_the_rows_that_are_left(logged: Rows) -> None:
    block = block_of(logged)

    kept = without_negative_steps(block)

    check_block(kept)
    expected = block_of([row for row in logged if row[0] >= 0])
    assert table(kept) == table(expected)
    assert len(kept.losses) == (kept.n_rows < block.n_rows)


def table(block: Block) -> object:
    steps = block.steps
    if not isinstance(steps, bytes):
        steps = (steps[0] + steps[1] * np.arange(block.n_rows)).astype("<i8").tobytes()
    columns = {
        (c.key, c.kind): (
            c.values,
            list(range(block.n_rows)) if c.rows is None else np.frombuffer(c.rows, "<u4").tolist(),
        )
        for c in block.columns
    }
    return block.n_rows, steps, columns


def test_rows_that_have_no_step_yet_are_kept_whatever_number_they_have() -> None:
    block = msgspec.structs.replace(block_of([(-2, {"a": 1}), (-1, {"a": 2})]), unplaced=b"\x01\x00")

    kept = without_negative_steps(block)

    assert (kept.n_rows, kept.unplaced, kept.columns[0].values) == (1, b"\x01", (1).to_bytes(8, "little"))


def test_records_stay_between_the_rows_that_are_left() -> None:
    block = block_of([(-2, {"a": 1}), (0, {"a": 2}), (-1, {"a": 3}), (1, {"a": 4})])
    records: list[tuple[int, list[object]]] = [(n, [3, 0.0, [], []]) for n in range(5)]

    kept = without_negative_steps(msgspec.structs.replace(block, records=records))

    assert [n for n, _ in kept.records] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("steps", [(0, 1), (5, -1), np.arange(3, dtype="<i8").tobytes()])
def test_a_block_without_negative_steps_stays_the_same_object(steps: tuple[int, int] | bytes) -> None:
    block = Block(
        run_id=RunId("r1"),
        project="p",
        entity=None,
        writer=WriterId("w1"),
        kind="primary",
        first_offset=0,
        end_offset=1,
        n_rows=3,
        steps=steps,
        times=bytes(24),
    )
    assert without_negative_steps(block) is block
