"""A data folder with real stores, and run logs written by the real writer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from epochal.ids import RunId
from epochal.ingest.accept import Ingest
from epochal.runlog.format import Header, RecordType, WriterKind
from epochal.runlog.writer import RunLogWriter
from epochal.store.metadata import Metadata, RunRecord
from epochal.store.metrics.embedded.store import EmbeddedMetricStore
from epochal.store.metrics.stores import MetricStores
from epochal.wire.change import Change

START = 1_700_000_000.0


class Clock:
    """Unix seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Changes:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.all: list[Change] = []

    def publish(self, change: Change) -> None:
        self.all.append(change)


class DataFolder:
    """Everything that a server has, without the server.  `reopen` is what a restart does."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self.clock = clock
        self.changes = Changes()
        (path / "projects").mkdir(parents=True)
        self._open()

    def _open(self) -> None:
        self.metadata = Metadata(self.path / "metadata.db")
        self.stores = MetricStores(self.path / "projects", EmbeddedMetricStore)
        self.ingest = Ingest(self.metadata, self.stores, self.changes, clock=self.clock)

    def reopen(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self.stores.close()
        self.metadata.close()

    def run(self, run_id: str = "r1", project: str = "p") -> RunRecord:
        run = self.metadata.runs.get("local", project, run_id)
        assert run is not None, f"there is no run {run_id}"
        return run

    def rows(self, run_id: str = "r1", project: str = "p") -> list[tuple[int, dict[str, object]]]:
        """Every row of the run's history by step."""
        found = self.metadata.projects.get("local", project, now=self.clock())
        assert found is not None
        with self.stores.use(found.store_file) as store:
            return [(row.step, row.values) for row in store.scan_rows(RunId(run_id))]

    def counts(self, run_id: str = "r1", project: str = "p") -> dict[str, int]:
        """Points of every key, each write counted."""
        found = self.metadata.projects.get("local", project, now=self.clock())
        assert found is not None
        with self.stores.use(found.store_file) as store:
            return {key.key: key.count for key in store.keys([RunId(run_id)])}


class RunLog:
    """Writes one run log as the SDK does."""

    def __init__(self, folder: Path, header: Header) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{header.writer}.runlog"
        self.header = header
        self._writer = RunLogWriter(self.path, header)
        self._times = itertools.count(1)

    def write(self, kind: RecordType, *items: object) -> None:
        time = self.header.start_time + next(self._times)
        self._writer.append(msgspec.msgpack.encode([kind, time, *items]))

    def row(self, step: int, data: Mapping[str, object]) -> None:
        self.write(RecordType.ROW, step, data)

    def unplaced(self, ordinal: int, data: Mapping[str, object]) -> None:
        self.write(RecordType.UNPLACED_ROW, ordinal, data)

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def data(tmp_path: Path, clock: Clock) -> Iterator[DataFolder]:
    folder = DataFolder(tmp_path / "data", clock)
    yield folder
    folder.close()


@pytest.fixture
def runs_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def new_log(runs_folder: Path) -> Iterator[Callable[..., RunLog]]:
    """Return a function that begins a run log in a run folder of its own, or in a given one."""
    logs: list[RunLog] = []

    def begin(
        run_id: str = "r1",
        writer: str = "writer01",
        *,
        kind: WriterKind = "primary",
        project: str = "p",
        entity: str | None = None,
        start_time: float = START - 100,
        folder: str | None = None,
        watches: str | None = None,
    ) -> RunLog:
        header = Header(
            run_id=run_id,
            project=project,
            entity=entity,
            writer=writer,
            kind=kind,
            start_time=start_time,
            watches=watches,
        )
        stamp = f"20261122_{int(start_time) % 1_000_000:06}"
        log = RunLog(runs_folder / (folder or f"run-{stamp}-{run_id}"), header)
        logs.append(log)
        return log

    yield begin
    for log in logs:
        log.close()
