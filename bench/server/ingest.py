"""What a server takes over HTTP: many small senders, and a few large ones.

Live: as many runs as asked for, each sending one row of 20 metrics a second over a connection of its own, as
sidecars of running trainings do.  What counts is how long an acknowledgement takes.

Bulk: four senders of blocks of 1,000 rows of 100 metrics, as fast as the server acknowledges them, one
request at a time each.  What counts is values a second, until the last of them is in chunks: a rate that
compaction does not keep up with is not sustained.

The server is the real one, in a process of its own with an empty data folder; senders are processes beside
it, on the same cores.  The floor of an acknowledgement is the same request with an empty body, and the floor
of a commit is an fsync of 4 KiB in the same folder.

    python bench/server/ingest.py [--live N] [--seconds S] [--overload F] [--bulk-seconds S]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from epochal.ids import RunId, WriterId
from epochal.runlog.format import Header, RecordType
from epochal.wire.block import Block, Column, encode
from epochal.wire.build import header_frame

N_METRICS = 20
BULK_ROWS, BULK_METRICS, N_BULK = 1000, 100, 4
MEDIA_TYPE = "application/vnd.epochal.blocks"


class Server(NamedTuple):
    process: psutil.Process
    port: int
    key: str
    data: Path


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Start a server with an empty data folder; end it, and remove its folder, at the end."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"EPOCHAL_HOME": home}
        run = [sys.executable, "-m", "epochal.cli.main"]
        made = subprocess.run(
            [*run, "key", "new"], env=environment, capture_output=True, text=True, check=True
        )
        process = subprocess.Popen(
            [*run, "ui", "--no-browser", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "http://" in line)
            port = int(line.partition("://")[2].partition("/")[0].rpartition(":")[2])
            yield Server(psutil.Process(process.pid), port, made.stdout.split()[0], Path(home) / "server")
        finally:
            process.terminate()
            process.wait(30)


def row_block(run: str, row: int) -> bytes:
    """Return the packed block of one row of `N_METRICS` metrics."""
    now = time.time()
    header = Header(run_id=run, project="live", entity=None, writer="w1", kind="primary", start_time=now)
    return encode(
        Block(
            run_id=RunId(run),
            project="live",
            entity=None,
            writer=WriterId("w1"),
            kind="primary",
            first_offset=1000 * row,
            end_offset=1000 * row + 1000,
            n_rows=1,
            steps=(row, 1),
            times=struct.pack("<d", now),
            columns=[
                Column(f"train/metric_{i}", "f", None, struct.pack("<d", (row * i) ** 0.5))
                for i in range(N_METRICS)
            ],
            records=[(0, header_frame(header, 1000).record)]
            if row == 0
            else [(0, [int(RecordType.HEARTBEAT), now])],
        )
    )


class Client:
    """One connection that is kept."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._head = (
            f"POST /api/blocks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: "
        )
        self._reader: asyncio.StreamReader | None = None

    async def post(self, *blocks: bytes) -> dict[str, Any]:
        """Send blocks and return the answer."""
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        body = b"".join(struct.pack("<I", len(block)) + block for block in blocks)
        self._writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        answer = json.loads(await self._reader.readexactly(length))
        if b" 200 " not in head:
            raise RuntimeError(str(answer))
        said: dict[str, Any] = answer
        return said


async def live(port: int, key: str, n_runs: int, seconds: float, rate: float) -> dict[str, Any]:
    """Let `n_runs` write `rate` rows a second each; return how long acknowledgements took, in seconds."""
    waits: list[float] = []
    began = time.monotonic()

    async def write(number: int) -> int:
        client, row, due = Client(port, key), 0, began + (number / n_runs) / rate
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # What has waited goes together, as a sidecar sends it.
            n_rows = max(1, int((time.monotonic() - due) * rate))
            blocks = [row_block(f"run{number}-{rate:g}", row + i) for i in range(min(n_rows, 200))]
            sent = time.monotonic()
            answer = await client.post(*blocks)
            waits.append(time.monotonic() - sent)
            row += len(blocks)
            if answer["writers"][0]["offset"] != 1000 * row:
                raise RuntimeError(str(answer))
            due += len(blocks) / rate
        return row

    rows = await asyncio.gather(*map(write, range(n_runs)))
    return {"waits": sorted(waits), "rows": sum(rows), "seconds": time.monotonic() - began}


def live_process(port: int, key: str, n_runs: int, seconds: float, rate: float, pipe: Connection) -> None:
    """Run `live` in this process and send what it returns."""
    pipe.send(asyncio.run(live(port, key, n_runs, seconds, rate)))


def bulk_process(port: int, key: str, number: int, seconds: float, pipe: Connection) -> None:
    """Send dense blocks for `seconds`; send the number of values, and how long acknowledgements took."""
    random = np.random.default_rng(number)
    curves = [np.cumsum(random.standard_normal(BULK_ROWS)) for _ in range(BULK_METRICS)]

    async def send() -> tuple[int, list[float]]:
        client, waits, n_blocks = Client(port, key), [], 0
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            packed = encode(bulk_block(f"bulk{number}", n_blocks, curves))
            sent = time.monotonic()
            await client.post(packed)
            waits.append(time.monotonic() - sent)
            n_blocks += 1
        return n_blocks * BULK_ROWS * BULK_METRICS, waits

    pipe.send(asyncio.run(send()))


def bulk_block(run: str, number: int, curves: list[Any]) -> Block:
    """Return the block of the next `BULK_ROWS` rows."""
    first = number * BULK_ROWS
    times = np.arange(first, first + BULK_ROWS) * 0.01 + 1_700_000_000.0
    return Block(
        run_id=RunId(run),
        project="bulk",
        entity=None,
        writer=WriterId("w1"),
        kind="primary",
        first_offset=first * 1000,
        end_offset=(first + BULK_ROWS) * 1000,
        n_rows=BULK_ROWS,
        steps=(first, 1),
        times=times.tobytes(),
        columns=[Column(f"layer{i}/norm", "f", None, (c + number).tobytes()) for i, c in enumerate(curves)],
    )


def run_together(target: Callable[..., None], arguments: list[tuple[Any, ...]]) -> list[Any]:
    """Run `target` in a process for each of `arguments`; return what they sent."""
    pipes, processes = [], []
    for of_one in arguments:
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=target, args=(*of_one, there))
        process.start()
        pipes.append(here)
        processes.append(process)
    try:
        return [pipe.recv() for pipe in pipes]
    finally:
        for process in processes:
            process.terminate()
            process.join()


class Watch:
    """Notes the largest resident memory of a process."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process

    def __enter__(self) -> Watch:
        self.samples: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._cpu = sum(self._process.cpu_times()[:2])
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.25):
            self.samples.append(self._process.memory_info().rss / 1e6)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.cpu = sum(self._process.cpu_times()[:2]) - self._cpu


def at(ordered: list[float], share: float) -> float:
    """Return the value below which `share` of `ordered` lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def empty_requests(port: int, key: str, n: int = 300) -> float:
    """Return the median time of a request that brings nothing, in seconds."""

    async def ask() -> float:
        client, waits = Client(port, key), []
        for _ in range(n):
            sent = time.perf_counter()
            await client.post()
            waits.append(time.perf_counter() - sent)
        return statistics.median(waits)

    return asyncio.run(ask())


def fsync_time(folder: Path, n: int = 50) -> float:
    """Return the median time of an fsync of 4 KiB in `folder`, in seconds."""
    waits = []
    with (folder / "floor").open("wb") as file:
        for _ in range(n):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            waits.append(time.perf_counter() - began)
    (folder / "floor").unlink()
    return statistics.median(waits)


def n_not_compacted(data: Path) -> int:
    """Return how many values are not in chunks yet, over all projects."""
    waiting = 0
    for path in (data / "projects").glob("*.db"):
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            query = (
                "SELECT sum(n_values) FROM blocks JOIN runs USING (run_no) "
                "WHERE is_stripped = 0 AND block_no > through"
            )
            waiting += connection.execute(query).fetchone()[0] or 0
    return waiting


def print_head(*columns: str) -> None:
    """Print the head of a table."""
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)


def show_live(server: Server, n_runs: int, seconds: float, overload: float) -> None:
    """Print what `n_runs` live writers see."""
    with Watch(server.process) as watch:
        arguments = (server.port, server.key, n_runs, seconds, overload)
        (said,) = run_together(live_process, [arguments])
    waits, rows, took = said["waits"], said["rows"], said["seconds"]
    half = watch.samples[len(watch.samples) // 2 :]
    print(
        f"| {n_runs} runs, {overload:g} rows/s each | {rows / took:,.0f} rows/s "
        f"| {1e3 * at(waits, 0.5):.0f} ms | {1e3 * at(waits, 0.99):.0f} ms | {1e3 * waits[-1]:.0f} ms "
        f"| {took - seconds:.1f} s "
        f"| {watch.cpu / took:.2f} | {half[0]:.0f} to {half[-1]:.0f} MB |",
        flush=True,
    )


def show_bulk(server: Server, seconds: float) -> None:
    """Print what four senders of dense blocks get through."""
    began = time.monotonic()
    with Watch(server.process) as watch:
        arguments = [(server.port, server.key, number, seconds) for number in range(N_BULK)]
        said = run_together(bulk_process, arguments)
        taken = time.monotonic() - began
        behind = n_not_compacted(server.data)
        while n_not_compacted(server.data):
            time.sleep(0.2)
    done = time.monotonic() - began
    n_values, waits = sum(n for n, _ in said), sorted(wait for _, waits in said for wait in waits)
    print(
        f"| {n_values / 1e6:.0f} M | {n_values / taken / 1e6:.2f} M/s | {n_values / done / 1e6:.2f} M/s "
        f"| {behind / 1e6:.1f} M | {1e3 * at(waits, 0.5):.0f} ms | {1e3 * at(waits, 0.99):.0f} ms "
        f"| {watch.cpu / done:.2f} | {max(watch.samples):.0f} MB |",
        flush=True,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--live", type=int, default=1000, help="runs that write at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long they do")
    parser.add_argument(
        "--overload", type=float, default=5.0, help="rows a second of each, in the second part"
    )
    parser.add_argument("--bulk-seconds", type=float, default=20.0, help="for how long dense blocks are sent")
    asked = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    with running_server() as server:
        floor, disk = empty_requests(server.port, server.key), fsync_time(server.data)
        print(f"Floors: an empty request {1e3 * floor:.2f} ms, an fsync {1e3 * disk:.2f} ms.\n")
        if asked.live:
            print_head(
                "live", "stored", "p50", "p99", "longest", "late at the end", "cores", "memory, 2nd half"
            )
            show_live(server, asked.live, asked.seconds, 1.0)
            if asked.overload > 1:
                show_live(server, asked.live, asked.seconds, asked.overload)
    if asked.bulk_seconds:
        with running_server() as server:
            print()
            print_head("values", "taken", "compacted", "behind", "p50", "p99", "cores", "memory, most")
            show_bulk(server, asked.bulk_seconds)


if __name__ == "__main__":
    main()
