from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.ids import RunId, WriterId
from epochal.ingest.placing import MAX_SPANS, Span, place, remember
from epochal.ingest.steps import MAX_PIECES, StepSet, steps_of
from epochal.wire.block import Block


def block(
    steps: list[int] | tuple[int, int], n_rows: int | None = None, *, unplaced: bytes | None = None
) -> Block:
    rows = len(steps) if n_rows is None else n_rows
    return Block(
        run_id=RunId("r1"),
        project="p",
        entity=None,
        writer=WriterId("w1"),
        kind="primary",
        first_offset=0,
        end_offset=1,
        n_rows=rows,
        steps=steps if isinstance(steps, tuple) else np.array(steps, dtype="<i8").tobytes(),
        times=b"\x00" * 8 * rows,
        unplaced=unplaced,
    )


arithmetic = st.tuples(st.integers(0, 300), st.integers(-5, 20), st.integers(0, 30)).map(
    lambda a: block((a[0], a[1]), a[2])
)
any_steps = st.lists(st.integers(0, 400), max_size=30).map(block)


@given(st.lists(arithmetic | any_steps, max_size=12))
def test_steps_are_counted_once_whatever_their_order(blocks: list[Block]) -> None:
    steps, oracle = StepSet(), set[int]()
    for part in blocks:
        steps.add_block(part)
        oracle |= set(steps_of(part).tolist())
        steps = StepSet.from_state(steps.to_state())

    assert steps.n == len(oracle)
    assert steps.highest == max(oracle, default=None)


def test_a_long_run_needs_one_piece() -> None:
    steps = StepSet()
    for start in range(0, 100_000, 100):
        steps.add_block(block((start * 10, 10), 100))
    for start in range(0, 100_000, 100):
        steps.add_block(block((start * 10, 10), 100))
    steps.add_block(block((1_000_000, 10), 1))

    assert steps.to_state() == {"pieces": [(0, 1_000_000, 10)], "n": 100_001, "forgotten": None}


def test_steps_without_any_pattern_stay_small_and_are_counted_while_they_rise() -> None:
    squares = [i * i for i in range(5000)]
    steps = StepSet()
    for start in range(0, 5000, 50):
        steps.add_block(block(squares[start : start + 50]))
        steps.add_block(block(squares[max(0, start - 20) : start + 50]))

    assert steps.n == 5000
    assert steps.highest == squares[-1]
    pieces = steps.to_state()["pieces"]
    assert isinstance(pieces, list)
    assert len(pieces) <= MAX_PIECES


@pytest.mark.parametrize("extreme", [2**63 - 1, -(2**62)])
def test_extreme_steps_do_no_harm(extreme: int) -> None:
    steps = StepSet()
    for _ in range(2):
        steps.add_block(block([0, 5, extreme]))
        steps.add_block(block([7]))

    assert steps.n == 4


ordinals = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40)


@given(ordinals, st.lists(st.integers(0, 40), max_size=6), st.integers(0, 100))
def test_rows_are_placed_the_same_however_they_are_cut_into_blocks(
    rows: list[tuple[int, bool]], cuts: list[int], next_step: int
) -> None:
    """Rows of one ordinal share a step; every new ordinal gets a step above all others so far."""
    expected: list[int] = []
    where: dict[int, int] = {}
    highest = next_step - 1
    for number, is_ordinal in rows:
        step = where.setdefault(number, highest + 1) if is_ordinal else number
        highest = max(highest, step)
        expected.append(step)

    got: list[int] = []
    known: list[Span] = []
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for start, stop in itertools.pairwise(bounds):
        part = rows[start:stop]
        raw = block([number for number, _ in part], unplaced=bytes(is_ordinal for _, is_ordinal in part))
        placed = place(raw, max([next_step, *(step + 1 for step in got)]), known)
        known = remember(known, placed.placed)
        got += steps_of(placed).tolist()
        assert placed.unplaced is None

    assert got == expected


def test_a_burst_of_ordinals_is_remembered_as_one_span() -> None:
    placed = place(block((0, 1), 10_000, unplaced=b"\x01" * 10_000), 500, [])

    assert placed.placed == [(0, 9_999, 500)]
    assert steps_of(placed).tolist() == list(range(500, 10_500))


def test_what_is_remembered_of_ordinals_is_bounded() -> None:
    known: list[Span] = []
    for i in range(3 * MAX_SPANS):
        known = remember(known, [(i, i, math.prod((2, i)))])

    assert known == [(i, i, 2 * i) for i in range(2 * MAX_SPANS, 3 * MAX_SPANS)]


def test_a_block_without_unplaced_rows_is_left_as_it_is() -> None:
    whole = block((0, 1), 5)

    assert place(whole, 100, []) is whole
