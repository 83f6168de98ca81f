"""Buckets of neighbouring points, and the levels of buckets above a series.

A chart reads the coarsest level that still has more buckets than it asked for.  First, last, lowest and
highest are what a line needs to cover the pixels that all of its points would cover, so no zoom can hide a
spike.

Source: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Positions = NDArray[np.intp]
Index = slice | Positions | NDArray[np.bool_]


class Stats(NamedTuple):
    """What buckets tell about their values.  Every array has shape (n,)."""

    first: Floats
    last: Floats
    low: Floats  # of the finite values; +inf if there are none
    high: Floats  # of the finite values; -inf if there are none
    mean: Floats  # of the finite values; 0 if there are none.  A mean, not a sum: it cannot overflow
    n_points: Ints
    n_nan: Ints
    n_posinf: Ints
    n_neginf: Ints

    def n_finite(self) -> Ints:
        """Return how many values of each bucket are finite."""
        return self.n_points - self.n_nan - self.n_posinf - self.n_neginf

    def at(self, index: Index) -> Stats:
        """Return the buckets at `index`."""
        return Stats._make(array[index] for array in self)


class Axis(NamedTuple):
    """Steps and times of points or of buckets, in step order.  Every array has shape (n,)."""

    first_step: Ints
    last_step: Ints  # the same array as `first_step` for points
    first_time: Floats  # Unix seconds, of the bucket's first point
    last_time: Floats

    def at(self, index: Index) -> Axis:
        """Return what is at `index`."""
        return Axis(
            self.first_step[index], self.last_step[index], self.first_time[index], self.last_time[index]
        )


class Level(NamedTuple):
    """Buckets of one series in step order."""

    axis: Axis
    stats: Stats

    def size(self) -> int:
        """Return how many buckets there are."""
        return self.axis.first_step.size

    def at(self, index: Index) -> Level:
        """Return the buckets at `index`."""
        return Level(self.axis.at(index), self.stats.at(index))


def single(values: Floats) -> Stats:
    """Return one bucket a value."""
    n = values.size
    one, none = np.ones(n, np.int64), np.zeros(n, np.int64)
    is_finite = np.isfinite(values)
    if is_finite.all():
        return Stats(values, values, values, values, values, one, none, none, none)
    return Stats(
        values,
        values,
        np.where(is_finite, values, np.inf),
        np.where(is_finite, values, -np.inf),
        np.where(is_finite, values, 0.0),
        one,
        np.isnan(values).astype(np.int64),
        (values == np.inf).astype(np.int64),
        (values == -np.inf).astype(np.int64),
    )


def stats_of(values: Floats, starts: Positions) -> Stats:
    """Return the buckets of `values` that begin at `starts`, which ascend from 0 and are at least one."""
    if not np.isfinite(values).all():
        return merge_stats(single(values), starts)
    n_points = np.diff(starts, append=values.size)
    none = np.zeros(starts.size, np.int64)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(values, starts) / n_points
    if not np.isfinite(mean).all():
        mean = np.add.reduceat(values / np.repeat(n_points, n_points), starts)
    last = values[np.append(starts[1:], values.size) - 1]
    return Stats(values[starts], last, low, high, np.clip(mean, low, high), n_points, none, none, none)


def merge_stats(stats: Stats, starts: Positions) -> Stats:
    """Return the buckets of buckets that begin at `starts`, which ascend from 0 and are at least one."""
    n = stats.n_points.size
    n_points = np.add.reduceat(stats.n_points, starts)
    low, high = np.minimum.reduceat(stats.low, starts), np.maximum.reduceat(stats.high, starts)
    n_finite = stats.n_finite()
    total = np.add.reduceat(n_finite, starts)
    weight = n_finite / np.maximum(np.repeat(total, np.diff(starts, append=n)), 1)
    mean = np.add.reduceat(stats.mean * weight, starts)
    return Stats(
        stats.first[starts],
        stats.last[np.append(starts[1:], n) - 1],
        low,
        high,
        # Rounding can carry a mean past its neighbours by one bit.
        np.where(total > 0, np.minimum(np.maximum(mean, low), high), 0.0),
        n_points,
        *(
            np.add.reduceat(counts, starts) if counts.any() else np.zeros(starts.size, np.int64)
            for counts in (stats.n_nan, stats.n_posinf, stats.n_neginf)
        ),
    )


def concat_stats(parts: Sequence[Stats]) -> Stats:
    """Return `parts`, of which there is at least one, one after the other."""
    return parts[0] if len(parts) == 1 else Stats._make(map(np.concatenate, zip(*parts, strict=True)))


def summarise(steps: Ints, times: Floats, values: Floats, n_each: int) -> Level:
    """Return buckets of `n_each` neighbouring points, of which there is at least one."""
    starts = np.arange(0, steps.size, n_each)
    ends = np.minimum(starts + n_each, steps.size) - 1
    axis = Axis(steps[starts], steps[ends], times[starts], times[ends])
    return Level(axis, stats_of(values, starts))


def coarsen(level: Level, n_each: int) -> Level:
    """Return `level` with `n_each` neighbouring buckets, of which there is at least one, made one."""
    axis = level.axis
    starts = np.arange(0, level.size(), n_each)
    ends = np.minimum(starts + n_each, level.size()) - 1
    return Level(
        Axis(axis.first_step[starts], axis.last_step[ends], axis.first_time[starts], axis.last_time[ends]),
        merge_stats(level.stats, starts),
    )


def concat_levels(parts: Sequence[Level]) -> Level:
    """Return `parts`, of which there is at least one, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Level(concat_axes([part.axis for part in parts]), concat_stats([part.stats for part in parts]))


def concat_axes(parts: Sequence[Axis]) -> Axis:
    """Return `parts`, of which there is at least one, one after the other."""
    return parts[0] if len(parts) == 1 else Axis._make(map(np.concatenate, zip(*parts, strict=True)))
