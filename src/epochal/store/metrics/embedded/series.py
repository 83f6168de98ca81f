"""Answers a query: the series of many runs, those of one key on one grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from epochal.ids import RunId
from epochal.store.metrics.contract import (
    GroupQuery,
    MetricX,
    SeriesAnswer,
    SeriesInfo,
    SeriesQuery,
)
from epochal.store.metrics.embedded.descent import LevelsLine
from epochal.store.metrics.embedded.history import SeriesHistory, history_of, step_range
from epochal.store.metrics.embedded.lines import Line, PointsLine, UnkeptLine
from epochal.store.metrics.embedded.snapshot import RunRow, Snapshot
from epochal.store.metrics.embedded.spans import Grid, merged

# Points of lines without levels that one query holds at once, of 16 bytes.
_MAX_KEPT_POINTS = 4_000_000


def read_series(snapshot: Snapshot, query: SeriesQuery) -> SeriesAnswer:
    """Return the answer to `query`; see `contract.MetricStore.read_series`."""
    names = [(run, key) for run in query.runs for key in query.keys]
    lines = Lines(snapshot, query)
    histories = [lines.history(run, key) for run, key in names]
    opened = [lines.open(history) for history in histories]
    low, high = query.x_range or (-np.inf, np.inf)
    # A key's own grid: what else is asked for beside it must not change a chart.
    n_keys, n_cells = len(query.keys), max(1, query.n_buckets)
    grids = [grid_of(opened[place::n_keys], low, high, n_cells) for place in range(n_keys)]
    readings = [
        None if line is None else line.read(low, high, grids[index % n_keys])
        for index, line in enumerate(opened)
    ]
    infos = [
        SeriesInfo(
            run=run,
            key=key,
            n_points=reading.n_points if reading else 0,
            exact=reading.exact if reading else True,
            last_step=history.last_step() if history else None,
        )
        for (run, key), history, reading in zip(names, histories, readings, strict=True)
    ]
    found = [(i, reading, grids[i % n_keys]) for i, reading in enumerate(readings) if reading is not None]
    return SeriesAnswer(infos, merged(found))


class Lines:
    """Finds the lines of one query in one snapshot."""

    def __init__(self, snapshot: Snapshot, query: SeriesQuery | GroupQuery) -> None:
        self._snapshot, self._stream, self._x = snapshot, query.stream, query.x
        self._n_kept = 0

    def history(self, run_id: RunId, key: str) -> SeriesHistory | None:
        """Return the history of a key, which may be empty; None if there is no such run."""
        run = self._snapshot.run(run_id)
        return None if run is None else history_of(self._snapshot, run, self._stream, key)

    def open(self, history: SeriesHistory | None) -> Line | None:
        """Return the line of a key along the query's x; None for no history."""
        if history is None:
            return None
        if isinstance(self._x, MetricX):
            axis = history_of(self._snapshot, history.run, self._stream, self._x.key)
            return self._kept(lambda: _line_along(history, axis))
        by_time = self._x != "step"
        origin = _origin(history.run) if self._x == "relative" else 0.0
        if history.has_levels() and (not by_time or history.is_time_sorted()):
            return LevelsLine(history, by_time=by_time, origin=origin)
        return self._kept(lambda: _line_of_points(history, by_time=by_time, origin=origin))

    def _kept(self, make: Callable[[], PointsLine]) -> Line:
        """Return the line that `make` gives; once a query has many points, it gives the line for each use."""
        line = make()
        self._n_kept += len(line)
        return line if self._n_kept <= _MAX_KEPT_POINTS else UnkeptLine(line.extent(), make)


def grid_of(lines: Sequence[Line | None], low: float, high: float, n_cells: int) -> Grid:
    """Return the grid that lines share over the range from `low` to `high`."""
    extents = [extent for line in lines if line is not None and (extent := line.extent()) is not None]
    if not extents:
        return Grid(0.0, 0.0, n_cells)
    # Not the whole range where it goes beyond the data: its cells would be empty.
    return Grid(max(low, min(e[0] for e in extents)), min(high, max(e[1] for e in extents)), n_cells)


def _origin(run: RunRow) -> float:
    """Return the time that relative time counts from: that of the run's first row, else first sample."""
    if run.first_time is not None:
        return run.first_time
    return run.first_sample_time or 0.0


def _line_of_points(history: SeriesHistory, *, by_time: bool, origin: float) -> PointsLine:
    points = history.points(*step_range())
    x = points.times - origin if by_time else points.steps.astype(np.float64)
    return PointsLine(x, points.floats())


def _line_along(history: SeriesHistory, axis: SeriesHistory) -> PointsLine:
    """Return the series along another metric, joined by step; x repeats and goes back as it was logged."""
    x_points, points = axis.points(*step_range()), history.points(*step_range())
    if not len(x_points) or not len(points):
        return PointsLine(np.empty(0), np.empty(0))
    if x_points.steps.size == points.steps.size and (x_points.steps == points.steps).all():
        return PointsLine(x_points.floats(), points.floats())
    at = np.minimum(np.searchsorted(x_points.steps, points.steps), len(x_points) - 1)
    is_joined = x_points.steps[at] == points.steps
    return PointsLine(x_points.floats()[at[is_joined]], points.floats()[is_joined])
