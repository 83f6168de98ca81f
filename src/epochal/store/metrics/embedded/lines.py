"""Lines: a series along an x axis, read over a range at a resolution.

This is the plain kind, whose points are all at hand.  It serves series that are short, that are not in
chunks yet, or whose x does not follow their steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from epochal.store.metrics.embedded.pyramid import Floats
from epochal.store.metrics.embedded.spans import Grid, Reading, Spans, bucketed, spans_of_points


class Line(Protocol):
    """A series along an x axis."""

    def extent(self) -> tuple[float, float] | None:
        """Return the least and the greatest x, None if there are no points."""

    def read(self, low: float, high: float, grid: Grid) -> Reading:
        """Return the spans of the points from `low` to `high`, both included, for `grid`."""


class PointsLine:
    """A line whose points are at hand.

    Args:
        x: of each point, in any order; points whose x is not finite are left out.
        values: shape (n,).
    """

    def __init__(self, x: Floats, values: Floats) -> None:
        is_placed = np.isfinite(x)
        if not is_placed.all():
            x, values = x[is_placed], values[is_placed]
        if x.size > 1 and (x[1:] < x[:-1]).any():
            # Stable: points of one x stay in the order of their steps.
            order = np.argsort(x, kind="stable")
            x, values = x[order], values[order]
        self._x, self._values = x, values

    def __len__(self) -> int:
        return self._x.size

    def extent(self) -> tuple[float, float] | None:
        """Return the least and the greatest x, None if there are no points."""
        return (float(self._x[0]), float(self._x[-1])) if self._x.size else None

    def read(self, low: float, high: float, grid: Grid) -> Reading:
        """Return the spans of the points from `low` to `high`, both included, for `grid`."""
        begin = int(self._x.searchsorted(low, "left"))
        end = max(begin, int(self._x.searchsorted(high, "right")))
        x, values = self._x[begin:end], self._values[begin:end]
        exact = x.size <= grid.n_cells
        inside = [spans_of_points(x, values) if exact else bucketed(x, values, grid)] if x.size else []
        return Reading(self._one(begin - 1), inside, self._one(end), x.size, exact)

    def _one(self, index: int) -> Spans | None:
        if not 0 <= index < self._x.size:
            return None
        return spans_of_points(self._x[index : index + 1], self._values[index : index + 1])


class UnkeptLine:
    """A line of many points, read for each use: those of hundreds of runs do not fit in memory together.

    Args:
        extent: of the line.
        make: gives the line.
    """

    def __init__(self, extent: tuple[float, float] | None, make: Callable[[], PointsLine]) -> None:
        self._extent, self._make = extent, make

    def extent(self) -> tuple[float, float] | None:
        """Return the least and the greatest x, None if there are no points."""
        return self._extent

    def read(self, low: float, high: float, grid: Grid) -> Reading:
        """Return the spans of the points from `low` to `high`, both included, for `grid`."""
        return self._make().read(low, high, grid)
