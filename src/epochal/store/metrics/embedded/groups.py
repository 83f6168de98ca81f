"""Answers a query for groups: one line out of many runs, over all of them.

Each run is brought onto the cells that all share, as one value a cell; then the runs are a matrix, and
the statistics are over its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.contract import Buckets, GroupAnswer, GroupBuckets, GroupInfo, GroupQuery
from epochal.store.metrics.embedded.lines import Line
from epochal.store.metrics.embedded.pyramid import Floats, Positions
from epochal.store.metrics.embedded.series import Lines, grid_of
from epochal.store.metrics.embedded.snapshot import Snapshot
from epochal.store.metrics.embedded.spans import Grid, merged

Column = NDArray[np.float64] | NDArray[np.int32]

# So many runs are read at once: their buckets are in memory together.
_BATCH_RUNS = 64
_SLICE_VALUES = 1 << 16


def read_groups(snapshot: Snapshot, query: GroupQuery) -> GroupAnswer:
    """Return the answer to `query`; see `contract.MetricStore.read_groups`."""
    found: dict[tuple[int, str], _Group] = {}
    for key in query.keys:
        # Key by key: the lines of one are in memory together.
        for group, result in enumerate(_read_key(snapshot, query, key)):
            found[group, key] = result
    infos, parts = [], []
    for group in range(len(query.groups)):
        for key in query.keys:
            result = found[group, key]
            infos.append(GroupInfo(group=group, key=key, n_runs=result.n_runs, exact=result.exact))
            parts.append(result.columns)
    return GroupAnswer(infos, _buckets(parts))


class _Cells(NamedTuple):
    """The places along x where runs have values."""

    begin: Floats  # (n,)
    end: Floats
    middle: Floats
    grid: Grid
    exact: bool

    def of(self, x: Floats) -> Positions:
        """Return the cell of each x, which is one of them in cells that are exact."""
        return np.searchsorted(self.begin, x) if self.exact else self.grid.cells(x)


class _Group(NamedTuple):
    """One line of an answer."""

    n_runs: int
    exact: bool
    columns: tuple[Column, ...]  # of `GroupBuckets` from `x` on


def _read_key(snapshot: Snapshot, query: GroupQuery, key: str) -> Iterator[_Group]:
    opener = Lines(snapshot, query)
    groups = [[opener.open(opener.history(run, key)) for run in runs] for runs in query.groups]
    low, high = query.x_range or (-np.inf, np.inf)
    lines = [line for group in groups for line in group]
    cells = _cells(lines, low, high, grid_of(lines, low, high, max(1, query.n_buckets)))
    for group in groups:
        yield _Folder(cells, low, high, len(group)).folded(group)


def _cells(lines: Sequence[Line | None], low: float, high: float, grid: Grid) -> _Cells:
    x = _few_x(lines, low, high, grid)
    if x is not None:
        # With the ends of the range a line reaches the edges of the chart, even if it has no point there.
        ends = [end for end in (low, high) if grid.low <= end <= grid.high]
        x = np.unique(np.append(x, ends))
        return _Cells(x, x, x, grid, exact=True)
    # Not by the width, which may be infinite.
    share = np.linspace(0.0, 1.0, grid.n_cells + 1)
    edges = grid.low * (1.0 - share) + grid.high * share
    return _Cells(edges[:-1], edges[1:], edges[:-1] / 2 + edges[1:] / 2, grid, exact=False)


def _few_x(lines: Sequence[Line | None], low: float, high: float, grid: Grid) -> Floats | None:
    """Return all x of the lines in the range if these come point by point and are no more than the cells."""
    found = np.empty(0)
    for line in lines:
        if line is None:
            continue
        reading = line.read(low, high, grid)
        if not reading.exact:
            return None
        found = np.unique(np.concatenate([found, *(spans.x for spans in reading.inside)]))
        if found.size > grid.n_cells:
            return None
    return found


class _Folder:
    """Brings the runs of one group together.

    Args:
        cells: of all groups.
        low: end of the range.
        high: the other one.
        n_runs: of the group.
    """

    def __init__(self, cells: _Cells, low: float, high: float, n_runs: int) -> None:
        self._cells, self._low, self._high = cells, low, high
        n = cells.begin.size
        self._values = np.full((max(1, n_runs), n), np.nan)
        self._lowest, self._highest = np.full(n, np.inf), np.full(n, -np.inf)
        self._counts = np.zeros((4, n), np.int64)

    def folded(self, lines: Sequence[Line | None]) -> _Group:
        """Return what the group has in each cell."""
        for batch in _batches(lines):
            self._read(batch)
        n_runs = np.count_nonzero(~np.isnan(self._values), axis=0)
        mean, median, std = _in_slices(self._values, n_runs)
        has_value = n_runs > 0
        columns = (
            self._cells.begin,
            self._cells.end,
            mean,
            median,
            np.where(has_value, self._lowest, np.nan),
            np.where(has_value, self._highest, np.nan),
            std,
            std / np.sqrt(np.maximum(n_runs, 1)),
            *(counts.astype(np.int32) for counts in (n_runs, *self._counts)),
        )
        is_there = has_value | (self._counts[0] > 0)
        n_taking_part = np.count_nonzero((~np.isnan(self._values)).any(axis=1))
        return _Group(int(n_taking_part), self._cells.exact, tuple(column[is_there] for column in columns))

    def _read(self, batch: Sequence[tuple[int, Line]]) -> None:
        grid, exact = self._cells.grid, self._cells.exact
        readings = []
        for number, line in batch:
            # A run that comes point by point is put in cells like the others, unless all do.
            reading = line.read(self._low, self._high, grid)._replace(exact=exact)
            readings.append((number, reading, grid))
        buckets = merged(readings)
        is_inside = (buckets.x >= self._low) & (buckets.x <= self._high)
        inside = Buckets._make(column[is_inside] for column in buckets)
        if inside.x.size:
            self._put(inside)
        beyond = Buckets._make(column[~is_inside] for column in buckets)
        for number, _ in batch:
            self._fill(number, beyond)

    def _put(self, inside: Buckets) -> None:
        """Take what runs have in cells; several buckets of a run in one cell are points of one x."""
        n = self._cells.begin.size
        cell = self._cells.of(inside.x)
        counts = (inside.n_points, inside.n_nan, inside.n_posinf, inside.n_neginf)
        for row, column in zip(self._counts, counts, strict=True):
            row += np.bincount(cell, weights=column, minlength=n).astype(np.int64)
        n_finite = inside.n_points - inside.n_nan - inside.n_posinf - inside.n_neginf
        is_finite = n_finite > 0
        if not is_finite.all():
            inside, cell = Buckets._make(column[is_finite] for column in inside), cell[is_finite]
            n_finite = n_finite[is_finite]
        place = inside.series.astype(np.int64) * n + cell
        starts = np.flatnonzero(np.append(True, place[1:] != place[:-1])) if place.size else place
        mean = inside.mean
        if starts.size < place.size:
            total = np.add.reduceat(n_finite, starts)
            shares = n_finite / np.repeat(total, np.diff(starts, append=place.size))
            mean = np.add.reduceat(mean * shares, starts)
        self._values.reshape(-1)[place[starts]] = mean
        np.minimum.at(self._lowest, cell, inside.low)
        np.maximum.at(self._highest, cell, inside.high)

    def _fill(self, number: int, beyond: Buckets) -> None:
        """Give a run values in cells between its own."""
        values, middle = self._values[number], self._cells.middle
        is_known = ~np.isnan(values)
        if is_known.all():
            return
        begin, end = np.searchsorted(beyond.series, [number, number + 1])
        own = [i for i in range(begin, end) if np.isfinite(beyond.mean[i])]
        before = [i for i in own if beyond.x[i] < self._low]
        after = [i for i in own if beyond.x[i] > self._high]
        x = np.concatenate([beyond.x[before], middle[is_known], beyond.x[after]])
        y = np.concatenate([beyond.mean[before], values[is_known], beyond.mean[after]])
        if x.size < 2:
            return
        at = np.flatnonzero(~is_known & (middle > x[0]) & (middle < x[-1]))
        if at.size:
            values[at] = _between(middle[at], x, y)
            self._lowest[at] = np.minimum(self._lowest[at], values[at])
            self._highest[at] = np.maximum(self._highest[at], values[at])


def _between(at: Floats, x: Floats, y: Floats) -> Floats:
    """Return the line through points, whose x ascends, at places between them."""
    right = np.searchsorted(x, at, "right")
    left = right - 1
    share = (at - x[left]) / (x[right] - x[left])
    # Not y + share * difference: of two numbers that are far apart the difference may be infinite.
    return y[left] * (1.0 - share) + y[right] * share


def _in_slices(values: Floats, n_runs: Positions) -> list[Floats]:
    """Return the statistics of each column, made of some columns at a time to stay small."""
    n_columns = max(1, _SLICE_VALUES // values.shape[0])
    slices = [slice(begin, begin + n_columns) for begin in range(0, n_runs.size, n_columns)]
    parts = [_statistics(values[:, part], n_runs[part]) for part in slices or [slice(0, 0)]]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _statistics(values: Floats, n_runs: Positions) -> tuple[Floats, Floats, Floats]:
    """Return mean, median and standard deviation of each column's numbers, of which there are `n_runs`."""
    at_least_one = np.maximum(n_runs, 1)
    mean = np.nansum(values / at_least_one, axis=0)
    spread = np.abs(values - mean)
    scale = np.fmax.reduce(spread, axis=0, initial=0.0)
    scale = np.where(scale > 0, scale, 1.0)
    squares = np.nansum((spread / scale) ** 2, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        std = np.sqrt(squares / (n_runs - 1)) * scale
    # NaN sorts behind all numbers.
    ordered = np.sort(values.T, axis=1)
    column = np.arange(n_runs.size)
    below, above = ordered[column, (at_least_one - 1) // 2], ordered[column, at_least_one // 2]
    median = np.where(below == above, below, below / 2 + above / 2)
    return np.where(n_runs > 0, mean, np.nan), median, np.where(n_runs > 1, std, np.nan)


def _batches(lines: Sequence[Line | None]) -> Iterator[list[tuple[int, Line]]]:
    """Yield the lines that there are with their numbers, some at a time."""
    numbered = [(number, line) for number, line in enumerate(lines) if line is not None]
    for begin in range(0, len(numbered), _BATCH_RUNS):
        yield numbered[begin : begin + _BATCH_RUNS]


def _buckets(parts: Sequence[tuple[Column, ...]]) -> GroupBuckets:
    series = np.repeat(np.arange(len(parts), dtype=np.int32), [part[0].size for part in parts])
    columns = zip(*(parts or [_NOTHING]), strict=True)
    return GroupBuckets(series, *map(np.concatenate, columns))


_NOTHING: tuple[Column, ...] = (*(np.empty(0) for _ in range(8)), *(np.empty(0, np.int32) for _ in range(5)))
