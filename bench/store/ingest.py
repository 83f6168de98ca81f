"""What the embedded metric store costs while it takes runs in: rates, stalls, memory, rewriting, bytes.

    python bench/store/ingest.py [--only rates stalls memory rewriting bytes delete] [--folder DIR]

Every part runs in a process of its own, so that its memory is its own.  Tables are Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.wire.block import Block, Column, encode

RUN, WRITER = RunId("run"), WriterId("w")
Floats = NDArray[np.float64]


def main() -> None:
    parts: dict[str, Callable[[Path], None]] = {
        "rates": rates,
        "stalls": stalls,
        "memory": memory,
        "rewriting": rewriting,
        "bytes": bytes_a_point,
        "delete": delete,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(parts), default=list(parts))
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    for name in arguments.only:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            apart(parts[name], Path(folder))


def apart(work: Callable[..., None], *arguments: object) -> None:
    """Do `work` in a fresh process."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


# Rates: what the calls take, beside zstd and a copy of the same bytes.


def rates(folder: Path) -> None:
    heading("load", "append", "floor: encode", "floor: copy", "compaction", "floor: zstd")
    for name, n_keys, n_rows, rows_a_block in (
        ("20 keys, blocks of 1,000 rows", 20, 200_000, 1000),
        ("10,000 keys, blocks of 20 rows", 10_000, 400, 20),
        ("10,000 keys, blocks of 1 row", 10_000, 100, 1),
        ("100,000 keys, blocks of 1 row", 100_000, 20, 1),
    ):
        rate(folder / f"{n_keys}-{rows_a_block}.db", name, n_keys, n_rows, rows_a_block)


def rate(path: Path, name: str, n_keys: int, n_rows: int, rows_a_block: int) -> None:
    store = EmbeddedMetricStore(path, background=False)
    append_s, encode_s, copy_s = [], [], []
    for values, block in walk_blocks(n_keys, n_rows, rows_a_block):
        append_s.append(timed(lambda block=block: store.append([block])))  # type: ignore[misc]
        encode_s.append(timed(lambda block=block: encode(block)))  # type: ignore[misc]
        copy_s.append(timed(lambda values=values: values.copy()))  # type: ignore[misc]
    per_block = n_keys * rows_a_block
    compaction = cpu_timed(store.compact)
    planes = values.astype(np.float32).tobytes()
    times = max(1, n_rows // rows_a_block)
    floor = timed(lambda: [zstandard.ZstdCompressor(level=1).compress(planes) for _ in range(times)])
    line(
        name,
        *(per_second(per_block / statistics.median(s)) for s in (append_s, encode_s, copy_s)),
        per_second(n_keys * n_rows / compaction),
        per_second(n_keys * n_rows / floor),
    )
    store.close()


# Stalls: what appends and charts of another run wait for while a heavy one is compacted.


def stalls(folder: Path) -> None:
    heading("while", "of", "n", "p50", "p99", "longest", "longest lock by the background")
    run_stalls(folder / "nothing.db", "nothing is compacted", None)
    run_stalls(folder / "dense.db", "4 keys x 2,000,000 steps are", (4, 2_000_000, 10_000))
    run_stalls(folder / "wide.db", "10,000 keys x 600 steps are", (10_000, 600, 20))
    run_stalls(folder / "huge.db", "100,000 keys x 60 steps are", (100_000, 60, 1))
    run_stalls(
        folder / "deleted.db", "a run of 10,000,000 points is deleted", (20, 500_000, 5_000), delete=True
    )
    floor = folder / "floor"
    times = [timed(lambda: sync(floor, 5000)) for _ in range(200)]
    line("floor", "write and fsync of 5 kB", *percentiles(times), "")


def run_stalls(path: Path, name: str, heavy: tuple[int, int, int] | None, *, delete: bool = False) -> None:
    store = EmbeddedMetricStore(path, background=False)
    if heavy is not None:
        for _, block in walk_blocks(*heavy):
            store.append([block])
    if delete:
        store.compact()
        store.delete_run(RUN)
    store._writer.longest_later_s = 0.0
    is_done = threading.Event()

    def compact() -> None:
        store.compact() if heavy is not None else time.sleep(3)
        is_done.set()

    worker = threading.Thread(target=compact)
    worker.start()
    appends, reads = [], []
    small = walk_blocks(5, 10_000_000, 100, run=RunId("live"))
    query = SeriesQuery(runs=(RunId("live"),), keys=("key0", "key1", "key2"))
    while not is_done.is_set():
        _, block = next(small)
        appends.append(timed(lambda block=block: store.append([block])))  # type: ignore[misc]
        reads.append(timed(lambda: store.read_series(query)))
        time.sleep(0.01)
    worker.join()
    held = f"{store._writer.longest_later_s * 1e3:.0f} ms"
    line(name, "append of 100 rows of 5 keys", *percentiles(appends), held)
    line("", "chart of 3 keys", *percentiles(reads), "")
    store.close()


# Memory: the peak of a process that takes a run in and compacts it.


def memory(folder: Path) -> None:
    heading("load", "peak memory", "of it the interpreter and its libraries")
    for name, n_keys, n_rows, rows_a_block in (
        ("10,000 keys x 1,500 rows, a block a row", 10_000, 1500, 1),
        ("100,000 keys x 60 rows, a block a row", 100_000, 60, 1),
        ("1 key x 50,000,000 steps", 1, 50_000_000, 50_000),
    ):
        apart(peak, folder / f"{n_keys}.db", name, n_keys, n_rows, rows_a_block)


def peak(path: Path, name: str, n_keys: int, n_rows: int, rows_a_block: int) -> None:
    before = peak_bytes()
    store = EmbeddedMetricStore(path)
    for _, block in walk_blocks(n_keys, n_rows, rows_a_block):
        store.append([block])
    store.compact()
    line(name, f"{peak_bytes() / 1e6:.0f} MB", f"{before / 1e6:.0f} MB")
    store.close()


# Rewriting: how often what a live run logs is written until it is at rest.


def rewriting(folder: Path) -> None:
    heading("live run", "points written / points", "bytes written / bytes at rest")
    rewrite(folder / "dense.db", "5 keys, 100 rows in a block", walk_blocks(5, 60_000, 100), 3)
    rewrite(folder / "wide.db", "10,000 keys, a row in a block", walk_blocks(10_000, 400, 1), 40)
    rewrite(folder / "sparse.db", "1,000 keys, one of them in a row", sparse_blocks(1000, 200_000, 1000), 10)


def rewrite(path: Path, name: str, blocks: Iterator[tuple[Floats, Block]], blocks_a_pass: int) -> None:
    """Compact every `blocks_a_pass` blocks, about as often as a store does while such a run lives."""
    store = EmbeddedMetricStore(path, background=False)
    connection = sqlite3.connect(path)
    seen = n_points = n_bytes = 0
    for n, (_, block) in enumerate(blocks, start=1):
        store.append([block])
        if n % blocks_a_pass == 0:
            store.compact()
            for chunk_no, n_items, size, level, kind in connection.execute(
                "SELECT chunk_no, n, length(body), level, kind FROM chunks JOIN series USING (series_no) "
                "WHERE chunk_no > ? ORDER BY chunk_no",
                (seen,),
            ).fetchall():
                seen, n_bytes = chunk_no, n_bytes + size
                n_points += n_items * (level == 0 and kind == 1)
    (at_rest,) = connection.execute("SELECT sum(length(body)) FROM chunks").fetchone()
    (kept,) = connection.execute("SELECT sum(n_points) FROM series WHERE kind = 1").fetchone()
    line(name, f"{n_points / kept:.2f}", f"{n_bytes / at_rest:.2f}")
    connection.close()
    store.close()


# Bytes: of the whole file, once a run is in chunks and its blocks are given up.


def bytes_a_point(folder: Path) -> None:
    heading("series, 10 keys x 400,000 steps", "bytes a point, whole file", "floor: zstd of the values")
    n = 400_000
    t = np.arange(n)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((10, n))
    kinds: dict[str, Floats] = {
        "float32: learning rate, cosine": 1e-3 * (1 + np.cos(t / n * 3.14 * np.arange(1, 11)[:, None])) / 2,
        "float32: smoothed loss": smoothed(2 * np.exp(-t / n * 5) + 0.05 * noise),
        "float32: noisy loss": 2 * np.exp(-t / n * 5) + 0.05 * noise,
        "float32: random walk": np.cumsum(noise, axis=1),
    }
    for number, (name, values) in enumerate(kinds.items()):
        single = values.astype(np.float32).astype(np.float64)
        file_bytes(folder / f"{number}.db", name, single, np.float32)
    file_bytes(folder / "walk.db", "doubles: random walk", np.cumsum(noise, axis=1), np.float64)
    file_bytes(folder / "random.db", "doubles: random bits", rng.uniform(-1, 1, (10, n)) ** 3, np.float64)


def file_bytes(path: Path, name: str, values: Floats, dtype: type[np.float32] | type[np.float64]) -> None:
    store = EmbeddedMetricStore(path, background=False)
    for block in blocks_of(values, 1000):
        store.append([block])
    store.compact()
    store.release(RUN, WRITER, 1 << 60)
    store.compact()
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")
    connection.close()
    planes = np.ascontiguousarray(values.astype(dtype)).view(np.uint8).reshape(-1, dtype().itemsize).T
    raw = planes.tobytes()
    floor = len(zstandard.ZstdCompressor(level=1).compress(raw))
    line(name, f"{path.stat().st_size / values.size:.2f}", f"{floor / values.size:.2f}")


def smoothed(values: Floats) -> Floats:
    result = np.empty_like(values)
    state = values[:, 0]
    for i in range(values.shape[1]):
        state = 0.98 * state + 0.02 * values[:, i]
        result[:, i] = state
    return result


# Delete: the answer at once, the space later.


def delete(folder: Path) -> None:
    heading(
        "deleting a run of", "answer", "until its space is back", "file before", "file after", "memory added"
    )
    for name, shape in (
        ("10,000,000 points, 20 keys", (20, 500_000, 5_000)),
        ("10,000,000 points, 10,000 keys", (10_000, 1000, 20)),
    ):
        apart(delete_one, folder / f"{shape[0]}.db", name, shape)


def delete_one(path: Path, name: str, shape: tuple[int, int, int]) -> None:
    store = EmbeddedMetricStore(path, background=False)
    for _, block in walk_blocks(*shape):
        store.append([block])
    store.compact()
    before, memory_before = path.stat().st_size, peak_bytes()
    answer = timed(lambda: store.delete_run(RUN))
    gone = timed(store.compact)
    store.close()
    line(
        name,
        f"{answer * 1e3:.1f} ms",
        f"{gone:.1f} s",
        f"{before / 1e6:.0f} MB",
        f"{path.stat().st_size / 1e6:.0f} MB",
        f"{(peak_bytes() - memory_before) / 1e6:.0f} MB",
    )


# What they share.


def walk_blocks(
    n_keys: int, n_rows: int, rows_a_block: int, run: RunId = RUN
) -> Iterator[tuple[Floats, Block]]:
    """Yield blocks of random walks of float32 precision, made as they are asked for."""
    rng = np.random.default_rng(1)
    names = [f"key{i}" for i in range(n_keys)]
    last = np.zeros((n_keys, 1), np.float32)
    for begin in range(0, n_rows, rows_a_block):
        steps = rng.standard_normal((n_keys, min(rows_a_block, n_rows - begin)), np.float32)
        walk = last + np.cumsum(steps, axis=1)
        last = walk[:, -1:]
        values = walk.astype(np.float64)
        columns = [Column(name, "f", None, row.tobytes()) for name, row in zip(names, values, strict=True)]
        yield values, block_at(begin, values.shape[1], columns, run)


def sparse_blocks(n_keys: int, n_rows: int, rows_a_block: int) -> Iterator[tuple[Floats, Block]]:
    """Yield blocks in each row of which one key has a value."""
    rng = np.random.default_rng(2)
    for begin in range(0, n_rows, rows_a_block):
        key_of = rng.integers(0, n_keys, rows_a_block)
        columns = [
            Column(f"key{key}", "f", rows.astype("<u4").tobytes(), rng.standard_normal(rows.size).tobytes())
            for key in np.unique(key_of).tolist()
            if (rows := np.flatnonzero(key_of == key)).size
        ]
        yield np.empty((0, 0)), block_at(begin, rows_a_block, columns, RUN)


def blocks_of(values: Floats, rows_a_block: int) -> Iterator[Block]:
    for begin in range(0, values.shape[1], rows_a_block):
        part = values[:, begin : begin + rows_a_block]
        columns = [Column(f"key{i}", "f", None, row.tobytes()) for i, row in enumerate(part)]
        yield block_at(begin, part.shape[1], columns, RUN)


def block_at(begin: int, n_rows: int, columns: list[Column], run: RunId) -> Block:
    # Ten rows a second, of a clock with microseconds and some jitter.
    jitter = np.random.default_rng(begin).integers(0, 500, n_rows) * 1e-6
    return Block(
        run_id=run,
        project="bench",
        entity=None,
        writer=WRITER,
        kind="primary",
        first_offset=begin * 100,
        end_offset=(begin + n_rows) * 100,
        n_rows=n_rows,
        steps=(begin, 1),
        times=(1.7e9 + 0.1 * np.arange(begin, begin + n_rows) + jitter).tobytes(),
        columns=columns,
    )


def sync(path: Path, n_bytes: int) -> None:
    with path.open("ab") as file:
        file.write(bytes(n_bytes))
        file.flush()
        os.fsync(file.fileno())


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def cpu_timed(work: Callable[[], object]) -> float:
    """Return the seconds of this thread that `work` takes: neighbours on the machine do not count."""
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def percentiles(seconds: Sequence[float]) -> tuple[str, str, str, str]:
    p50, p99 = np.percentile(seconds, [50, 99]).tolist()
    return str(len(seconds)), f"{p50 * 1e3:.1f} ms", f"{p99 * 1e3:.1f} ms", f"{max(seconds) * 1e3:.0f} ms"


def per_second(rate: float) -> str:
    return f"{rate / 1e6:.1f} M/s"


def heading(*cells: str) -> None:
    print()
    line(*cells)
    line(*("---" for _ in cells))


def line(*cells: str) -> None:
    """Print a line of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
