"""What decoded blocks cost in memory, and what they say of each key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochal.ids import RunId, WriterId
from epochal.store.metrics.embedded.blocks import KeySets, Tail, TailBlock
from epochal.wire.block import Block, Column

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal, LoggedRow


def block_of_texts(n_bytes: int) -> Block:
    return Block(
        run_id=RunId("r"),
        project="p",
        entity=None,
        writer=WriterId("w"),
        kind="primary",
        first_offset=0,
        end_offset=1,
        n_rows=1,
        steps=(0, 1),
        times=bytes(8),
        columns=[Column("note", "v", None, ["x" * n_bytes])],
    )


def test_long_texts_count_with_their_length() -> None:
    """A run that logs texts of megabytes must not fill the memory under the name of a few hundred bytes."""
    assert TailBlock(block_of_texts(1_000_000), KeySets()).size() >= 1_000_000


def test_ten_thousand_keys_of_one_row_take_little_more_than_their_numbers() -> None:
    """Blocks of one wide row each are what a compaction holds hundreds of."""
    names = [f"key/{i}" for i in range(10_000)]
    columns = [Column(name, "f", None, np.array([0.5]).tobytes()) for name in names]
    block = Block(
        run_id=RunId("r"),
        project="p",
        entity=None,
        writer=WriterId("w"),
        kind="primary",
        first_offset=0,
        end_offset=1,
        n_rows=1,
        steps=(0, 1),
        times=bytes(8),
        columns=columns,
    )
    key_sets = KeySets()
    first, second = TailBlock(block, key_sets), TailBlock(block, key_sets)

    assert first.size() < 250 * len(names)
    assert second.size() < 10 * len(names)
    assert second.table("history").sheets[0].keys is first.table("history").sheets[0].keys


keys = st.sampled_from([f"k{i}" for i in range(12)])
values: st.SearchStrategy[object] = st.sampled_from([0.5, 1, 2, True, "text", float("inf"), [1]])
row = st.tuples(
    st.integers(0, 20), st.one_of(st.just(dict.fromkeys("abc", 1.0)), st.dictionaries(keys, values))
)
logged_blocks = st.lists(st.lists(row, max_size=6), max_size=5)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logged_blocks, st.booleans())
def test_the_last_write_to_a_key_and_step_is_the_one_a_tail_gives(
    new_journal: type[Journal], logged: list[list[tuple[int, dict[str, object]]]], stacked: bool
) -> None:
    journal, key_sets = new_journal(), KeySets()
    expected: dict[str, dict[int, tuple[float, object]]] = {}
    blocks = []
    for n, rows in enumerate(logged):
        timed: list[LoggedRow] = [(step, n + i / 10, data) for i, (step, data) in enumerate(rows)]
        for step, time, data in timed:
            for key, value in data.items():
                expected.setdefault(key, {})[step] = (time, value)
        blocks.append(TailBlock(journal.block(timed), key_sets))

    tail = Tail(blocks, "history")
    if stacked:
        tail.stack()

    assert set(tail.keys()) == set(expected)
    for key, points in expected.items():
        found = tail.points(key)
        assert found.steps.tolist() == sorted(points)
        assert found.times.tolist() == [points[step][0] for step in sorted(points)]
        assert [repr(v) for v in found.values()] == [repr(points[step][1]) for step in sorted(points)]
