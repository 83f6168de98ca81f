"""Which steps a run has, small enough to be kept with it.

Steps nearly always come as arithmetic sequences, so a few of those say it all.  What does not fit is
forgotten from below: steps under that line count as seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from epochal.wire.block import Block

MAX_PIECES = 256

Piece = tuple[int, int, int]  # first, last, stride > 0


def steps_of(block: Block) -> NDArray[np.int64]:
    """Return the step (or, where it is not placed yet, the ordinal) of every row; shape (n_rows,)."""
    if isinstance(block.steps, bytes):
        return np.frombuffer(block.steps, dtype="<i8")
    first, stride = block.steps
    return first + stride * np.arange(block.n_rows, dtype=np.int64)


class StepSet:
    """The distinct steps of a run, counted.

    The count is exact while steps need at most `MAX_PIECES` arithmetic sequences, and for all that come in
    rising order; beyond that a new step below the forgotten ones is not counted.
    """

    def __init__(self, pieces: Sequence[Piece] = (), *, n: int = 0, forgotten: int | None = None) -> None:
        self.n = n
        self._pieces = list(pieces)  # those with the highest steps last
        self._forgotten = forgotten  # every step up to this one counts as seen

    @property
    def highest(self) -> int | None:
        """The highest step, or None if there is none yet."""
        return max((last for _, last, _ in self._pieces), default=self._forgotten)

    def add_block(self, block: Block) -> None:
        """Add the steps of the rows of `block`, which must be placed."""
        if block.n_rows == 0:
            return
        highest = self.highest
        if not isinstance(block.steps, bytes) and block.steps[1] > 0:
            first, stride = block.steps
            if highest is None or first > highest:
                self._append((first, first + stride * (block.n_rows - 1), stride), block.n_rows)
                return
        self._add_any(np.unique(steps_of(block)))

    def to_state(self) -> dict[str, object]:
        """Return the set as plain data, for `from_state`."""
        return {"pieces": self._pieces, "n": self.n, "forgotten": self._forgotten}

    @classmethod
    def from_state(cls, state: dict[str, object]) -> StepSet:
        """Return the set that `to_state` described."""
        pieces = [(p[0], p[1], p[2]) for p in cast("list[list[int]]", state["pieces"])]
        return cls(pieces, n=cast("int", state["n"]), forgotten=cast("int | None", state["forgotten"]))

    def _add_any(self, steps: NDArray[np.int64]) -> None:
        if self._forgotten is not None:
            steps = steps[steps > self._forgotten]
        for first, last, stride in self._pieces:
            if steps.size == 0:
                return
            if last >= steps[0] and first <= steps[-1]:
                # In 64 bits without overflow: first is not negative, so no step is 2**63 above it.
                inside = (steps >= first) & (steps <= last)
                inside[inside] = (steps[inside] - first) % stride == 0
                steps = steps[~inside]
        highest = self.highest
        for piece, n in _pieces_of(steps):
            self._append(piece, n)
        if highest is not None and steps.size and steps[0] < highest:
            self._pieces.sort(key=lambda piece: piece[1])

    def _append(self, piece: Piece, n: int) -> None:
        """Add a piece that is disjoint from all others."""
        self.n += n
        joined = _joined(self._pieces[-1], piece) if self._pieces else None
        if joined is not None:
            self._pieces[-1] = joined
            return
        self._pieces.append(piece)
        if len(self._pieces) > MAX_PIECES:
            self._forget()

    def _forget(self) -> None:
        self._pieces.sort(key=lambda piece: piece[1])
        _, last, _ = self._pieces.pop(0)
        self._forgotten = last if self._forgotten is None else max(last, self._forgotten)


def _joined(before: Piece, after: Piece) -> Piece | None:
    """Return both as one sequence, if they are one."""
    gap = after[0] - before[1]
    strides = {stride for first, last, stride in (before, after) if first != last}
    return (before[0], after[1], gap) if gap > 0 and strides <= {gap} else None


def _pieces_of(steps: NDArray[np.int64]) -> list[tuple[Piece, int]]:
    """Return ascending distinct steps as arithmetic sequences, and how many steps each has."""
    if steps.size == 0:
        return []
    gaps = np.diff(steps)
    turns = (np.flatnonzero(np.diff(gaps)) + 1).tolist()
    pieces: list[tuple[Piece, int]] = []
    start = 0
    for turn in [*turns, steps.size - 1]:
        if turn < start:
            continue
        stride = int(gaps[start]) if turn > start else 1
        pieces.append(((int(steps[start]), int(steps[turn]), stride), turn - start + 1))
        start = turn + 1
    if start < steps.size:
        pieces.append(((int(steps[start]), int(steps[start]), 1), 1))
    return pieces
