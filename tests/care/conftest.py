"""A data folder as a server leaves it, with everything that a look after it meets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from epochal.ids import RunId
from epochal.ingest.accept import Ingest
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import Frame
from epochal.store.metadata import Metadata
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.store.metrics.stores import MetricStores
from epochal.wire.block import Block
from epochal.wire.build import build_block
from epochal.wire.change import Change

SMALL = ChunkSizes(points_a_chunk=32, buckets_a_chunk=4, points_a_bucket=4, other_chunk_bytes=256)
FRAME_BYTES = 100


class Nobody:
    """Is told of changes."""

    def publish(self, change: Change) -> None:
        pass


class Folder:
    """A data folder; its files are closed but inside `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "projects").mkdir(parents=True)
        (path / "format").write_text("1\n")
        self._offsets: dict[tuple[str, str, str], int] = {}
        self._steps: dict[tuple[str, str], int] = {}

    @contextmanager
    def opened(self) -> Iterator[tuple[Metadata, MetricStores, Ingest]]:
        """Open it as a server does; nothing runs in the background."""
        metadata = Metadata(self.path / "metadata.db")
        stores = MetricStores(
            self.path / "projects", partial(EmbeddedMetricStore, background=False, sizes=SMALL)
        )
        try:
            yield metadata, stores, Ingest(metadata, stores, Nobody())
        finally:
            stores.close()
            metadata.close()

    def log(self, run: str, n: int, *, project: str = "p", writer: str = "w1") -> Block:
        """Return a block of `n` more rows of a run: `loss` at every step, `note` at every tenth."""
        at = self._offsets.get((project, run, writer), 0)
        first = self._steps.get((project, run), 0)
        records: list[list[object]] = []
        for step in range(first, first + n):
            row: dict[str, object] = {"loss": 1 / (step + 1), "step2": 2 * step}
            if step % 10 == 0:
                row["note"] = f"at {step}"
            records.append([int(RecordType.ROW), 1e9 + step, step, row])
        records.append([int(RecordType.CONSOLE), 1e9 + first, "stdout", f"{n} rows\n"])
        frames = [
            Frame(at + i * FRAME_BYTES, at + (i + 1) * FRAME_BYTES, record)
            for i, record in enumerate(records)
        ]
        end = at + len(frames) * FRAME_BYTES
        self._offsets[project, run, writer], self._steps[project, run] = end, first + n
        header = Header(
            run_id=run, project=project, entity=None, writer=writer, kind="primary", start_time=1e9
        )
        return build_block(header, frames, [], first_offset=at, end_offset=end)

    def compact(self) -> None:
        """Bring everything into chunks."""
        with self.opened() as (_, stores, _):
            for path in (self.path / "projects").glob("*.db"):
                with stores.use(path.name) as store:
                    assert isinstance(store, EmbeddedMetricStore)
                    store.compact()

    def losses(self, run: str, key: str = "loss", *, project: str = "p") -> list[tuple[int, object]]:
        """Return what a key of a run has: step, value."""
        with self.opened() as (metadata, stores, _):
            found = metadata.projects.get("local", project, now=0.0)
            assert found is not None
            with stores.use(found.store_file) as store:
                return [(row.step, row.values[key]) for row in store.scan_rows(RunId(run), [key])]

    def sql(self, statement: str, file: str = "projects/1.db") -> None:
        """Change a file behind the store's back."""
        with closing(sqlite3.connect(self.path / file, isolation_level=None)) as connection:
            connection.execute(statement)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A data folder of the projects p, with the runs r1 and r2, and q, with r3; some rows in blocks only."""
    folder = Folder(tmp_path / "data")
    with folder.opened() as (_, _, ingest):
        for run, project in (("r1", "p"), ("r2", "p"), ("r3", "q")):
            for _ in range(3):
                ingest.accept([folder.log(run, 100, project=project)])
    folder.compact()
    with folder.opened() as (_, _, ingest):
        ingest.accept([folder.log("r1", 20)])
    return folder
