"""Writes the file of a metric store as the code of the day writes it, for a golden file of its version.

Its rows follow from a formula (`rows`), so a test can tell what any version's file must answer.  Run once
when a version is released:  python tests/golden/make_metric_store.py tests/golden/metric-store-<version>.db
"""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from epochal.ids import RunId, WriterId
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import Frame
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.wire.block import Block
from epochal.wire.build import build_block

RUNS = ("short", "long", "gone")  # the last one is deleted, and not yet swept away
N_ROWS = {"short": 40, "long": 700, "gone": 60}
N_TAIL = 25  # rows of the long run's second writer, which stay in blocks
# Small, so that a small file has every kind of chunk and three levels.
SIZES = ChunkSizes(points_a_chunk=64, buckets_a_chunk=4, points_a_bucket=4, other_chunk_bytes=512)

_FRAME_BYTES = 100
_FIRST_TIME = 1_700_000_000.0


def values(step: int) -> dict[str, object]:
    """Return what step `step` of every run logs."""
    row: dict[str, object] = {"loss": math.exp(-step / 100) + math.sin(step), "step2": 2 * step}
    if step % 7 == 0:
        row["val/acc"] = math.nan if step % 3 == 0 else step / 700
    if step % 10 == 0:
        row["note"] = f"at {step}" if step % 20 else step % 40 == 0
    return row


def rows(run: str) -> Iterator[tuple[int, float, dict[str, object]]]:
    """Yield the rows of `run`, by step: step, Unix time, values."""
    for step in range(N_ROWS[run] + (N_TAIL if run == "long" else 0)):
        yield step, _FIRST_TIME + step, values(step)


def _records(run: str, first: int, last: int) -> list[list[object]]:
    of_rows: list[list[object]] = []
    for step, time, row in rows(run):
        if first <= step < last:
            of_rows.append([int(RecordType.ROW), time, step, row])
            of_rows.append([int(RecordType.CONSOLE), time, "stdout", f"step {step} of {run}\n"])
            if step % 20 == 0:
                of_rows.append([int(RecordType.SYSTEM), time, {"cpu": step / 7, "gpu.0": 50}])
    return of_rows


def block(run: str, writer: str, begin: int, records: list[list[object]]) -> Block:
    """Return the block of `records`, at the offset `begin` of the writer."""
    frames = [
        Frame(begin + i * _FRAME_BYTES, begin + (i + 1) * _FRAME_BYTES, record)
        for i, record in enumerate(records)
    ]
    header = Header(run_id=run, project="p", entity=None, writer=writer, kind="primary", start_time=0.0)
    return build_block(header, frames, [], first_offset=begin, end_offset=begin + len(frames) * _FRAME_BYTES)


def make(path: Path) -> None:
    """Write the file."""
    store = EmbeddedMetricStore(path, background=False, sizes=SIZES)
    offsets = dict.fromkeys(RUNS, 0)
    for run in RUNS:
        for first in range(0, N_ROWS[run], 90):
            records = _records(run, first, min(first + 90, N_ROWS[run]))
            store.append([block(run, "w1", offsets[run], records)])
            offsets[run] += len(records) * _FRAME_BYTES
            store.compact()
    # Late: again what was said, so that a sealed chunk is written anew.
    late = _records("long", 100, 103)
    store.append([block("long", "w1", offsets["long"], late)])
    store.release(RunId("long"), WriterId("w1"), 200 * _FRAME_BYTES)
    store.compact()
    store.delete_run(RunId("gone"))
    store.append([block("long", "w2", 0, _records("long", N_ROWS["long"], N_ROWS["long"] + N_TAIL))])
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
