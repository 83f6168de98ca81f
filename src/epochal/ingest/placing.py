"""Gives steps to rows that named none: rows of secondary writers, which cannot know the others' steps.

Such a row gets the run's next free step.  Rows of one ordinal are parts of one row, and may come in
different blocks; so the ordinals placed last are remembered, with the run and in every placed block.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from epochal.ingest.steps import steps_of
from epochal.wire.block import Block

# A late part of a row older than this many sequences gets a step of its own: nothing is lost by it.
MAX_SPANS = 256
_MAX_STEP = 2**63 - 1

Span = tuple[int, int, int]  # first ordinal, last ordinal, step of the first; the others follow one by one


def place(block: Block, next_step: int, known: Sequence[Span]) -> Block:
    """Return `block` with a step for every row.

    Args:
        block: as its writer made it.
        next_step: the run's first free one.
        known: where earlier ordinals of the writer are, oldest first.
    """
    if block.unplaced is None:
        return block
    spans = _Spans(known)
    steps: list[int] = []
    for number, is_ordinal in zip(steps_of(block).tolist(), block.unplaced, strict=True):
        step: int | None = number
        if is_ordinal and (step := spans.find(number)) is None:
            step = min(next_step, _MAX_STEP)
            spans.add(number, step)
        assert step is not None
        steps.append(step)
        next_step = max(next_step, step + 1)
    return msgspec.structs.replace(
        block, steps=np.array(steps, dtype="<i8").tobytes(), unplaced=None, placed=spans.new
    )


def remember(known: Sequence[Span], new: Sequence[Span]) -> list[Span]:
    """Return the newest `MAX_SPANS` spans of both."""
    return [*known, *new][-MAX_SPANS:]


class _Spans:
    def __init__(self, known: Sequence[Span]) -> None:
        self._known = known
        self.new: list[Span] = []
        self._highest = max((last for _, last, _ in known), default=-1)

    def find(self, ordinal: int) -> int | None:
        if ordinal > self._highest:
            return None
        for spans in (self.new, self._known):
            for first, last, step in reversed(spans):
                if first <= ordinal <= last:
                    return step + ordinal - first
        return None

    def add(self, ordinal: int, step: int) -> None:
        self._highest = max(self._highest, ordinal)
        if self.new:
            first, last, first_step = self.new[-1]
            if ordinal == last + 1 and step == first_step + ordinal - first:
                self.new[-1] = (first, ordinal, first_step)
                return
        self.new.append((ordinal, ordinal, step))
