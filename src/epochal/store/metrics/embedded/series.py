"""Answers a query: the series of many runs, those of one key on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epochal.ids import RunId
from epochal.store.metrics.contract import (
    MetricX,
    SeriesAnswer,
    SeriesInfo,
    SeriesQuery,
)
from epochal.store.metrics.embedded.descent import LevelsLine
from epochal.store.metrics.embedded.history import SeriesHistory, history_of, step_range
from epochal.store.metrics.embedded.lines import Line, PointsLine, points_line
from epochal.store.metrics.embedded.snapshot import RunRow, Snapshot
from epochal.store.metrics.embedded.spans import Grid, merged


def read_series(snapshot: Snapshot, query: SeriesQuery) -> SeriesAnswer:
    """Return the answer to `query`; see `contract.MetricStore.read_series`."""
    names = [(run, key) for run in query.runs for key in query.keys]
    histories = [_history(snapshot, query, run, key) for run, key in names]
    lines = [_line(snapshot, query, history) for history in histories]
    low, high = query.x_range or (-np.inf, np.inf)
    # A key's own grid: what else is asked for beside it must not change a chart.
    n_keys, n_cells = len(query.keys), max(1, query.n_buckets)
    grids = [_grid(lines[place::n_keys], low, high, n_cells) for place in range(n_keys)]
    readings = [
        None if line is None else line.read(low, high, grids[index % n_keys])
        for index, line in enumerate(lines)
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


def _history(snapshot: Snapshot, query: SeriesQuery, run_id: RunId, key: str) -> SeriesHistory | None:
    run = snapshot.run(run_id)
    return None if run is None else history_of(snapshot, run, query.stream, key)


def _line(snapshot: Snapshot, query: SeriesQuery, history: SeriesHistory | None) -> Line | None:
    if history is None:
        return None
    if isinstance(query.x, MetricX):
        return _line_along(history, history_of(snapshot, history.run, query.stream, query.x.key))
    by_time = query.x != "step"
    origin = _origin(history.run) if query.x == "relative" else 0.0
    if history.has_levels() and (not by_time or history.is_time_sorted()):
        return LevelsLine(history, by_time=by_time, origin=origin)
    points = history.points(*step_range())
    return points_line(points, points.times - origin if by_time else points.steps.astype(np.float64))


def _origin(run: RunRow) -> float:
    """Return the time that relative time counts from: that of the run's first row, else first sample."""
    if run.first_time is not None:
        return run.first_time
    return run.first_sample_time or 0.0


def _line_along(history: SeriesHistory, axis: SeriesHistory) -> Line:
    """Return the series along another metric, joined by step; x repeats and goes back as it was logged."""
    x_points, points = axis.points(*step_range()), history.points(*step_range())
    if not len(x_points) or not len(points):
        return PointsLine(np.empty(0), np.empty(0))
    at = np.minimum(np.searchsorted(x_points.steps, points.steps), len(x_points) - 1)
    is_joined = x_points.steps[at] == points.steps
    return PointsLine(x_points.floats()[at[is_joined]], points.floats()[is_joined])


def _grid(lines: Sequence[Line | None], low: float, high: float, n_cells: int) -> Grid:
    extents = [extent for line in lines if line is not None and (extent := line.extent()) is not None]
    if not extents:
        return Grid(0.0, 0.0, n_cells)
    # Not the whole range where it goes beyond the data: its cells would be empty.
    return Grid(max(low, min(e[0] for e in extents)), min(high, max(e[1] for e in extents)), n_cells)
