"""What following the run logs of a machine costs, and how soon a row is seen.

    python bench/ingest/watcher.py             # all questions, about two minutes
    python bench/ingest/watcher.py --only idle --finished 10000

- idle: CPU of the watching process beside many finished runs, with and without a few that live.
- latency: from the return of the write to the moment a query finds the row.
- backlog: how fast what was logged while no server ran is taken in, and the memory that takes.
  Floor of the same run: reading the files and checking their frames, storing nothing.
- wide: the same for rows of 100,000 keys every now and then, and of 10,000 keys every step: processor time
  from the written row to the answered query.  Floor of the same run: decoding the row.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from epochal.ids import RunId
from epochal.ingest.accept import Ingest
from epochal.ingest.watcher import Watcher
from epochal.query.live import ChangeFeed
from epochal.query.runs import list_runs
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import RunLogReader
from epochal.runlog.writer import RunLogWriter
from epochal.store.metadata import Metadata
from epochal.store.metrics.contract import SeriesQuery
from epochal.store.metrics.embedded.store import EmbeddedMetricStore
from epochal.store.metrics.stores import MetricStores

PROJECT = "bench"


def new_log(runs: Path, run_id: str, *, kind: str = "primary", started: float | None = None) -> RunLogWriter:
    started = time.time() if started is None else started
    folder = runs / f"run-20261122_101500-{run_id}"
    folder.mkdir(parents=True, exist_ok=True)
    writer = f"w{run_id}" if kind == "primary" else f"sidecar-w{run_id}"
    header = Header(
        run_id=run_id,
        project=PROJECT,
        entity=None,
        writer=writer,
        kind=kind,  # type: ignore[arg-type]
        start_time=started,
    )
    return RunLogWriter(folder / f"{writer}.runlog", header)


def row(step: int, n_keys: int = 5) -> bytes:
    data = {f"train/metric_{i}": math.sin(step / 50 + i) for i in range(n_keys)}
    return msgspec.msgpack.encode([1, time.time(), step, data])


def write_finished_runs(runs: Path, n: int) -> None:
    """Runs of yesterday: a hundred rows, a sidecar, an end."""
    yesterday = time.time() - 86_400
    for i in range(n):
        run_id = f"old{i:05}"
        trainer, sidecar = (
            new_log(runs, run_id, kind=kind, started=yesterday) for kind in ("primary", "sidecar")
        )
        for step in range(100):
            trainer.append(row(step))
        trainer.record(RecordType.EXIT, {"exit_code": 0})
        sidecar.record(RecordType.EXIT, {"state": "finished", "exit_code": 0})
        for log in (trainer, sidecar):
            log.close()
            os.utime(log.path, (yesterday, yesterday))


@contextmanager
def watching(data: Path, runs: Path) -> Iterator[tuple[Watcher, Metadata, MetricStores]]:
    (data / "projects").mkdir(parents=True, exist_ok=True)
    metadata = Metadata(data / "metadata.db")
    stores = MetricStores(data / "projects", EmbeddedMetricStore)
    ingest = Ingest(metadata, stores, ChangeFeed())
    watcher = Watcher(ingest, lambda: [runs], metadata.writers.finished_paths())
    yield watcher, metadata, stores
    watcher.stop()
    stores.close()
    metadata.close()


def settle(watcher: Watcher) -> None:
    while watcher.poll():
        pass


def cpu_share(seconds: float) -> float:
    """CPU of this process, of one core, in percent."""
    began, used = time.monotonic(), time.process_time()
    time.sleep(seconds)
    return 100 * (time.process_time() - used) / (time.monotonic() - began)


def live_runs(runs: Path, name: str, n: int, period_s: float, stop: threading.Event) -> None:
    """Log a row of five scalars to each of `n` runs every `period_s`, in a process of its own."""
    logs = [new_log(runs, f"{name}{i}") for i in range(n)]
    step = 0
    while not stop.wait(period_s):
        for log in logs:
            log.append(row(step))
        step += 1


@contextmanager
def living(runs: Path, n: int, period_s: float) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(
        target=live_runs, args=(runs, f"live{int(1000 * period_s)}x", n, period_s, stop)
    )
    process.start()
    time.sleep(2.0)  # until it is there and its files were found
    yield
    stop.set()
    process.join()


def idle(home: Path, n_finished: int, seconds: float) -> None:
    runs = home / "runs"
    write_finished_runs(runs, n_finished)
    with watching(home / "data", runs) as (watcher, metadata, _):
        began = time.monotonic()
        settle(watcher)
        print(f"  {n_finished:,} finished runs taken in           {time.monotonic() - began:8.2f} s")
        assert metadata.writers.unfinished() == []
    with watching(home / "data", runs) as (watcher, _, _):
        began = time.monotonic()
        settle(watcher)
        print(f"  … found again after a restart             {time.monotonic() - began:8.2f} s")
        watcher.start()
        print(f"  CPU, nothing lives                        {cpu_share(seconds):8.2f} %")
        for period_s, name in (
            (10.0, "a heartbeat every 10 s"),
            (1.0, "a row every second"),
            (0.05, "20 rows a second"),
        ):
            with living(runs, 5, period_s):
                print(f"  CPU, 5 live runs, {name:<24}{cpu_share(seconds):8.2f} %")


def latency(home: Path, n: int) -> None:
    runs = home / "runs"
    log = new_log(runs, "r1")
    with watching(home / "data", runs) as (watcher, metadata, stores):
        watcher.start()
        waits: list[float] = []
        for step in range(n):
            time.sleep(0.37)  # no multiple of the watcher's own period
            log.append(row(step))
            began = time.perf_counter()
            wait_until(lambda step=step: last_step(metadata, stores) == step)  # type: ignore[misc]
            waits.append(1000 * (time.perf_counter() - began))
    waits.sort()
    print(f"  until a query finds the row, median       {statistics.median(waits):8.0f} ms")
    print(f"  … the slowest of {n:<4}                     {waits[-1]:8.0f} ms")


def last_step(metadata: Metadata, stores: MetricStores) -> int | None:
    if metadata.runs.get("local", PROJECT, "r1", documents=()) is None:
        return None
    with stores.use("1.db") as store:
        return max((key.last_step or 0 for key in store.keys([RunId("r1")])), default=None)


def wait_until(is_true: Callable[[], bool]) -> None:
    while not is_true():
        time.sleep(0.002)


def backlog(home: Path, n_mb: int) -> None:
    runs = home / "runs"
    logs = [new_log(runs, f"r{i}") for i in range(4)]
    n_bytes, step = 0, 0
    while n_bytes < n_mb << 20:
        payload = row(step)
        for log in logs:
            log.append(payload)
            n_bytes += len(payload) + 8
        step += 1
    n_rows = step * len(logs)
    began = time.monotonic()
    for log in logs:
        log.close()
        with RunLogReader(log.path) as reader:
            while reader.read()[0]:
                pass
    floor_s = time.monotonic() - began
    with watching(home / "data", runs) as (watcher, metadata, _):
        watcher.poll()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, used = time.monotonic(), time.process_time()
        settle(watcher)
        took_s, cpu_s = time.monotonic() - began, time.process_time() - used
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        found = [edge.run for edge in list_runs(metadata, 1, now=time.time(), documents=()).edges]
        assert sum(run.n_rows for run in found) == n_rows
    print(
        f"  {n_mb} MB, {n_rows:,} rows of 5 scalars           {took_s:8.2f} s   {n_rows / took_s:,.0f} rows/s"
    )
    print(f"  … CPU                                     {cpu_s:8.2f} s   {1e6 * cpu_s / n_rows:.1f} us a row")
    print(f"  … floor: read and check the frames        {floor_s:8.2f} s   {n_rows / floor_s:,.0f} rows/s")
    print(f"  … memory above that of the first round    {grown / 1024:8.1f} MB")


def wide(home: Path, n_keys: int, n_rows: int, n_between: int) -> None:
    """Log `n_rows` rows of `n_keys` keys, with `n_between` small rows before each, five times."""
    runs = home / f"runs-{n_keys}-{n_between}"
    log = new_log(runs, "r1")
    floors, costs, waits, step = [], [], [], 0
    with watching(home / f"data-{n_keys}-{n_between}", runs) as (watcher, _, stores):
        for _ in range(5):
            payloads = []
            for _ in range(n_rows):
                payloads += [row(step + i) for i in range(n_between)] + [row(step + n_between, n_keys)]
                step += n_between + 1
            for payload in payloads:
                log.append(payload)
            began, used = time.perf_counter(), time.process_time()
            settle(watcher)
            query = SeriesQuery(runs=(RunId("r1"),), keys=(f"train/metric_{n_keys - 1}",))
            with stores.use("1.db") as store:
                (series,) = store.read_series(query).infos
            costs.append(time.process_time() - used)
            waits.append(time.perf_counter() - began)
            assert series.last_step == step - 1
            used = time.process_time()
            for payload in payloads:
                msgspec.msgpack.decode(payload)
            floors.append(time.process_time() - used)
    between = f", {n_between} of 5 before each" if n_between else ""
    print(f"  rows of {n_keys:,} keys{between}, {n_rows} at once")
    for name, found in (("CPU until a query is answered", costs), ("floor: decode the rows", floors)):
        taken = statistics.median(found)
        print(f"  … {name:<40}{taken:8.3f} s   {1e6 * taken / n_rows / n_keys:.2f} us a value")
    print(f"  … {'by the clock':<40}{statistics.median(waits):8.3f} s")


def wide_rows(home: Path) -> None:
    wide(home, 100_000, 1, 0)
    wide(home, 100_000, 1, 20)
    wide(home, 10_000, 20, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["idle", "latency", "backlog", "wide"])
    parser.add_argument("--finished", type=int, default=1000, help="finished runs beside (default: 1000)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each CPU measurement (default: 15)")
    parser.add_argument("--megabytes", type=int, default=200, help="of backlog (default: 200)")
    args = parser.parse_args()
    questions: dict[str, Callable[[Path], None]] = {
        "idle": lambda home: idle(home, args.finished, args.seconds),
        "latency": lambda home: latency(home, 40),
        "backlog": lambda home: backlog(home, args.megabytes),
        "wide": wide_rows,
    }
    for name, ask in questions.items():
        if args.only in (None, name):
            print(name)
            with tempfile.TemporaryDirectory() as folder:
                ask(Path(folder))


if __name__ == "__main__":
    main()
