"""Spans of neighbouring points along x, as a chart reads them, and how they become a chart's buckets.

A chart's spans come from several levels, and from points behind them; where two of them meet in one cell of
the chart they become one bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from epochal.store.metrics.contract import Buckets
from epochal.store.metrics.embedded.pyramid import Floats, Ints, Positions, stats_of

FIRST, LAST, LOW, HIGH, MEAN = range(5)

_SMALL = 1024  # spans


class Spans(NamedTuple):
    """Spans of neighbouring points of one series, by x.  n is their number."""

    x: Floats  # (n,), of the first point
    x_last: Floats  # (n,)
    values: Floats  # (5, n): first, last, low, high and mean, as in `pyramid.Stats`
    n_points: Ints  # (n,)
    odd: Ints | None  # (3, n): NaNs, positive and negative infinities; None if all values are finite

    def at(self, index: slice) -> Spans:
        """Return the spans at `index`."""
        odd = None if self.odd is None else self.odd[:, index]
        return Spans(self.x[index], self.x_last[index], self.values[:, index], self.n_points[index], odd)


class Grid(NamedTuple):
    """The cells that buckets stand for, of equal width from `low` to `high`."""

    low: float
    high: float
    n_cells: int

    def cells(self, x: Floats) -> Positions:
        """Return the cell of each x from `low` on; what is beyond `high` counts to the last one."""
        low, width = self.low, self.high - self.low
        if width == np.inf:
            x, low, width = x / 2, low / 2, self.high / 2 - low / 2
        if not width > 0:
            return np.zeros(x.size, np.intp)
        cells = x - low
        cells /= width
        cells *= self.n_cells
        return np.minimum(cells, self.n_cells - 1, out=cells).astype(np.intp)


class Reading(NamedTuple):
    """What a line shows in a range."""

    before: Spans | None  # the point before the range
    inside: list[Spans]  # one after the other
    after: Spans | None
    n_points: int  # in the range
    exact: bool  # every span inside is one point


def spans_of_points(x: Floats, values: Floats) -> Spans:
    """Return one span a point."""
    n = values.size
    is_finite = np.isfinite(values)
    one = np.ones(n, np.int64)
    columns = np.empty((5, n))
    columns[:] = values
    if is_finite.all():
        return Spans(x, x, columns, one, None)
    for row, neutral in ((LOW, np.inf), (HIGH, -np.inf), (MEAN, 0.0)):
        columns[row, ~is_finite] = neutral
    odd = np.array([np.isnan(values), values == np.inf, values == -np.inf], np.int64)
    return Spans(x, x, columns, one, odd)


def bucketed(x: Floats, values: Floats, grid: Grid) -> Spans:
    """Return points, of which there is at least one and whose x ascends, as one span per cell."""
    cells = grid.cells(x)
    starts = np.flatnonzero(np.append(True, cells[1:] != cells[:-1]))
    stats = stats_of(values, starts)
    odd = np.array([stats.n_nan, stats.n_posinf, stats.n_neginf])
    return Spans(
        x[starts],
        x[np.append(starts[1:], x.size) - 1],
        np.array([stats.first, stats.last, stats.low, stats.high, stats.mean]),
        stats.n_points,
        odd if odd.any() else None,
    )


def merged(readings: Sequence[tuple[int, Reading, Grid]]) -> Buckets:
    """Return the buckets of lines that were read, one line after the other.

    Spans inside a range whose first points are in one cell of the grid become one bucket, unless the reading
    is exact.  A line's buckets do not depend on the others.

    Args:
        readings: each with the number of its series and its grid.
    """
    found: list[Spans] = []
    series: list[int] = []
    cutters: dict[Grid, _Cutter] = {}
    for number, reading, grid in readings:
        inside = reading.inside
        if not reading.exact:
            cutter = cutters.get(grid)
            if cutter is None:
                cutter = cutters[grid] = _Cutter(grid)
            inside = _on_grid(inside, cutter)
        before = [] if reading.before is None else [reading.before]
        after = [] if reading.after is None else [reading.after]
        found += before + inside + after
        series += [number] * (len(found) - len(series))
    return _buckets(found or [_NO_SPANS], series or [0])


class _Cut(NamedTuple):
    """Where spans are cut in runs that begin in one cell."""

    x: Floats  # of the spans
    x_last: Floats
    starts: Positions
    ends: Positions
    first_cell: int
    last_cell: int


class _Cutter:
    """Cuts spans at the borders of a grid's cells."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._last: _Cut | None = None

    def cut(self, x: Floats, x_last: Floats) -> _Cut:
        """Return where spans, of which there is at least one, are cut."""
        last = self._last
        # Runs that logged at the same steps share the array (see `levels`), in which no step occurs twice.
        if (
            last is not None
            and x.base is not None
            and x.base is last.x.base
            and x_last.base is last.x_last.base
            and (x.size, x[0], x_last[0]) == (last.x.size, last.x[0], last.x_last[0])
        ):
            return last
        cells = self._grid.cells(x)
        is_start = np.empty(cells.size, np.bool_)
        is_start[0] = True
        np.not_equal(cells[1:], cells[:-1], out=is_start[1:])
        starts = is_start.nonzero()[0]
        ends = np.empty_like(starts)
        np.subtract(starts[1:], 1, out=ends[:-1])
        ends[-1] = cells.size - 1
        cut = _Cut(x, x_last, starts, ends, int(cells[0]), int(cells[-1]))
        if x.size > _SMALL:
            self._last = cut
        return cut


def _on_grid(parts: Sequence[Spans], cutter: _Cutter) -> list[Spans]:
    """Return spans, given one part after the other, with those that begin in one cell made one."""
    found: list[Spans] = []
    last_cell = -1
    for spans in _gathered(parts):
        cut = cutter.cut(spans.x, spans.x_last)
        made = _merge(spans, cut.starts, cut.ends)
        if cut.first_cell == last_cell:
            made = _with_first(found[-1], made)
            found[-1] = found[-1].at(slice(0, -1))
        last_cell = cut.last_cell
        found.append(made)
    return found


def _gathered(parts: Sequence[Spans]) -> list[Spans]:
    """Return `parts` with small neighbours put together: what follows costs most of its time by the part."""
    found: list[Spans] = []
    small: list[Spans] = []
    for spans in parts:
        if spans.x.size > _SMALL:
            found += [_concat(small), spans] if small else [spans]
            small = []
        else:
            small.append(spans)
    return [*found, _concat(small)] if small else found


def joined_odd(parts: Sequence[tuple[int, Ints | None]]) -> Ints | None:
    """Return the counts of what is not finite one after the other, given with how many spans each has."""
    if all(odd is None for _, odd in parts):
        return None
    return np.concatenate([np.zeros((3, n), np.int64) if odd is None else odd for n, odd in parts], axis=1)


_NO_SPANS = Spans(np.empty(0), np.empty(0), np.empty((5, 0)), np.empty(0, np.int64), None)


def _concat(spans: Sequence[Spans]) -> Spans:
    if len(spans) == 1:
        return spans[0]
    return Spans(
        np.concatenate([part.x for part in spans]),
        np.concatenate([part.x_last for part in spans]),
        np.concatenate([part.values for part in spans], axis=1),
        np.concatenate([part.n_points for part in spans]),
        joined_odd([(part.x.size, part.odd) for part in spans]),
    )


def _with_first(before: Spans, spans: Spans) -> Spans:
    """Return `spans` whose first one includes the last one of `before`."""
    if before.odd is not None or spans.odd is not None:
        two = _concat([before.at(slice(-1, None)), spans.at(slice(0, 1))])
        both = _merge(two, np.zeros(1, np.intp), np.ones(1, np.intp))
        return _concat([both, spans.at(slice(1, None))])
    # Number by number: for a single span numpy takes ten times as long.
    (first, _, low, high, mean), n = before.values[:, -1].tolist(), int(before.n_points[-1])
    _, last, next_low, next_high, next_mean = spans.values[:, 0].tolist()
    low, high, total = min(low, next_low), max(high, next_high), n + int(spans.n_points[0])
    mean = mean * (n / total) + next_mean * (1.0 - n / total)
    x, values, n_points = spans.x.copy(), spans.values.copy(), spans.n_points.copy()
    x[0], n_points[0] = before.x[-1], total
    values[:, 0] = first, last, low, high, min(max(mean, low), high)
    return Spans(x, spans.x_last, values, n_points, None)


def _merge(spans: Spans, starts: Positions, ends: Positions) -> Spans:
    """Return the spans of runs of spans, of which there is at least one, given their first and last ones."""
    if starts.size == spans.x.size:
        return spans
    values = np.empty((5, starts.size))
    spans.values[FIRST].take(starts, out=values[FIRST])
    spans.values[LAST].take(ends, out=values[LAST])
    np.minimum.reduceat(spans.values[LOW], starts, out=values[LOW])
    np.maximum.reduceat(spans.values[HIGH], starts, out=values[HIGH])
    n_points = np.add.reduceat(spans.n_points, starts)
    odd = None if spans.odd is None else np.add.reduceat(spans.odd, starts, axis=1)
    _mean(spans, starts, n_points if odd is None else n_points - odd.sum(axis=0), values)
    return Spans(spans.x[starts], spans.x_last[ends], values, n_points, odd)


def _mean(spans: Spans, starts: Positions, n_finite: Ints, values: Floats) -> None:
    """Put the means of the finite values into `values`, 0 where there are none."""
    weights = spans.n_points if spans.odd is None else spans.n_points - spans.odd.sum(axis=0)
    divisor = n_finite if spans.odd is None else np.maximum(n_finite, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(spans.values[MEAN] * weights, starts)
        mean /= divisor
        # One sum tells that all are finite; where it says that they are not, some may be all the same.
        all_finite = np.isfinite(np.add.reduce(mean))
    if not all_finite:
        # The sums of some were too large.  The others stay as they are: a line's buckets must not depend on
        # what is merged beside it.
        shares = weights / np.repeat(divisor, np.diff(starts, append=weights.size))
        slow = np.add.reduceat(spans.values[MEAN] * shares, starts)
        mean = np.where(np.isfinite(mean), mean, slow)
    # Rounding can carry a mean past its neighbours by one bit.
    np.minimum(np.maximum(mean, values[LOW], out=mean), values[HIGH], out=values[MEAN])
    if spans.odd is not None:
        values[MEAN, n_finite == 0] = 0.0


def _buckets(found: Sequence[Spans], series: Sequence[int]) -> Buckets:
    """Return spans as they are, given the number of the series of each part."""
    sizes = [spans.x.size for spans in found]
    # Column by column: one array for all of them would be so large that its memory is new each time.
    first, last, low, high, mean = (
        np.concatenate([spans.values[row] for spans in found]) for row in (FIRST, LAST, LOW, HIGH, MEAN)
    )
    n_points = np.concatenate([spans.n_points for spans in found])
    odd = joined_odd([(n, spans.odd) for n, spans in zip(sizes, found, strict=True)])
    if odd is None:
        n_nan = n_posinf = n_neginf = np.zeros(n_points.size, np.int32)
    else:
        n_nan, n_posinf, n_neginf = odd.astype(np.int32)
        has_finite = n_points > odd.sum(axis=0)
        low, high, mean = (np.where(has_finite, column, np.nan) for column in (low, high, mean))
    return Buckets(
        series=np.repeat(np.array(series, np.int32), sizes),
        x=np.concatenate([spans.x for spans in found]),
        x_last=np.concatenate([spans.x_last for spans in found]),
        first=first,
        last=last,
        low=low,
        high=high,
        mean=mean,
        n_points=n_points.astype(np.int32),
        n_nan=n_nan,
        n_posinf=n_posinf,
        n_neginf=n_neginf,
    )
