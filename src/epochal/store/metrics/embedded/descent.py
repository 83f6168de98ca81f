"""A line read from the levels above its series.

Reading begins at the top and goes down only where a bucket is wider than a cell of the chart, lies across an
end of the range, or has points written over it that are not in chunks yet.  What is read is in proportion to
the cells, not to the points; and where the series is dense in one place and thin in another, each place
is read at its own resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.embedded.chunks import ChunkHead
from epochal.store.metrics.embedded.history import MAX_STEP, MIN_STEP, SeriesHistory
from epochal.store.metrics.embedded.lines import Grid, Part, Reading, bucketed, starts_of
from epochal.store.metrics.embedded.points import Points, empty, step_slice
from epochal.store.metrics.embedded.pyramid import (
    Axis,
    Floats,
    Ints,
    Stats,
    concat_axes,
    concat_stats,
    merge_stats,
    single,
)

# Where only few buckets are a little wider than a cell, going down would read far more than it shows.
_WIDE_SHARE = 0.1
_TOO_WIDE = 8.0


class LevelsLine:
    """A line whose x rises with its steps.

    Args:
        history: of the key; some of it is in chunks.
        by_time: x is time, and the tail follows what is in chunks in steps and times.
        origin: Unix seconds that x counts from, for time.
    """

    def __init__(self, history: SeriesHistory, *, by_time: bool, origin: float = 0.0) -> None:
        assert history.series is not None
        self._history, self._series = history, history.series
        self._by_time, self._origin = by_time, origin

    def extent(self) -> tuple[float, float]:
        """Return the least and the greatest x."""
        series, tail = self._series, self._history.tail.numbers()
        first: float | None = series.min_time if self._by_time else series.first_step
        last: float | None = series.max_time if self._by_time else series.last_step
        assert first is not None
        assert last is not None
        if len(tail):
            ends = tail.times if self._by_time else tail.steps
            first, last = min(first, float(ends[0])), max(last, float(ends[-1]))
        return float(first) - self._origin, float(last) - self._origin

    def read(self, low: float, high: float, grid: Grid) -> Reading:
        """Return the buckets of the points from `low` to `high`, both included, on `grid`."""
        descent = _Descent(self, low, high, grid)
        descent.go_down(self._series.top_level, MIN_STEP, MAX_STEP)
        n_points = sum(int(part.stats.n_points.sum()) for part in descent.parts)
        before, after = descent.last_before, descent.first_after
        exact = n_points <= grid.n_cells
        inside = self._exact(descent) if exact else _on_grid(descent.parts, grid)
        return Reading(
            None if before is None else self._beyond(self._history.point_at_or_before(before)),
            inside,
            None if after is None else self._beyond(self._history.point_at_or_after(after)),
            n_points,
            exact,
        )

    def x_of_points(self, points: Points) -> Floats:
        """Return x of points."""
        return points.times - self._origin if self._by_time else points.steps.astype(np.float64)

    def x_of_axis(self, axis: Axis) -> tuple[Floats, Floats]:
        """Return x of the first and of the last point of buckets."""
        if self._by_time:
            return axis.first_time - self._origin, axis.last_time - self._origin
        return axis.first_step.astype(np.float64), axis.last_step.astype(np.float64)

    @property
    def history(self) -> SeriesHistory:
        """The history of the key."""
        return self._history

    def _exact(self, descent: _Descent) -> Part:
        points = self._history.points(*descent.inside) if descent.inside else empty()
        x = self.x_of_points(points)
        return Part(x, x, single(points.floats()))

    def _beyond(self, point: Points | None) -> Part | None:
        if point is None:
            return None
        x = self.x_of_points(point)
        return Part(x, x, single(point.floats()))


class _Descent:
    """Gathers, in step order, the buckets and points between `low` and `high`."""

    def __init__(self, line: LevelsLine, low: float, high: float, grid: Grid) -> None:
        self._line, self._low, self._high, self._grid = line, low, high, grid
        history = line.history
        assert history.series is not None
        self._chunks, self._series = history.chunks, history.series
        self._cell = max((grid.high - grid.low) / grid.n_cells, 0.0)
        self._late_steps = self._late(history.tail)
        self.parts: list[Part] = []
        self.inside: tuple[int, int] | None = None  # first and last step seen in the range
        # No point between these and the range, but there may be none at these steps either.
        self.last_before: int | None = None
        self.first_after: int | None = None

    def _late(self, tail: Points) -> Ints:
        """Return the steps of the tail that lie among those in chunks."""
        assert self._series.last_step is not None
        return tail.steps[: step_slice(tail.steps, MIN_STEP, self._series.last_step)[1]]

    def go_down(self, level: int, first_step: int, last_step: int) -> None:
        """Read the steps from `first_step` to `last_step`, both included, at `level` or below it."""
        if first_step > last_step:
            return
        if level == 0:
            self._take_points(first_step, last_step)
            return
        heads = self._chunks.heads(self._series.series_no, level, first_step, last_step)
        if heads:
            axis = concat_axes([self._chunks.axis(head, level) for head in heads])
            a = int(np.searchsorted(axis.last_step, first_step, "left"))
            b = int(np.searchsorted(axis.first_step, last_step, "right"))
            if a < b:
                self._take_buckets(level, heads, axis.at(slice(a, b)), a, first_step)
                first_step = int(axis.last_step[b - 1]) + 1
        # The rest is not in this level yet.
        self.go_down(level - 1, first_step, last_step)

    def _take_buckets(
        self, level: int, heads: Sequence[ChunkHead], axis: Axis, offset: int, begin: int
    ) -> None:
        """Take the buckets with `axis`, at `offset` in `heads`; they answer for the steps from `begin` on."""
        owned = np.append(np.int64(begin), axis.last_step[:-1] + 1)
        x, x_last = self._line.x_of_axis(axis)
        x_owned = owned.astype(np.float64) if self._late_steps.size else x
        first = int(np.searchsorted(x_last, self._low, "left"))
        after = int(np.searchsorted(x_owned, self._high, "right"))
        if first:
            self._see_before(int(axis.last_step[first - 1]))
        if after < owned.size:
            self._see_after(int(owned[after]))
        if first >= after:
            return
        inside = slice(first, after)
        is_coarse = self._is_coarse(axis.at(inside), owned[inside], x_owned[inside], x_last[inside])
        for run_begin, run_end in _runs(is_coarse):
            run = slice(first + run_begin, first + run_end)
            first_step, last_step = int(owned[run.start]), int(axis.last_step[run.stop - 1])
            if is_coarse[run_begin]:
                self.go_down(self._below(level, x_last[run] - x[run]), first_step, last_step)
                continue
            self._see_inside(int(axis.first_step[run.start]), last_step)
            stats = self._stats(heads, offset + run.start, offset + run.stop)
            self.parts.append(Part(x[run], x_last[run], stats))

    def _is_coarse(self, axis: Axis, owned: Ints, x: Floats, x_last: Floats) -> NDArray[np.bool_]:
        """Return which buckets cannot stand for their points."""
        is_coarse = (x < self._low) | (x_last > self._high)
        if self._late_steps.size:
            is_coarse |= np.searchsorted(self._late_steps, owned, "left") != np.searchsorted(
                self._late_steps, axis.last_step, "right"
            )
        width = x_last - x
        is_wide = width > self._cell
        if is_wide.sum() <= _WIDE_SHARE * width.size:
            is_wide &= width > _TOO_WIDE * self._cell
        return is_coarse | is_wide

    def _below(self, level: int, width: Floats) -> int:
        """Return the level at which to go on below neighbouring buckets of `level`, given their widths.

        A good guess saves reading levels in between; any answer below `level` gives a right chart.
        """
        sizes = self._chunks.sizes
        n_points = width.size * sizes.points_a_bucket * sizes.buckets_a_bucket ** (level - 1)
        if n_points <= sizes.points_a_chunk:
            return 0
        typical = float(np.median(width))
        if not typical > self._cell > 0.0:
            return level - 1
        return max(0, level - math.ceil(math.log(typical / self._cell, sizes.buckets_a_bucket)))

    def _stats(self, heads: Sequence[ChunkHead], begin: int, end: int) -> Stats:
        """Return the buckets from `begin` to before `end`, counted over `heads`."""
        parts, at = [], 0
        for head in heads:
            a, b = max(begin - at, 0), min(end - at, head.n)
            if a < b:
                parts.append(self._chunks.stats(head).at(slice(a, b)))
            at += head.n
        return concat_stats(parts)

    def _take_points(self, first_step: int, last_step: int) -> None:
        points = self._line.history.points(first_step, last_step)
        x = self._line.x_of_points(points)
        a = int(np.searchsorted(x, self._low, "left"))
        b = max(a, int(np.searchsorted(x, self._high, "right")))
        if a:
            self._see_before(int(points.steps[a - 1]))
        if b < x.size:
            self._see_after(int(points.steps[b]))
        if a == b:
            return
        self._see_inside(int(points.steps[a]), int(points.steps[b - 1]))
        values = points.floats()[a:b]
        if b - a > self._grid.n_cells:
            self.parts.append(bucketed(x[a:b], values, self._grid))
        else:
            self.parts.append(Part(x[a:b], x[a:b], single(values)))

    def _see_before(self, step: int) -> None:
        self.last_before = step if self.last_before is None else max(self.last_before, step)

    def _see_after(self, step: int) -> None:
        self.first_after = step if self.first_after is None else min(self.first_after, step)

    def _see_inside(self, first_step: int, last_step: int) -> None:
        first, last = self.inside or (first_step, last_step)
        self.inside = min(first, first_step), max(last, last_step)


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the half-open range of each run of equal neighbours."""
    starts = (np.flatnonzero(flags[1:] != flags[:-1]) + 1).tolist()
    return pairwise([0, *starts, flags.size])


def _on_grid(parts: list[Part], grid: Grid) -> Part:
    x = np.concatenate([part.x for part in parts])
    x_last = np.concatenate([part.x_last for part in parts])
    starts = starts_of(grid.cells(x))
    ends = np.append(starts[1:], x.size) - 1
    return Part(x[starts], x_last[ends], merge_stats(concat_stats([part.stats for part in parts]), starts))
