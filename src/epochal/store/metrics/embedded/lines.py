"""Lines: a series along an x axis, read over a range at a resolution.

This is the plain kind, whose points are all at hand.  It serves series that are short, that are not in
chunks yet, or whose x does not follow their steps.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from epochal.store.metrics.embedded.points import Points
from epochal.store.metrics.embedded.pyramid import Floats, Positions, Stats, single, stats_of


class Grid(NamedTuple):
    """The cells that buckets stand for, of equal width from `low` to `high`."""

    low: float
    high: float
    n_cells: int

    def cells(self, x: Floats) -> Positions:
        """Return the cell of each x; what is outside counts to the nearest one."""
        low, width = self.low, self.high - self.low
        if width == np.inf:
            x, low, width = x / 2, low / 2, self.high / 2 - low / 2
        if not width > 0:
            return np.zeros(x.size, np.intp)
        cells = ((x - low) / width * self.n_cells).astype(np.intp)
        return np.clip(cells, 0, self.n_cells - 1)


class Part(NamedTuple):
    """Buckets along x.  Every array has shape (n,)."""

    x: Floats  # of the first point
    x_last: Floats
    stats: Stats


class Reading(NamedTuple):
    """What a line shows in a range."""

    before: Part | None  # the point before the range
    inside: Part
    after: Part | None
    n_points: int  # in the range
    exact: bool


class Line(Protocol):
    """A series along an x axis."""

    def extent(self) -> tuple[float, float] | None:
        """Return the least and the greatest x, None if there are no points."""

    def read(self, low: float, high: float, grid: Grid) -> Reading:
        """Return the buckets of the points from `low` to `high`, both included, on `grid`."""


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

    def extent(self) -> tuple[float, float] | None:
        """Return the least and the greatest x, None if there are no points."""
        return (float(self._x[0]), float(self._x[-1])) if self._x.size else None

    def read(self, low: float, high: float, grid: Grid) -> Reading:
        """Return the buckets of the points from `low` to `high`, both included, on `grid`."""
        begin = int(np.searchsorted(self._x, low, "left"))
        end = max(begin, int(np.searchsorted(self._x, high, "right")))
        x, values = self._x[begin:end], self._values[begin:end]
        exact = x.size <= grid.n_cells
        return Reading(
            self._one(begin - 1),
            Part(x, x, single(values)) if exact else bucketed(x, values, grid),
            self._one(end),
            x.size,
            exact,
        )

    def _one(self, index: int) -> Part | None:
        if not 0 <= index < self._x.size:
            return None
        x = self._x[index : index + 1]
        return Part(x, x, single(self._values[index : index + 1]))


def bucketed(x: Floats, values: Floats, grid: Grid) -> Part:
    """Return points, of which there is at least one and whose x ascends, in one bucket per cell."""
    starts = starts_of(grid.cells(x))
    return Part(x[starts], x[np.append(starts[1:], x.size) - 1], stats_of(values, starts))


def starts_of(cells: Positions) -> Positions:
    """Return where each run of equal neighbours begins."""
    return np.flatnonzero(np.append(True, cells[1:] != cells[:-1]))


def points_line(points: Points, x: Floats) -> PointsLine:
    """Return the line of numbers along `x`, shape (n,)."""
    return PointsLine(x, points.floats())
