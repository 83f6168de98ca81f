"""Groups of runs against plain Python: whatever rates and ranges the runs log at, in blocks and in chunks."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import (
    Buckets,
    GroupBuckets,
    GroupQuery,
    MetricStore,
    MetricX,
    SeriesQuery,
    XAxis,
)
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.wire.block import Block, Column

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal

TINY = ChunkSizes(points_a_chunk=8, buckets_a_chunk=4, points_a_bucket=2, buckets_a_bucket=2, merge_width=3)
RUNS = tuple(RunId(f"r{i}") for i in range(5))
Point = tuple[float, float]  # x, value
plain = st.integers(-800, 800).map(lambda eighths: eighths / 8)
values = st.one_of(plain, st.sampled_from([math.nan, math.inf, -math.inf, 0.0]))
huge = st.one_of(values, st.sampled_from([1e308, -1e308]))


class Logged(NamedTuple):
    """What one run logs."""

    first_step: int
    stride: int
    values: list[float]
    xs: list[int]  # the metric "x"


class Question(NamedTuple):
    groups: tuple[tuple[RunId, ...], ...]
    x: XAxis
    x_range: tuple[float, float] | None
    n_buckets: int


@st.composite
def logged(draw: st.DrawFn) -> Logged:
    n = draw(st.sampled_from([1, 2, 7, 40, 90]))
    kind = draw(st.sampled_from([plain, values, values, huge]))
    return Logged(
        draw(st.integers(0, 60)),
        draw(st.sampled_from([1, 1, 2, 3, 17])),
        draw(st.lists(kind, min_size=n, max_size=n)),
        draw(st.lists(st.integers(0, 30), min_size=n, max_size=n)),
    )


groups = st.lists(st.lists(st.sampled_from(RUNS), max_size=5, unique=True).map(tuple), min_size=1, max_size=3)
ends = st.integers(-5, 150) | st.floats(-5, 150)
questions = st.builds(
    Question,
    groups.map(tuple),
    st.sampled_from(["step", "step", "relative", MetricX("x")]),
    st.none() | st.tuples(ends, ends).map(lambda pair: (min(pair), max(pair))),
    st.sampled_from([1, 2, 5, 16, 60]),
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(logged(), min_size=1, max_size=5),
    st.lists(questions, min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_every_statistic_of_a_group_is_that_of_its_runs_values(
    new_journal: type[Journal], runs: list[Logged], asked: list[Question], n_compacted: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedMetricStore(Path(folder) / "m.db", background=False, sizes=TINY)
        try:
            write(store, new_journal, runs, n_compacted)
            for question in asked:
                check(store, question)
        finally:
            store.close()


def write(
    store: EmbeddedMetricStore, new_journal: type[Journal], runs: Sequence[Logged], n_compacted: int
) -> None:
    for i, (run, log) in enumerate(zip(RUNS, runs, strict=False)):
        steps = range(log.first_step, log.first_step + log.stride * len(log.values), log.stride)
        rows = [
            (step, 100.0 + step, {"a": value, "x": x})
            for step, value, x in zip(steps, log.values, log.xs, strict=True)
        ]
        store.append([new_journal(run).block(rows)])
        if i < n_compacted:
            store.compact()


def check(store: EmbeddedMetricStore, question: Question) -> None:
    query = GroupQuery(
        groups=question.groups,
        keys=("a", "nothing"),
        x=question.x,
        x_range=question.x_range,
        n_buckets=question.n_buckets,
    )
    infos, found = store.read_groups(query)
    assert [(info.group, info.key) for info in infos] == [
        (group, key) for group in range(len(question.groups)) for key in ("a", "nothing")
    ]
    assert not set(found.series.tolist()) & set(range(1, len(infos), 2))
    lines = Lines(store, question)
    for group, runs in enumerate(question.groups):
        cells = GroupBuckets._make(column[found.series == 2 * group] for column in found)
        expected = list(lines.expected(runs))
        assert infos[2 * group].exact == lines.is_exact
        assert infos[2 * group].n_runs == len({run for cell in expected for run in cell.runs})
        assert cells.x.tolist() == pytest.approx([cell.begin for cell in expected])
        assert cells.x_last.tolist() == pytest.approx([cell.end for cell in expected])
        for i, cell in enumerate(expected):
            counts = (cells.n_points[i], cells.n_nan[i], cells.n_posinf[i], cells.n_neginf[i])
            assert counts == cell.counts
            check_statistics(cell, lines.scale, {name: float(getattr(cells, name)[i]) for name in NAMES})


NAMES = ("n_runs", "mean", "median", "low", "high", "std", "stderr")


class Cell(NamedTuple):
    begin: float
    end: float
    runs: dict[RunId, float]  # that have a value there, and which
    lows: list[float]
    highs: list[float]
    counts: tuple[int, int, int, int]


def check_statistics(cell: Cell, scale: float, found: dict[str, float]) -> None:
    own = list(cell.runs.values())
    n = len(own)
    assert found["n_runs"] == n
    if not n:
        assert all(math.isnan(found[name]) for name in NAMES[1:])
        return

    # Values far apart cancel each other out: what is left is as exact as the largest.
    def near(value: float) -> object:
        return pytest.approx(value, rel=1e-9, abs=1e-9 * scale)

    mean = math.fsum(value / n for value in own)
    assert found["mean"] == near(mean)
    assert found["median"] == near(statistics.median(value / 2 for value in own) * 2)
    assert found["low"] == near(min(cell.lows + own))
    assert found["high"] == near(max(cell.highs + own))
    if n == 1:
        assert math.isnan(found["std"])
        assert math.isnan(found["stderr"])
        return
    part = scale or 1.0
    std = part * math.sqrt(math.fsum((value / part - mean / part) ** 2 for value in own) / (n - 1))
    assert found["std"] == pytest.approx(std, rel=1e-6, abs=1e-7 * scale)
    assert found["stderr"] == pytest.approx(std / math.sqrt(n), rel=1e-6, abs=1e-7 * scale)


class Lines:
    """What the runs of a question show one by one, which other tests compare with what was logged."""

    def __init__(self, store: EmbeddedMetricStore, question: Question) -> None:
        runs = tuple(dict.fromkeys(run for group in question.groups for run in group))
        self.low, self.high = question.x_range or (-math.inf, math.inf)
        self.n = question.n_buckets
        everything = self._read(store, question._replace(n_buckets=20_000, x_range=None), runs)
        means = np.concatenate([np.zeros(1), *(own.mean for own in everything.values())])
        self.scale = float(np.nanmax(np.abs(means)))
        self.buckets = self._read(store, question, runs)
        xs = [x for own in everything.values() for x in own.x.tolist()]
        self.first = max(self.low, min(xs, default=0.0))
        self.last = min(self.high, max(xs, default=0.0))
        inside = {x for own in self.buckets.values() for x in own.x.tolist() if self.low <= x <= self.high}
        self.is_exact = self.all_exact and len(inside) <= self.n
        self.xs = sorted(inside | {x for x in (self.low, self.high) if self.first <= x <= self.last})

    def _read(
        self, store: EmbeddedMetricStore, question: Question, runs: tuple[RunId, ...]
    ) -> dict[RunId, Buckets]:
        infos, found = store.read_series(
            SeriesQuery(
                runs=runs, keys=("a",), x=question.x, x_range=question.x_range, n_buckets=question.n_buckets
            )
        )
        self.all_exact = all(info.exact for info in infos)
        return {
            run: Buckets._make(column[found.series == i] for column in found) for i, run in enumerate(runs)
        }

    def expected(self, group: Sequence[RunId]) -> Iterator[Cell]:
        """Yield the cells of a group in which something is."""
        values = {run: self._values(run) for run in group}
        placed: dict[int | None, list[tuple[Buckets, int]]] = {}
        for own in (self.buckets[run] for run in group):
            for i, x in enumerate(own.x.tolist()):
                placed.setdefault(self._place(x), []).append((own, i))
        for place in range(len(self.xs) if self.is_exact else self.n):
            at = placed.get(place, [])
            own_values = {run: values[run][place] for run in group if place in values[run]}
            counts = tuple(
                sum(int(column[i]) for column, i in ((getattr(own, name), i) for own, i in at))
                for name in ("n_points", "n_nan", "n_posinf", "n_neginf")
            )
            if not own_values and not counts[0]:
                continue
            finite = [(own, i) for own, i in at if not math.isnan(own.mean[i])]
            lows, highs = [own.low[i] for own, i in finite], [own.high[i] for own, i in finite]
            yield Cell(*self._ends(place), own_values, lows, highs, counts)  # type: ignore[arg-type]

    def _values(self, run: RunId) -> dict[int, float]:
        """Return a run's value by cell."""
        own = self.buckets[run]
        parts: dict[int, list[tuple[float, int]]] = {}
        knots: list[Point] = []
        for x, mean, n in zip(own.x.tolist(), own.mean.tolist(), n_finite(own), strict=True):
            place = self._place(x)
            if place is not None and n:
                parts.setdefault(place, []).append((mean, n))
            elif n:
                knots.append((x, mean))
        values = {
            place: math.fsum(mean * (n / sum(n for _, n in part)) for mean, n in part)
            for place, part in parts.items()
        }
        knots = sorted(knots + [(self._middle(place), value) for place, value in values.items()])
        for place in range(len(self.xs) if self.is_exact else self.n):
            x = self._middle(place)
            left, right = [k for k in knots if k[0] < x][-1:], [k for k in knots if k[0] > x][:1]
            if place not in values and left and right:
                share = (x - left[0][0]) / (right[0][0] - left[0][0])
                values[place] = left[0][1] * (1 - share) + right[0][1] * share
        return values

    def _place(self, x: float) -> int | None:
        if not self.low <= x <= self.high:
            return None
        if self.is_exact:
            return self.xs.index(x)
        width = self.last - self.first
        return min(self.n - 1, int((x - self.first) / width * self.n)) if width > 0 else 0

    def _ends(self, place: int) -> tuple[float, float]:
        if self.is_exact:
            return self.xs[place], self.xs[place]
        width = self.last - self.first
        return self.first + width * place / self.n, self.first + width * (place + 1) / self.n

    def _middle(self, place: int) -> float:
        begin, end = self._ends(place)
        return (begin + end) / 2


def n_finite(own: Buckets) -> list[int]:
    counts = own.n_points - own.n_nan - own.n_posinf - own.n_neginf
    return [int(n) for n in counts]


def test_runs_that_log_at_different_rates_weigh_the_same_and_only_where_they_are(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    """One run logs 0 at every step up to 20, the other rises by 1 a step from 10 on, at every fifth one."""
    metrics.append([new_journal("r1").block([(step, 0.0, {"a": 0.0}) for step in range(21)])])
    metrics.append([new_journal("r2").block([(s, 0.0, {"a": float(s - 10)}) for s in range(10, 31, 5)])])

    query = GroupQuery(groups=((RunId("r1"), RunId("r2"), RunId("gone")),), keys=("a",))
    (info,), cells = metrics.read_groups(query)

    assert (info.group, info.key, info.n_runs, info.exact) == (0, "a", 2, True)
    assert cells.x.tolist() == [*range(21), 25, 30]
    assert cells.n_runs.tolist() == [1] * 10 + [2] * 11 + [1] * 2
    assert cells.mean.tolist() == [0] * 10 + [i / 2 for i in range(11)] + [15, 20]
    assert cells.median.tolist() == cells.mean.tolist()
    assert cells.low.tolist() == [0] * 21 + [15, 20]
    assert cells.high.tolist() == [0] * 10 + [*range(11)] + [15, 20]
    assert cells.std[12] == pytest.approx(math.sqrt(2))
    assert cells.stderr[12] == pytest.approx(1.0)


def test_a_group_is_drawn_to_the_edges_of_a_range_between_two_points(
    metrics: MetricStore, new_journal: type[Journal]
) -> None:
    metrics.append([new_journal("r1").block([(0, 0.0, {"a": 0.0}), (1000, 0.0, {"a": 10.0})])])
    query = GroupQuery(groups=((RunId("r1"),),), keys=("a",), x_range=(400, 600))

    cells = metrics.read_groups(query).buckets

    assert list(zip(cells.x.tolist(), cells.mean.tolist(), strict=True)) == [(400, 4), (600, 6)]
    assert cells.n_points.tolist() == [0, 0]


def test_a_group_of_long_runs_has_every_spike_of_every_run(tmp_path: Path) -> None:
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False)
    runs = tuple(RunId(f"r{i}") for i in range(30))
    spikes = np.random.default_rng(0).integers(0, 50_000, len(runs))
    for run, spike in zip(runs, spikes.tolist(), strict=True):
        series = np.zeros(50_000)
        series[spike] = 1.0
        store.append([dense_block(run, series)])
    store.compact()

    for x_range in (None, (10_000.0, 40_000.0)):
        query = GroupQuery(groups=(runs,), keys=("a",), x_range=x_range, n_buckets=300)
        (info,), cells = store.read_groups(query)
        low, high = x_range or (0, 49_999)
        assert (info.n_runs, info.exact) == (30, False)
        assert cells.n_runs.tolist() == [30] * 300
        assert cells.n_points.sum() == 30 * (high - low + 1)
        n_seen = int((cells.high == 1.0).sum())
        assert n_seen == len({int((s - low) / (high - low) * 300) for s in spikes if low <= s <= high})
        assert (cells.mean >= 0).all()
        assert cells.median.tolist() == [0.0] * 300
    store.close()


def dense_block(run: RunId, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Block:
    return Block(
        run_id=run,
        project="p",
        entity=None,
        writer=WriterId("w"),
        kind="primary",
        first_offset=0,
        end_offset=1,
        n_rows=values.size,
        steps=(0, 1),
        times=np.arange(float(values.size)).tobytes(),
        columns=[Column("a", "f", None, values.tobytes())],
    )
