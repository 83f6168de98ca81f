"""How fast the embedded metric store takes blocks, compacts them and answers charts.

    python bench/store/metrics_store.py [--points-a-series N] [--folder DIR]

Prints a table of medians, with the floor of the same bytes measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.wire.block import Block, Column, encode

ROWS_A_BLOCK = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        print(f"{arguments.runs} runs x {arguments.keys} keys x {arguments.steps:,} steps, ", end="")
        print(f"float32-like random walks; {os.cpu_count()} cores\n")
        measure_dense(Path(folder), arguments.runs, arguments.keys, arguments.steps)
        measure_long(Path(folder), 5_000_000)
        measure_wide(Path(folder), 10_000, 600)
        measure_live(Path(folder))


def measure_dense(folder: Path, n_runs: int, n_keys: int, n_steps: int) -> None:
    """The main load: many blocks of all keys, then charts."""
    store = EmbeddedMetricStore(folder / "dense.db", background=False)
    rng = np.random.default_rng(1)
    n_points = n_runs * n_keys * n_steps
    seconds = floor = 0.0
    for run in range(n_runs):
        walks = np.cumsum(rng.standard_normal((n_keys, n_steps)).astype(np.float32), axis=1)
        blocks = blocks_of(f"run{run}", walks.astype(np.float64), rng)
        floor += timed(lambda blocks=blocks: [encode(block) for block in blocks])  # type: ignore[misc]
        for begin in range(0, len(blocks), 10):
            seconds += timed(lambda b=begin, blocks=blocks: store.append(blocks[b : b + 10]))  # type: ignore[misc]
    row("append, 10 blocks of 1,000 rows a call", f"{n_points / seconds / 1e6:.1f} M points/s")
    row("  floor: encoding the blocks (zstd)", f"{n_points / floor / 1e6:.1f} M points/s")
    as_blocks = folder_bytes(folder, "dense.db")
    seconds = timed(store.compact)
    row("compaction", f"{n_points / seconds / 1e6:.1f} M points/s")
    raw = np.ascontiguousarray(walks.astype(np.float64).view(np.uint8).reshape(-1, 8).T).tobytes()
    floor = timed(lambda: zstandard.ZstdCompressor(level=1).compress(raw))
    row("  floor: zstd of one run's values", f"{walks.size / floor / 1e6:.1f} M points/s")
    for run in range(n_runs):
        store.release(RunId(f"run{run}"), WriterId("w"), 1 << 60)
    row("file, blocks only", f"{as_blocks / n_points:.2f} bytes a point")
    compacted_bytes(store, n_points, n_steps)
    runs = tuple(RunId(f"run{run}") for run in range(n_runs))
    chart(store, f"1 key of {n_runs} runs, 1,000 buckets", runs, ("key0",))
    chart(store, "  a third of the steps", runs, ("key0",), x_range=(n_steps / 3, n_steps * 2 / 3))
    chart(store, "  5,000 steps", runs, ("key0",), x_range=(n_steps / 2, n_steps / 2 + 5000))
    chart(store, "  by relative time", runs, ("key0",), x="relative")
    chart(
        store, f"{n_keys} keys of {n_runs} runs, 1,000 buckets", runs, tuple(f"key{i}" for i in range(n_keys))
    )
    scan = timed(lambda: sum(1 for _ in store.scan_rows(runs[0], ["key0"])))
    row("exact scan of one key", f"{n_steps / scan / 1e6:.2f} M rows/s")
    store.close()


def compacted_bytes(store: EmbeddedMetricStore, n_points: int, n_steps: int) -> None:
    """Print what the runs take once released blocks are given up."""
    for run in store.sizes():
        # Any further block makes the compactor look at the run again.
        offset = store.end_offset(run, WriterId("w"))
        store.append([one_row(run, "w", offset, n_steps)])
    store.compact()
    row("file, chunks and levels only", f"{sum(store.sizes().values()) / n_points:.2f} bytes a point")


def measure_long(folder: Path, n_steps: int) -> None:
    """One run with very many steps."""
    store = EmbeddedMetricStore(folder / "long.db", background=False)
    rng = np.random.default_rng(2)
    run = RunId("long")
    for block in blocks_of("long", np.cumsum(rng.standard_normal((1, n_steps)), axis=1), rng, 50_000):
        store.append([block])
    seconds = timed(store.compact)
    row(f"compaction of 1 key x {n_steps:,} steps", f"{n_steps / seconds / 1e6:.1f} M points/s")
    chart(store, f"1 key of {n_steps:,} steps, 1,000 buckets", (run,), ("key0",))
    for width in (1_000_000, 100_000, 10_000):
        chart(store, f"  {width:,} of them", (run,), ("key0",), x_range=(n_steps / 2, n_steps / 2 + width))
    store.close()


def measure_wide(folder: Path, n_keys: int, n_rows: int) -> None:
    """One run with very many keys."""
    store = EmbeddedMetricStore(folder / "wide.db", background=False)
    rng = np.random.default_rng(3)
    values = rng.standard_normal((n_keys, n_rows))
    blocks = blocks_of("wide", values, rng, 20)
    seconds = sum((timed(lambda block=block: store.append([block])) for block in blocks), 0.0)  # type: ignore[misc]
    row(f"append, {n_keys:,} keys x 20 rows a call", f"{values.size / seconds / 1e6:.1f} M points/s")
    seconds = timed(store.compact)
    row(f"compaction, {n_keys:,} keys x {n_rows} rows", f"{values.size / seconds / 1e6:.2f} M points/s")
    chart(store, "1 key of it", (RunId("wide"),), ("key77",))
    store.close()


def measure_live(folder: Path) -> None:
    """How long one small append takes, and how long it takes until it is in a chart's answer."""
    store = EmbeddedMetricStore(folder / "live.db", background=False)
    appends: list[float] = []
    reads: list[float] = []
    offset = 0
    for step in range(300):
        block = one_row("live", "w", offset, float(step))
        offset = block.end_offset
        appends.append(timed(lambda block=block: store.append([block])))  # type: ignore[misc]
        query = SeriesQuery(runs=(RunId("live"),), keys=("key0",))
        reads.append(timed(lambda query=query: store.read_series(query)))  # type: ignore[misc]
    row("append of one row, durable", f"{statistics.median(appends) * 1e3:.2f} ms")
    row("chart of up to 300 blocks in no chunk", f"{statistics.median(reads) * 1e3:.2f} ms")
    path = folder / "sync"
    with path.open("wb") as file:

        def sync() -> None:
            file.write(b"x" * 500)
            file.flush()
            os.fsync(file.fileno())

        row(
            "  floor: write and fsync of 500 bytes",
            f"{statistics.median(timed(sync) for _ in range(100)) * 1e3:.2f} ms",
        )
    store.close()


def chart(
    store: EmbeddedMetricStore,
    what: str,
    runs: tuple[RunId, ...],
    keys: tuple[str, ...],
    *,
    x_range: tuple[float, float] | None = None,
    x: str = "step",
) -> None:
    """Print how long a chart takes."""
    query = SeriesQuery(runs=runs, keys=keys, x_range=x_range, x=x)  # type: ignore[arg-type]
    store.read_series(query)
    times = [timed(lambda: store.read_series(query)) for _ in range(9)]
    row(what, f"{statistics.median(times) * 1e3:.2f} ms")


def blocks_of(
    run: str,
    values: NDArray[np.float64],
    rng: np.random.Generator,
    rows_a_block: int = ROWS_A_BLOCK,
    *,
    first_step: int = 0,
) -> list[Block]:
    """Return the blocks of one writer from `first_step` on; `values` has shape (keys, steps)."""
    n_keys, n_steps = values.shape
    # A little over ten milliseconds a step, so that blocks made in several calls follow each other.
    times = 1.7e9 + 0.011 * first_step + np.cumsum(rng.uniform(0.009, 0.011, n_steps))
    blocks = []
    for begin in range(0, n_steps, rows_a_block):
        end = min(begin + rows_a_block, n_steps)
        columns = [Column(f"key{i}", "f", None, values[i, begin:end].tobytes()) for i in range(n_keys)]
        blocks.append(
            Block(
                run_id=RunId(run),
                project="bench",
                entity=None,
                writer=WriterId("w"),
                kind="primary",
                first_offset=(first_step + begin) * 100,
                end_offset=(first_step + end) * 100,
                n_rows=end - begin,
                steps=(first_step + begin, 1),
                times=times[begin:end].tobytes(),
                columns=columns,
            )
        )
    return blocks


def one_row(run: str, writer: str, offset: int, step: float) -> Block:
    """Return a block of one row."""
    return Block(
        run_id=RunId(run),
        project="bench",
        entity=None,
        writer=WriterId(writer),
        kind="primary",
        first_offset=offset,
        end_offset=offset + 100,
        n_rows=1,
        steps=(int(step), 1),
        times=np.array([1.8e9 + step]).tobytes(),
        columns=[Column("key0", "f", None, np.array([0.5]).tobytes())],
    )


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def folder_bytes(folder: Path, prefix: str) -> int:
    """Return the bytes of the files whose names begin with `prefix`."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.name.startswith(prefix))


def row(what: str, figure: str) -> None:
    """Print a line of the table."""
    print(f"{what:<48}{figure:>24}", flush=True)


if __name__ == "__main__":
    main()
