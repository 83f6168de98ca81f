"""Spans of neighbouring points along x, as a chart reads them, and how they become a chart's buckets.

A chart's spans come from several levels, and from points behind them; where two of them meet in one cell of
the chart they become one bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from epochal.store.metrics.contract import Buckets
from epochal.store.metrics.embedded.pyramid import Floats, Ints, Positions, stats_of

FIRST, LAST, LOW, HIGH, MEAN = range(5)

_SMALL = 1024  # spans
_LONG = 8  # spans; fewer are sooner picked one by one


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
    pieces: list[_Piece] = []
    series: list[int] = []
    cutters: dict[Grid, _Cutter] = {}
    for number, reading, grid in readings:
        if reading.before is not None:
            pieces.append(_Piece(reading.before, None))
        if reading.exact:
            pieces += [_Piece(spans, None) for spans in reading.inside]
        else:
            cutter = cutters.get(grid)
            if cutter is None:
                cutter = cutters[grid] = _Cutter(grid)
            pieces += _on_grid(reading.inside, cutter)
        if reading.after is not None:
            pieces.append(_Piece(reading.after, None))
        series += [number] * (len(pieces) - len(series))
    return _buckets(pieces or [_Piece(_NO_SPANS, None)], series or [0])


class _Cut(NamedTuple):
    """Where spans are cut in runs that begin in one cell."""

    x: Floats  # of the spans
    x_last: Floats
    n_points: Ints
    weights: Floats  # the same
    starts: Positions
    ends: Positions
    places: Positions | None  # (longest run, runs), the last of a run repeated; None if some are long
    totals: Ints  # points of each run
    first_x: Floats  # of each run
    last_x: Floats
    first_cell: int
    last_cell: int

    def is_of(self, spans: Spans) -> bool:
        """Return whether `spans` are the same parts of the same arrays, in which no step occurs twice."""
        x, x_last, n_points = spans.x, spans.x_last, spans.n_points
        return (
            x.base is not None
            and x.base is self.x.base
            and x_last.base is self.x_last.base
            and n_points.base is self.n_points.base
            and (x.size, x[0], x_last[0]) == (self.x.size, self.x[0], self.x_last[0])
        )


class _Piece(NamedTuple):
    """Spans that are to be cut, or with no cut as they are."""

    spans: Spans
    cut: _Cut | None

    def size(self) -> int:
        """Return how many spans come of it."""
        return self.spans.x.size if self.cut is None else self.cut.starts.size

    def made(self) -> Spans:
        """Return the spans that come of it."""
        return self.spans if self.cut is None else _merge(self.spans, self.cut)


class _Cutter:
    """Cuts spans at the borders of a grid's cells."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._last: _Cut | None = None

    def cut(self, spans: Spans) -> _Cut:
        """Return where spans, of which there is at least one, are cut."""
        # Runs that logged at the same steps share the arrays (see `levels`).
        if self._last is not None and self._last.is_of(spans):
            return self._last
        cells = self._grid.cells(spans.x)
        is_start = np.empty(cells.size, np.bool_)
        is_start[0] = True
        np.not_equal(cells[1:], cells[:-1], out=is_start[1:])
        starts = is_start.nonzero()[0]
        ends = np.empty_like(starts)
        np.subtract(starts[1:], 1, out=ends[:-1])
        ends[-1] = cells.size - 1
        cut = _cut(spans, starts, ends, int(cells[0]), int(cells[-1]))
        if spans.x.size > _SMALL:
            self._last = cut
        return cut


def _cut(spans: Spans, starts: Positions, ends: Positions, first_cell: int, last_cell: int) -> _Cut:
    longest = int((ends - starts).max()) + 1
    places = None
    if longest <= _LONG and spans.odd is None:
        places = np.minimum(starts + np.arange(longest)[:, np.newaxis], ends)
    return _Cut(
        spans.x,
        spans.x_last,
        spans.n_points,
        spans.n_points.astype(np.float64),
        starts,
        ends,
        places,
        np.add.reduceat(spans.n_points, starts),
        spans.x[starts],
        spans.x_last[ends],
        first_cell,
        last_cell,
    )


def grouped(spans: Spans, starts: Positions, ends: Positions) -> Spans:
    """Return the spans of runs of spans, of which there is at least one, given their first and last ones."""
    return _merge(spans, _cut(spans, starts, ends, 0, 0))


def _on_grid(parts: Sequence[Spans], cutter: _Cutter) -> list[_Piece]:
    """Return spans, given one part after the other, to be made one where they begin in one cell."""
    pieces = [_Piece(spans, cutter.cut(spans)) for spans in _gathered(parts)]
    if len(pieces) < 2:
        return pieces
    found: list[Spans] = []
    last_cell = -1
    for piece in pieces:
        made, cut = piece.made(), cast("_Cut", piece.cut)
        if cut.first_cell == last_cell:
            made = _with_first(found[-1], made)
            found[-1] = found[-1].at(slice(0, -1))
        last_cell = cut.last_cell
        found.append(made)
    return [_Piece(spans, None) for spans in found]


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
        both = grouped(two, np.zeros(1, np.intp), np.ones(1, np.intp))
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


def _merge(spans: Spans, cut: _Cut) -> Spans:
    """Return the spans of runs of spans, of which there is at least one."""
    if cut.starts.size == spans.x.size:
        return spans
    values = np.empty((5, cut.starts.size))
    odd = _merge_into(values, spans, cut)
    return Spans(cut.first_x, cut.last_x, values, cut.totals, odd)


def _merge_into(values: Floats, spans: Spans, cut: _Cut) -> Ints | None:
    """Put what runs of spans tell into `values`, shape (5, runs); return what of them is not finite."""
    starts, ends, places = cut.starts, cut.ends, cut.places
    if starts.size == spans.x.size:
        values[:] = spans.values
        return spans.odd
    first, last, low, high, _ = values
    # All places are there; without a mode numpy would write to a copy first.
    spans.values[FIRST].take(starts, out=first, mode="clip")
    spans.values[LAST].take(ends, out=last, mode="clip")
    if places is not None and spans.odd is None:
        np.minimum.reduce(spans.values[LOW].take(places, mode="clip"), axis=0, out=low)
        np.maximum.reduce(spans.values[HIGH].take(places, mode="clip"), axis=0, out=high)
    else:
        np.minimum.reduceat(spans.values[LOW], starts, out=low)
        np.maximum.reduceat(spans.values[HIGH], starts, out=high)
    odd = None if spans.odd is None else np.add.reduceat(spans.odd, starts, axis=1)
    _mean(spans, cut, odd, values)
    return odd


def _mean(spans: Spans, cut: _Cut, odd: Ints | None, values: Floats) -> None:
    """Put the means of the finite values into `values`, 0 where there are none."""
    weights, divisor = cut.weights, cut.totals
    n_finite = divisor if odd is None else divisor - odd.sum(axis=0)
    if spans.odd is not None:
        weights, divisor = weights - spans.odd.sum(axis=0), np.maximum(n_finite, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(spans.values[MEAN] * weights, cut.starts)
        mean /= divisor
        # One sum tells that all are finite; where it says that they are not, some may be all the same.
        all_finite = np.isfinite(np.add.reduce(mean))
    if not all_finite:
        # The sums of some were too large.  The others stay as they are: a line's buckets must not depend on
        # what is merged beside it.
        shares = weights / np.repeat(divisor, np.diff(cut.starts, append=weights.size))
        slow = np.add.reduceat(spans.values[MEAN] * shares, cut.starts)
        mean = np.where(np.isfinite(mean), mean, slow)
    # Rounding can carry a mean past its neighbours by one bit.
    np.minimum(np.maximum(mean, values[LOW], out=mean), values[HIGH], out=values[MEAN])
    if odd is not None:
        values[MEAN, n_finite == 0] = 0.0


def _buckets(pieces: Sequence[_Piece], series: Sequence[int]) -> Buckets:
    """Return what comes of pieces, given the number of the series of each."""
    sizes = [piece.size() for piece in pieces]
    n = sum(sizes)
    # Made where they stay: to put them together afterwards takes as long as to make them.
    values, ends, n_points = np.empty((5, n)), np.empty((2, n)), np.empty(n, np.int32)
    x, x_last = ends
    odds: list[tuple[int, Ints | None]] = []
    begin = 0
    for (spans, cut), size in zip(pieces, sizes, strict=True):
        end = begin + size
        part = values[:, begin:end]
        if cut is None:
            part[:], odd = spans.values, spans.odd
            x[begin:end], x_last[begin:end], n_points[begin:end] = spans.x, spans.x_last, spans.n_points
        else:
            odd = _merge_into(part, spans, cut)
            x[begin:end], x_last[begin:end], n_points[begin:end] = cut.first_x, cut.last_x, cut.totals
        odds.append((size, odd))
        begin = end
    first, last, low, high, mean = values
    odd = joined_odd(odds)
    if odd is None:
        n_nan = n_posinf = n_neginf = np.zeros(n, np.int32)
    else:
        n_nan, n_posinf, n_neginf = odd.astype(np.int32)
        has_finite = n_points > odd.sum(axis=0)
        low, high, mean = (np.where(has_finite, column, np.nan) for column in (low, high, mean))
    return Buckets(
        series=np.repeat(np.array(series, np.int32), sizes),
        x=x,
        x_last=x_last,
        first=first,
        last=last,
        low=low,
        high=high,
        mean=mean,
        n_points=n_points,
        n_nan=n_nan,
        n_posinf=n_posinf,
        n_neginf=n_neginf,
    )
