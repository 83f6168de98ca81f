"""How fast rows come out of the metric store exactly, and how much memory that takes.

    python bench/store/scan.py [--scale N] [--folder DIR]

Every measurement is made in a process of its own, so that its highest memory is its own.  Rates, and the
times of key searches, are of processor time; the floor of a rate is a copy of the same bytes in the same
process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import msgspec
import numpy as np

from epochal.ids import RunId, WriterId
from epochal.query.keys import list_keys
from epochal.server.history_formats import arrow_chunks, json_line_chunks
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.wire.block import Block, Column

RUN = RunId("run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the long runs; 1 is ten million values")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores\n")
    print("| what | values | rate | floor | first answer | memory on top |")
    print("|---|---:|---:|---:|---:|---:|")
    n = int(500_000 * arguments.scale)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        dense, sparse, wide = folder / "dense.db", folder / "sparse.db", folder / "wide.db"
        apart(write_dense, dense, 20, n)
        line(f"20 keys x {n:,} steps as Arrow", apart(scan, dense, "arrow", None))
        line(f"20 keys x {n:,} steps as JSON lines", apart(scan, dense, "jsonl", None))
        line(f"1 key of {n:,} steps as Arrow", apart(scan, dense, "arrow", ["key0"]))
        apart(write_sparse, sparse, 1000, 2 * n)
        line(f"1 of 1,000 sparse keys in {2 * n:,} steps", apart(scan, sparse, "arrow", ["sparse77"]))
        line(f"all 1,000 of them as JSON lines, {2 * n:,} steps", apart(scan, sparse, "jsonl", None))
        apart(write_dense, wide, 10_000, 1000)
        line("10,000 keys x 1,000 steps as Arrow", apart(scan, wide, "arrow", None))
        texts = folder / "texts.db"
        apart(write_texts, texts, int(300 * arguments.scale))
        line(f"{int(300 * arguments.scale)} MB of texts in no chunk", apart(scan, texts, "jsonl", None))
        print("\n| keys of a project | found | first | p50 | p95 |\n|---|---:|---:|---:|---:|")
        apart(measure_keys, folder / "keys.db", max(1, int(10 * arguments.scale)))


def measure_keys(path: Path, n_runs: int) -> None:
    """A hundred thousand keys of each run, nine tenths of the runs in chunks."""
    store = EmbeddedMetricStore(path, background=False)
    kinds = ("weight", "bias", "grad_norm", "lr")
    for run in range(n_runs):
        names = [
            f"model/encoder/run{run}/layer.{i // 40}/block{i % 40}/{kinds[i % 4]}_{i}" for i in range(10**5)
        ]
        columns = [Column(name, "f", None, bytes(8)) for name in names]
        store.append([msgspec.structs.replace(block(0, 1, columns), run_id=RunId(f"r{run}"))])
        if run != n_runs - 1:
            store.compact()
    searches: dict[str, Callable[[int], str | None]] = {
        "all, by pages of 1,000": lambda _: None,
        "a text that few have": lambda i: f"Layer.{100 + i}/",
        "a text that a quarter has": lambda i: ("grad", "bias", "weight", "lr")[i % 4] + "_" * (i % 2),
        "a prefix": lambda i: f"/^model.encoder.run{i % n_runs}.layer.{100 + i}/",
        "an expression": lambda i: f"/layer.1[0-9]+.block{i}.*(grad|lr)/",
        "an expression that a tenth of them match": lambda i: f"/(grad_norm|lr|bias|weight)_.*{i % 10}$/",
    }
    for what, search in searches.items():
        times: list[float] = []
        n_found, after = 0, None
        for i in range(20):
            begin = time.process_time()
            page = list_keys(store, search=search(i), after=after)
            times.append(time.process_time() - begin)
            n_found = page.n_total
            after = page.keys[-1].key if search(i) is None else None
        p95 = sorted(times[1:])[17]
        print(f"| {what} | {n_found:,} | {ms(times[0])} | {ms(float(np.median(times[1:])))} | {ms(p95)} |")
    n_bytes = store.key_names().n_bytes
    begin = time.process_time()
    bytes(bytearray(n_bytes))
    floor = ms((time.process_time() - begin) / 2)
    print(f"| floor: one copy of the {n_bytes >> 20} MB in memory | | | {floor} | |", flush=True)
    store.close()


def ms(seconds: float) -> str:
    """Return `seconds` as text."""
    return f"{seconds * 1e3:,.0f} ms"


def write_dense(path: Path, n_keys: int, n_steps: int) -> None:
    """Every key at every step, in chunks."""
    store = EmbeddedMetricStore(path, background=False)
    rng = np.random.default_rng(1)
    a_block = max(20, 400_000 // n_keys)
    for begin in range(0, n_steps, a_block):
        n = min(a_block, n_steps - begin)
        values = np.cumsum(rng.standard_normal((n_keys, n)).astype(np.float32), axis=1).astype(np.float64)
        columns = [Column(f"key{i}", "f", None, values[i].tobytes()) for i in range(n_keys)]
        store.append([block(begin, n, columns)])
        store.compact()
    store.close()


def write_sparse(path: Path, n_keys: int, n_steps: int) -> None:
    """One key at every step, the others each at one step of `n_keys`, in chunks."""
    store = EmbeddedMetricStore(path, background=False)
    rng = np.random.default_rng(2)
    a_block = 100_000
    for begin in range(0, n_steps, a_block):
        columns = [Column("loss", "f", None, rng.standard_normal(a_block).tobytes())]
        for i in range(n_keys):
            rows = np.arange(i, a_block, n_keys, dtype="<u4")
            columns.append(
                Column(f"sparse{i}", "f", rows.tobytes(), rng.standard_normal(rows.size).tobytes())
            )
        store.append([block(begin, a_block, columns)])
        store.compact()
    store.close()


def write_texts(path: Path, n_megabytes: int) -> None:
    """Texts of 20 kB, in no chunk."""
    store = EmbeddedMetricStore(path, background=False)
    for begin in range(0, 50 * n_megabytes, 100):
        texts: list[object] = [f"{begin + i} " + "lorem ipsum " * 1666 for i in range(100)]
        store.append([block(begin, 100, [Column("text", "v", None, texts)])])
    store.close()


def block(begin: int, n_rows: int, columns: list[Column]) -> Block:
    """Return the block of the rows from `begin` on."""
    return Block(
        run_id=RUN,
        project="bench",
        entity=None,
        writer=WriterId("w"),
        kind="primary",
        first_offset=begin * 10,
        end_offset=(begin + n_rows) * 10,
        n_rows=n_rows,
        steps=(begin, 1),
        times=(1.7e9 + 0.01 * np.arange(begin, begin + n_rows)).tobytes(),
        columns=columns,
    )


def scan(path: Path, kind: str, keys: list[str] | None) -> tuple[int, float, float, float, int]:
    """Return values, values a second, those of a copy, seconds to the first bytes, and bytes of memory."""
    store = EmbeddedMetricStore(path, background=False)
    before = peak_bytes()
    begin, cpu = time.perf_counter(), time.process_time()
    n_values = 0

    def counted() -> Iterable[object]:
        nonlocal n_values
        for batch in store.scan_batches(RUN, keys):
            n_values += sum(column.words.size for column in batch.columns)
            yield batch

    if kind == "arrow":
        chunks = arrow_chunks(store.column_types(RUN, keys), counted(), "history")  # type: ignore[arg-type]
    else:
        chunks = json_line_chunks(counted(), "history")  # type: ignore[arg-type]
    first = 0.0
    n_bytes = 0
    for chunk in chunks:
        first = first or time.perf_counter() - begin
        n_bytes += len(chunk)
    seconds = time.process_time() - cpu
    memory = peak_bytes() - before
    store.close()
    return n_values, n_values / seconds, n_values / copied(n_bytes), first, memory


def copied(n_bytes: int) -> float:
    """Return the processor seconds of copying so many bytes."""
    piece = bytearray(min(n_bytes, 16 << 20))
    cpu = time.process_time()
    for _ in range(0, n_bytes, len(piece)):
        bytes(piece)
    return max(time.process_time() - cpu, 1e-9)


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def apart(work: Callable[..., object], *arguments: object) -> object:
    """Return what `work` returns, called in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sending, work, arguments))
    process.start()
    sending.close()
    try:
        return receiving.recv()
    finally:
        process.join()


def _send(sending: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    sending.send(work(*arguments))


def line(what: str, measured: object) -> None:
    """Print a line of the table."""
    n_values, rate, floor, first, memory = cast("tuple[int, float, float, float, int]", measured)
    print(
        f"| {what} | {n_values:,} | {rate / 1e6:.2f} M/s | {floor / 1e6:,.0f} M/s "
        f"| {first * 1e3:,.0f} ms | {memory >> 20} MB |",
        flush=True,
    )


if __name__ == "__main__":
    main()
