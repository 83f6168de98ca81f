"""What decoded blocks cost in memory."""

from __future__ import annotations

from epochal.ids import RunId, WriterId
from epochal.store.metrics.embedded.blocks import TailBlock
from epochal.wire.block import Block, Column


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
    assert TailBlock(block_of_texts(1_000_000)).size() >= 1_000_000
