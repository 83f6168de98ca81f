"""A line read from the levels above its series.

Reading begins at the top and goes down only where a bucket is wider than a cell of the chart, lies across an
end of the range, or has points written over it that are not in chunks yet.  What is read is in proportion to
the cells, not to the points; and where the series is dense in one place and thin in another, each place
is read at its own resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.embedded.chunks import ChunkHead
from epochal.store.metrics.embedded.history import MAX_STEP, MIN_STEP, SeriesHistory
from epochal.store.metrics.embedded.levels import Layout, Levels, Values
from epochal.store.metrics.embedded.points import Points, concat, overlay, step_slice
from epochal.store.metrics.embedded.pyramid import Floats, Ints
from epochal.store.metrics.embedded.spans import Grid, Reading, Spans, bucketed, spans_of_points

# Where only few buckets are a little wider than a cell, going down would read far more than it shows.
_WIDE_SHARE = 0.1
_TOO_WIDE = 8.0


class _Point(NamedTuple):
    """A point beyond the range, or a step up to which there may be one."""

    step: int
    spans: Spans | None  # None: only the step is known


class LevelsLine:
    """A line whose x rises with its steps.

    Args:
        history: of the key; some of it is in chunks.
        by_time: x is time, and the tail follows what is in chunks in steps and times.
        origin: Unix seconds that x counts from, for time.
    """

    def __init__(self, history: SeriesHistory, *, by_time: bool, origin: float = 0.0) -> None:
        assert history.series is not None
        self.history, self.series = history, history.series
        self.levels = Levels(history.chunks, history.series)
        self.by_time, self.origin = by_time, origin

    def extent(self) -> tuple[float, float]:
        """Return the least and the greatest x."""
        tail = self.history.tail.numbers()
        first, last = self.chunks_extent()
        if len(tail):
            ends = tail.times if self.by_time else tail.steps
            first, last = min(first, float(ends[0])), max(last, float(ends[-1]))
        return first - self.origin, last - self.origin

    def chunks_extent(self) -> tuple[float, float]:
        """Return the least and the greatest step or time of what is in chunks."""
        series = self.series
        first: float | None = series.min_time if self.by_time else series.first_step
        last: float | None = series.max_time if self.by_time else series.last_step
        assert first is not None
        assert last is not None
        return float(first), float(last)

    def read(self, low: float, high: float, grid: Grid) -> Reading:
        """Return the spans of the points from `low` to `high`, both included, for `grid`."""
        descent = _Descent(self, low, high, grid)
        if not descent.take_whole():
            descent.go_down(self.series.top_level, MIN_STEP, MAX_STEP)
        n_points = sum(int(np.add.reduce(spans.n_points)) for spans in descent.inside)
        exact = n_points <= grid.n_cells
        inside = descent.inside
        if exact and descent.steps is not None and not descent.is_exact:
            inside = [self.spans_of(self.points(*descent.steps))]
        return Reading(
            self._beyond(descent.before, self.history.point_at_or_before),
            inside,
            self._beyond(descent.after, self.history.point_at_or_after),
            n_points,
            exact,
        )

    def points(self, first_step: int, last_step: int) -> Points:
        """Return the points from `first_step` to `last_step`, both included."""
        chunks = self.history.chunks
        heads = self.levels.heads(0, first_step, last_step)
        below = concat([chunks.points(head).between(first_step, last_step) for head in heads])
        if not len(self.history.tail):
            return below
        return overlay(below, self.history.tail.between(first_step, last_step)).numbers()

    def x_of(self, points: Points) -> Floats:
        """Return x of points."""
        return points.times - self.origin if self.by_time else points.steps.astype(np.float64)

    def spans_of(self, points: Points) -> Spans:
        """Return points as spans."""
        return spans_of_points(self.x_of(points), points.floats())

    def _beyond(self, seen: _Point | None, find: Callable[[int], Points | None]) -> Spans | None:
        if seen is None or seen.spans is not None:
            return None if seen is None else seen.spans
        point = find(seen.step)
        return None if point is None else self.spans_of(point)


class _Buckets(NamedTuple):
    """Some neighbouring buckets of a level."""

    level: int
    heads: list[ChunkHead]
    offset: int  # of the first one in `heads`
    first_step: Ints
    last_step: Ints
    x: Floats
    x_last: Floats
    widest: float  # none is wider
    narrowest: float
    values: Values | None = None  # None: they are in `heads`

    def size(self) -> int:
        return self.x.size


class _Descent:
    """Gathers, in step order, the spans between `low` and `high`."""

    def __init__(self, line: LevelsLine, low: float, high: float, grid: Grid) -> None:
        self._line, self._low, self._high, self._grid = line, low, high, grid
        self._levels, self._series = line.levels, line.series
        self._sizes = line.history.chunks.sizes
        self._cell = max((grid.high - grid.low) / grid.n_cells, 0.0)
        self._late_steps = self._late(line.history.tail)
        self.inside: list[Spans] = []
        self.is_exact = True  # what is inside is single points
        self.steps: tuple[int, int] | None = None  # first and last step seen in the range
        # No point lies between these and the range.
        self.before: _Point | None = None
        self.after: _Point | None = None

    def _late(self, tail: Points) -> Ints:
        """Return the steps of the tail that lie among those in chunks."""
        assert self._series.last_step is not None
        return tail.steps[: step_slice(tail.steps, MIN_STEP, self._series.last_step)[1]]

    def take_whole(self) -> bool:
        """Take all of the series from where it is kept as a whole; return whether it could be done.

        It can where spans of one length are narrower than a cell everywhere, as those of most runs are.
        """
        if self._late_steps.size or not self._cell > 0.0:
            return False
        low, high = self._line.chunks_extent()
        for level in range(self._series.top_level, 0, -1):
            if high - low > self._cell * self._levels.n_buckets(level):
                continue  # most are too wide: not even looked at
            whole = self._levels.whole(level, by_time=self._line.by_time)
            if whole is None:
                return False
            steps, ends, values = whole
            if ends.widest <= self._cell:
                self._take(self._whole(level, steps, ends, values))
                self._take_tail()
                return True
        return False

    def _whole(self, level: int, steps: Layout, ends: Layout, values: Values) -> _Buckets:
        x, x_last = ends.x, ends.x_last
        if self._line.by_time:
            x, x_last = x - self._line.origin, x_last - self._line.origin
        first, last = cast("Ints", steps.first), cast("Ints", steps.last)
        return _Buckets(level, [], 0, first, last, x, x_last, ends.widest, ends.narrowest, values)

    def _take_tail(self) -> None:
        """Take what follows all that is in chunks."""
        tail = self._line.history.tail.numbers()
        if len(tail):
            self._take_these(tail)

    def go_down(self, level: int, first_step: int, last_step: int) -> None:
        """Read the steps from `first_step` to `last_step`, both included, at `level` or below it."""
        if first_step > last_step:
            return
        if level == 0:
            self._take_points(first_step, last_step)
            return
        buckets = self._buckets(level, first_step, last_step)
        if buckets is not None:
            if self._late_steps.size:
                self._take_with_late(buckets, first_step)
            elif buckets.narrowest > self._cell:
                self._pass_by(buckets, first_step, last_step)
                return
            else:
                self._take(buckets)
            first_step = int(buckets.last_step[-1]) + 1
        # The rest is not in this level yet.
        self.go_down(level - 1, first_step, last_step)

    def _buckets(self, level: int, first_step: int, last_step: int) -> _Buckets | None:
        heads = self._levels.heads(level, first_step, last_step)
        if not heads:
            return None
        steps = self._levels.steps(heads)
        a = int(steps.last.searchsorted(first_step, "left"))
        b = int(steps.first.searchsorted(last_step, "right"))
        if a >= b:
            return None
        if self._line.by_time:
            ends, origin = self._levels.times(heads), self._line.origin
            x, x_last = ends.x[a:b] - origin, ends.x_last[a:b] - origin
        else:
            ends = steps
            x, x_last = steps.x[a:b], steps.x_last[a:b]
        first, last = cast("Ints", steps.first[a:b]), cast("Ints", steps.last[a:b])
        return _Buckets(level, heads, a, first, last, x, x_last, ends.widest, ends.narrowest)

    def _pass_by(self, buckets: _Buckets, first_step: int, last_step: int) -> None:
        """Read all steps below the level of buckets that are too wide, what is behind them included."""
        begin = int(buckets.x_last.searchsorted(self._low, "left"))
        end = int(buckets.x.searchsorted(self._high, "right"))
        if begin:
            self._see_before(int(buckets.last_step[begin - 1]))
            first_step = int(buckets.last_step[begin - 1]) + 1
        if end < buckets.size():
            self._see_after(int(buckets.first_step[end]))
            last_step = int(buckets.first_step[end]) - 1
        level = self._below(buckets, begin, end) if begin < end else buckets.level - 1
        self.go_down(level, first_step, last_step)

    def _take(self, buckets: _Buckets) -> None:
        """Take buckets that no late point lies in or between."""
        low, high = self._low, self._high
        begin = int(buckets.x_last.searchsorted(low, "left"))
        end = int(buckets.x.searchsorted(high, "right"))
        if begin:
            self._see_before(int(buckets.last_step[begin - 1]))
        if begin < end:
            if buckets.widest > self._cell:
                self._take_mixed(buckets, begin, end, self._is_wide(buckets, begin, end))
            else:
                self._take_fine(buckets, begin, end)
        if end < buckets.size():
            self._see_after(int(buckets.first_step[end]))

    def _take_fine(self, buckets: _Buckets, begin: int, end: int) -> None:
        is_across_high = buckets.x_last[end - 1] > self._high
        if buckets.x[begin] < self._low:
            self._go_below(buckets, begin, begin + 1)
            begin += 1
        fine_end = end - 1 if is_across_high else end
        if begin < fine_end:
            self._take_as_they_are(buckets, begin, fine_end)
        if is_across_high and begin < end:
            self._go_below(buckets, end - 1, end)

    def _take_mixed(self, buckets: _Buckets, begin: int, end: int, is_coarse: NDArray[np.bool_]) -> None:
        is_coarse |= (buckets.x[begin:end] < self._low) | (buckets.x_last[begin:end] > self._high)
        for a, b in _runs(is_coarse):
            take = self._go_below if is_coarse[a] else self._take_as_they_are
            take(buckets, begin + a, begin + b)

    def _take_with_late(self, buckets: _Buckets, first_step: int) -> None:
        """Take buckets together with what was written over them, or before them from `first_step` on."""
        late = self._late_steps
        owned = np.append(np.int64(first_step), buckets.last_step[:-1] + 1)
        is_late = late.searchsorted(owned, "left") != late.searchsorted(buckets.last_step, "right")
        # A bucket that late points were written before begins with them.
        first = np.where(is_late, owned, buckets.first_step)
        buckets = buckets._replace(first_step=first, x=first.astype(np.float64))
        begin = int(buckets.x_last.searchsorted(self._low, "left"))
        end = int(buckets.x.searchsorted(self._high, "right"))
        if begin:
            self._see_before(int(buckets.last_step[begin - 1]))
        if begin < end:
            self._take_mixed(buckets, begin, end, is_late[begin:end] | self._is_wide(buckets, begin, end))
        if end < buckets.size():
            self._see_after(int(buckets.first_step[end]))

    def _is_wide(self, buckets: _Buckets, begin: int, end: int) -> NDArray[np.bool_]:
        """Return which buckets are too wide to stand for their points."""
        width = buckets.x_last[begin:end] - buckets.x[begin:end]
        is_wide = width > self._cell
        if is_wide.sum() <= _WIDE_SHARE * width.size:
            is_wide &= width > _TOO_WIDE * self._cell
        return is_wide

    def _go_below(self, buckets: _Buckets, begin: int, end: int) -> None:
        """Read the steps of neighbouring buckets below their level."""
        level = self._below(buckets, begin, end)
        self.go_down(level, int(buckets.first_step[begin]), int(buckets.last_step[end - 1]))

    def _below(self, buckets: _Buckets, begin: int, end: int) -> int:
        """Return the level at which to go on below neighbouring buckets.

        A good guess saves reading levels in between; any answer below their level gives a right chart.
        """
        sizes, level = self._sizes, buckets.level
        n_points = (end - begin) * sizes.points_a_bucket * sizes.buckets_a_bucket ** (level - 1)
        if n_points <= sizes.points_a_chunk:
            return 0
        typical = buckets.widest
        if typical > 2.0 * buckets.narrowest:
            typical = float(np.median(buckets.x_last[begin:end] - buckets.x[begin:end]))
        if not typical > self._cell > 0.0:
            return level - 1
        return max(0, level - math.ceil(math.log(typical / self._cell, sizes.buckets_a_bucket)))

    def _take_as_they_are(self, buckets: _Buckets, begin: int, end: int) -> None:
        if buckets.values is not None:
            values = buckets.values.at(slice(begin, end))
        else:
            values = self._levels.values(buckets.heads, buckets.offset + begin, buckets.offset + end)
        self._see_inside(int(buckets.first_step[begin]), int(buckets.last_step[end - 1]), is_points=False)
        self.inside.append(Spans(buckets.x[begin:end], buckets.x_last[begin:end], *values))

    def _take_points(self, first_step: int, last_step: int) -> None:
        self._take_these(self._line.points(first_step, last_step))

    def _take_these(self, points: Points) -> None:
        x = self._line.x_of(points)
        a = int(x.searchsorted(self._low, "left"))
        b = max(a, int(x.searchsorted(self._high, "right")))
        if a:
            self._see_before(int(points.steps[a - 1]), points.at(slice(a - 1, a)))
        if b < x.size:
            self._see_after(int(points.steps[b]), points.at(slice(b, b + 1)))
        if a == b:
            return
        is_many = b - a > self._grid.n_cells
        self._see_inside(int(points.steps[a]), int(points.steps[b - 1]), is_points=not is_many)
        values = points.floats()[a:b]
        self.inside.append(
            bucketed(x[a:b], values, self._grid) if is_many else spans_of_points(x[a:b], values)
        )

    def _see_before(self, step: int, point: Points | None = None) -> None:
        if self.before is None or step >= self.before.step:
            self.before = _Point(step, None if point is None else self._line.spans_of(point))

    def _see_after(self, step: int, point: Points | None = None) -> None:
        if self.after is None or step <= self.after.step:
            self.after = _Point(step, None if point is None else self._line.spans_of(point))

    def _see_inside(self, first_step: int, last_step: int, *, is_points: bool) -> None:
        first, last = self.steps or (first_step, last_step)
        self.steps = min(first, first_step), max(last, last_step)
        self.is_exact &= is_points


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the half-open range of each run of equal neighbours."""
    starts = (np.flatnonzero(flags[1:] != flags[:-1]) + 1).tolist()
    return pairwise([0, *starts, flags.size])
