"""Points of one key, exactly as logged: steps, times and values, in step order, one per step."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from epochal.store.metrics.row_batches import BOOL as BOOL
from epochal.store.metrics.row_batches import FLOAT as FLOAT
from epochal.store.metrics.row_batches import INT as INT
from epochal.store.metrics.row_batches import OTHER as OTHER

_decode = msgspec.msgpack.Decoder().decode


class Points(msgspec.Struct, frozen=True):
    """Points of one key.  Every array has shape (n,)."""

    steps: NDArray[np.int64]  # strictly ascending
    times: NDArray[np.float64]  # Unix seconds, of the row that wrote the value
    kinds: NDArray[np.uint8]
    words: NDArray[np.int64]  # the bits of a float64, an int64, 0 or 1; 0 for other values
    objects: NDArray[np.object_] | None  # msgpack of other values, b"" for numbers; None if all are numbers

    def __len__(self) -> int:
        return self.steps.size

    def at(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Points:
        """Return the points at `index`, a slice, positions or a mask."""
        return Points(
            self.steps[index],
            self.times[index],
            self.kinds[index],
            self.words[index],
            None if self.objects is None else self.objects[index],
        )

    def between(self, first_step: int, last_step: int) -> Points:
        """Return the points from `first_step` to `last_step`, both included."""
        return self.at(slice(*step_slice(self.steps, first_step, last_step)))

    def numbers(self) -> Points:
        """Return the points that are numbers."""
        return self if self.objects is None else structs.replace(self.at(self.kinds != OTHER), objects=None)

    def others(self) -> Points:
        """Return the points that are no numbers."""
        return self.at(slice(0, 0) if self.objects is None else self.kinds == OTHER)

    def floats(self) -> NDArray[np.float64]:
        """Return the numbers as float64; booleans are 0 and 1."""
        if not self.kinds.any():
            return self.words.view(np.float64)
        return np.where(self.kinds == FLOAT, self.words.view(np.float64), self.words.astype(np.float64))

    def values(self) -> list[object]:
        """Return the values as they were logged."""
        kinds = set(np.unique(self.kinds).tolist())
        if kinds <= {FLOAT}:
            return list(self.words.view(np.float64).tolist())
        if kinds == {INT}:
            return list(self.words.tolist())
        return [self._value(i) for i in range(self.steps.size)]

    def _value(self, i: int) -> object:
        kind = self.kinds[i]
        if kind == OTHER:
            assert self.objects is not None
            return _decode(self.objects[i])
        if kind == BOOL:
            return bool(self.words[i])
        return int(self.words[i]) if kind == INT else float(self.words[i : i + 1].view(np.float64)[0])


_EMPTY = Points(
    np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8), np.empty(0, np.int64), objects=None
)


def empty() -> Points:
    """Return no points."""
    return _EMPTY


def concat(parts: Sequence[Points]) -> Points:
    """Return `parts` one after the other; steps are as they come."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return empty()
    objects = None
    if any(part.objects is not None for part in parts):
        objects = np.concatenate([_objects(part) for part in parts])
    return Points(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.words for part in parts]),
        objects,
    )


def last_wins(points: Points) -> Points:
    """Return `points`, given in the order they were written, by step: the last write to a step wins."""
    steps = points.steps
    if steps.size < 2 or (steps[1:] > steps[:-1]).all():
        return points
    order = np.argsort(steps, kind="stable")
    ordered = steps[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    return points.at(order[is_last])


def overlay(below: Points, above: Points) -> Points:
    """Return both, where a step of `above` replaces the same step of `below`."""
    if not len(below) or not len(above):
        return above if not len(below) else below
    return last_wins(concat([below, above]))


def step_slice(steps: NDArray[np.int64], first: int, last: int) -> tuple[int, int]:
    """Return the half-open range of positions of ascending `steps` from `first` to `last`, both included."""
    # Python integers beyond 64 bits would turn the comparison into one of floats.
    low, high = max(first, -(2**63)), min(last, 2**63 - 1)
    return int(steps.searchsorted(low, "left")), int(steps.searchsorted(high, "right"))


def _objects(points: Points) -> NDArray[np.object_]:
    if points.objects is not None:
        return points.objects
    none = np.empty(points.steps.size, np.object_)
    none.fill(b"")
    return none
