"""Blocks from outside, made sure of before they meet the stores.

A block says how large it will be unpacked, so a bomb is refused before it is opened.  Nesting is bounded,
because everything that later reads a value walks down into it.
"""

from __future__ import annotations

import msgspec

from epochal.errors import BlockError
from epochal.wire.block import Block, decode

# What a block carries besides its values: a call of `log()` may have 256 MiB.
MAX_UNPACKED_BYTES = 320 << 20
# A script's values have up to 100 levels, and a record a few around them.
MAX_LEVELS = 128


def unpack(data: bytes, *, entity: str, max_bytes: int = MAX_UNPACKED_BYTES) -> Block:
    """Return the block in `data`.

    Args:
        data: as `wire.block.encode` makes it.
        entity: of a block that names none.
        max_bytes: that it may have unpacked.

    Raises:
        BlockError: it is no block, is damaged, newer, too large, or has values nested too deep.
    """
    block = decode(data, max_bytes=max_bytes)
    for column in block.columns:
        if isinstance(column.values, list):
            _check_levels(column.values)
    for _, record in block.records:
        _check_levels(record)
    return block if block.entity else msgspec.structs.replace(block, entity=entity)


def _check_levels(values: list[object]) -> None:
    """Go down level by level; most values have none below."""
    level: list[object] = values
    for _ in range(MAX_LEVELS):
        nested = [value for value in level if type(value) is dict or type(value) is list]
        if not nested:
            return
        level = []
        for value in nested:
            level.extend(value.values() if isinstance(value, dict) else value)
    raise BlockError(f"a value of a block is nested more than {MAX_LEVELS} levels deep")
