"""How long charts take to read from the metric store, first from the file and then again.

    python bench/store/charts.py [--steps N] [--runs N] [--panels N] [--long-steps N] [--folder DIR]

Every figure has its floor beside it: the bodies that the chart is made from, got by one SELECT of a
connection of its own and looked at as numbers, without unpacking; and, for what is read again, a copy of as
many numbers as the chart's spans have.  The file is in the operating system's cache throughout; "first" is
the first reading of a store that was opened anew.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from metrics_store import blocks_of
from numpy.typing import NDArray

from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import GroupQuery, MetricX, SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore

N_BUCKETS = 1000
# Of first, last, lowest, highest and mean: about what a chart of so many buckets is merged from.
NUMBERS_A_SERIES = 5 * 4 * N_BUCKETS
Work = Callable[[EmbeddedMetricStore], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=500, help="of one metric")
    parser.add_argument("--panels", type=int, default=50, help="metrics of 10 runs")
    parser.add_argument("--long-steps", type=int, default=50_000_000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        bench = Bench(Path(folder), arguments.steps, arguments.repeats)
        print(f"{arguments.steps:,} steps a run, {N_BUCKETS} buckets; {os.cpu_count()} cores\n")
        print("| chart | first | again | floor: SELECT | floor: copy |")
        print("| --- | ---: | ---: | ---: | ---: |")
        bench.many_runs(arguments.runs)
        bench.many_panels(arguments.panels)
        bench.long_run(arguments.long_steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"\nLargest memory of this process, blocks made and compacted in it: {peak} MB")


class Bench:
    """Makes stores and prints a row of the table for each chart.

    Args:
        folder: for the files.
        steps: of a run.
        repeats: of each reading.
    """

    def __init__(self, folder: Path, steps: int, repeats: int) -> None:
        self._folder, self._steps, self._repeats = folder, steps, repeats
        self._rng = np.random.default_rng(1)

    def many_runs(self, n_runs: int) -> None:
        """One metric of many runs, and of some of them with a tail that is not in chunks yet."""
        path = self._folder / "runs.db"
        self._fill(path, n_runs, ("key0",))
        runs = tuple(RunId(f"run{i}") for i in range(n_runs))
        n, ten = self._steps, runs[:10]
        self.series(path, "1 metric x 10 runs", 10, runs=ten)
        self.series(path, "  a third of it", 10, runs=ten, x_range=(n / 3, n * 2 / 3))
        self.series(path, "  5,000 steps of it", 10, runs=ten, x_range=(n / 2, n / 2 + 5000))
        self.series(path, "  by relative time", 10, runs=ten, x="relative")
        self.series(path, f"1 metric x {n_runs} runs", n_runs, runs=runs)
        self.series(path, "  a third of it", n_runs, runs=runs, x_range=(n / 3, n * 2 / 3))
        query = GroupQuery(groups=(runs,), keys=("key0",), n_buckets=N_BUCKETS)
        self.row(path, f"{n_runs} runs as one group", lambda store: store.read_groups(query), n_runs)
        self._add_tails(path, ten, 10_000)
        self.series(path, "1 metric x 10 live runs, 10,000 steps in blocks", 10, runs=ten)
        path.unlink()

    def many_panels(self, n_keys: int) -> None:
        """Many metrics of ten runs, one query each as a page of panels asks for them."""
        path = self._folder / "panels.db"
        keys = tuple(f"key{i}" for i in range(n_keys))
        self._fill(path, 10, keys)
        runs = tuple(RunId(f"run{i}") for i in range(10))
        queries = [SeriesQuery(runs=runs, keys=(key,), n_buckets=N_BUCKETS) for key in keys]

        def page(store: EmbeddedMetricStore) -> None:
            for query in queries:
                store.read_series(query)

        self.row(path, f"{n_keys} panels x 10 runs", page, 10 * n_keys)
        along = {"runs": runs, "keys": ("key0",), "x": MetricX("key1")}
        self.series(path, "1 metric x 10 runs along another metric", 10, **along)
        path.unlink()

    def long_run(self, n_steps: int) -> None:
        """One run with very many steps."""
        path = self._folder / "long.db"
        store = EmbeddedMetricStore(path, background=False)
        run, n_part = RunId("run0"), 1_000_000
        for begin in range(0, n_steps, n_part):
            values = np.cumsum(self._rng.standard_normal((1, n_part)), axis=1)
            self._append(store, run, values, begin)
            store.compact()
        store.close()
        self.series(path, f"1 run of {n_steps:,} steps", 1, runs=(run,))
        for width in (n_steps // 3, 1_000_000, 5_000):
            where = (n_steps / 2, n_steps / 2 + width)
            self.series(path, f"  {width:,} of them", 1, runs=(run,), x_range=where)
        path.unlink()

    def series(self, path: Path, what: str, n_series: int, **asked: object) -> None:
        """Print the row of one query."""
        query = SeriesQuery(**{"keys": ("key0",), "n_buckets": N_BUCKETS, **asked})  # type: ignore[arg-type]
        self.row(path, what, lambda store: store.read_series(query), n_series)

    def row(self, path: Path, what: str, work: Work, n_series: int) -> None:
        """Print how long `work` takes, first and again, and its floors."""
        store = EmbeddedMetricStore(path, background=False)
        first = timed(lambda: work(store))
        again = [timed(lambda: work(store)) for _ in range(self._repeats)]
        store.close()
        numbers = np.ones(NUMBERS_A_SERIES * n_series)
        copies = statistics.median(timed(numbers.copy) for _ in range(self._repeats))
        figures = (first, statistics.median(again), select_bodies(path, n_series), copies)
        print(f"| {what} | {' | '.join(f'{1e3 * figure:.2f} ms' for figure in figures)} |", flush=True)

    def _fill(self, path: Path, n_runs: int, keys: Sequence[str]) -> None:
        store = EmbeddedMetricStore(path, background=False)
        for number in range(n_runs):
            noise = self._rng.standard_normal((len(keys), self._steps), dtype=np.float32)
            for begin in range(0, self._steps, 100_000):
                values = np.cumsum(noise[:, begin : begin + 100_000], axis=1).astype(np.float64)
                self._append(store, RunId(f"run{number}"), values, begin)
            store.compact()
        store.close()

    def _append(
        self, store: EmbeddedMetricStore, run: RunId, values: NDArray[np.float64], begin: int
    ) -> None:
        for block in blocks_of(run, values, self._rng, 10_000, first_step=begin):
            store.append([block])
        store.release(run, WriterId("w"), store.end_offset(run, WriterId("w")))

    def _add_tails(self, path: Path, runs: Sequence[RunId], n_steps: int) -> None:
        store = EmbeddedMetricStore(path, background=False)
        for run in runs:
            values = self._rng.standard_normal((1, n_steps))
            for block in blocks_of(run, values, self._rng, 1000, first_step=self._steps):
                store.append([block])
        store.close()


def select_bodies(path: Path, n_series: int) -> float:
    """Return the seconds that one SELECT of bodies takes, those of the coarsest level that is fine enough."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT series_no, (SELECT max(level) FROM chunks WHERE chunks.series_no = series.series_no "
        "AND level > 0 AND n >= ?) FROM series WHERE kind = 1 LIMIT ?",
        (N_BUCKETS, n_series),
    ).fetchall()
    wanted = [(series_no, level) for series_no, level in rows if level is not None]

    def select() -> None:
        for body in bodies(connection, wanted):
            np.frombuffer(body, np.uint8)

    seconds = statistics.median(timed(select) for _ in range(5))
    connection.close()
    return seconds


def bodies(connection: sqlite3.Connection, wanted: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the bodies of levels of series."""
    if not wanted:
        return
    places = ", ".join(f"({int(series_no)}, {int(level)})" for series_no, level in wanted)
    for (body,) in connection.execute(
        f"SELECT body FROM chunks WHERE (series_no, level) IN (VALUES {places})"
    ):
        yield body


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
