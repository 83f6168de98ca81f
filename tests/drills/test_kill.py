"""A few of the kills of which the benchmark does a thousand."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from epochal.ids import RunId
from epochal.ingest.accept import Ingest
from epochal.ingest.watcher import Watcher
from epochal.query.live import ChangeFeed
from epochal.runlog.reader import RunLogReader
from epochal.store.metadata import Metadata
from epochal.store.metrics.embedded.store import EmbeddedMetricStore
from epochal.store.metrics.stores import MetricStores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: reads /proc")


@pytest.fixture(scope="module")
def kill() -> ModuleType:
    """The drill; loaded by its path, because tests are no package."""
    spec = importlib.util.spec_from_file_location("kill", Path(__file__).with_name("kill.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_whose_log_had_returned_survives_a_kill_once(kill: ModuleType, tmp_path: Path) -> None:
    verdict = kill.kill_drill(20, seed=1, home=tmp_path / "home")

    assert verdict.is_right, verdict
    assert verdict.n_confirmed > 100


class Server:
    """What a server does with the runs of this machine, without the server."""

    def __init__(self, data: Path, runs: Path) -> None:
        (data / "projects").mkdir(parents=True)
        self.metadata = Metadata(data / "metadata.db")
        self.stores = MetricStores(data / "projects", EmbeddedMetricStore)
        self.watcher = Watcher(Ingest(self.metadata, self.stores, ChangeFeed()), lambda: [runs])

    def rows(self, killed: Any) -> list[int]:
        """Return the stored rows of a killed process, as often as they were written."""
        for _ in range(3):
            while self.watcher.poll():
                pass
        (primary,) = [p for p in killed.folder.glob("*.runlog") if not p.name.startswith("sidecar-")]
        with RunLogReader(primary) as reader:
            run = RunId(reader.header.run_id)
        project = self.metadata.projects.get("local", "kill-drill", now=0.0)
        if project is None:
            return []
        with self.stores.use(project.store_file) as store:
            found = [int(row.values["i"]) for row in store.scan_rows(run, ["i"])]  # type: ignore[call-overload]
            n_written = sum(key.count for key in store.keys([run]) if key.key == "i")
        # A row that was stored twice is merged when it is read; the count betrays it.
        return found + found[: n_written - len(found)]

    def close(self) -> None:
        self.watcher.stop()
        self.stores.close()
        self.metadata.close()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[[Path], Server]]:
    servers: list[Server] = []

    def begin(runs: Path) -> Server:
        servers.append(Server(tmp_path / "data", runs))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def test_every_row_whose_log_had_returned_is_in_the_store_once(
    kill: ModuleType, tmp_path: Path, new_server: Callable[[Path], Server]
) -> None:
    server = new_server(tmp_path / "home" / "runs")

    verdict = kill.kill_drill(10, seed=3, home=tmp_path / "home", rows=server.rows)

    assert verdict.is_right, verdict
    assert verdict.n_confirmed > 100


def test_the_drill_notices_a_row_that_is_missing_or_there_twice(kill: ModuleType, tmp_path: Path) -> None:
    """A drill that cannot fail proves nothing."""

    def without_row_3(killed: object) -> list[int]:
        return [i for i in kill.rows_in_run_log(killed) if i != 3] + [5]

    verdict = kill.kill_drill(1, seed=2, home=tmp_path / "home", rows=without_row_3, max_alive_s=1.0)

    assert (verdict.n_lost, verdict.n_twice) == (1, 1)
