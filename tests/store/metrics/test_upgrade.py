"""Files of older versions are brought forward, whatever happens meanwhile."""

from __future__ import annotations

import importlib.util
import math
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from epochal.errors import DamagedStoreError, NewerDataFolderError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.schema import VERSION
from epochal.store.metrics.embedded.upgrade import is_unfinished

GOLDEN = Path(__file__).parents[2] / "golden"
OLD_FILES = sorted(GOLDEN.glob("metric-store-*.db"))

# Opens the file as a server does, and is killed at the statement of that number.
KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from epochal.store.metrics.embedded.schema import open_file
left = int(sys.argv[2])
def count(statement):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
connect = sqlite3.connect
def connect_and_count(*args, **kwargs):
    connection = connect(*args, **kwargs)
    connection.set_trace_callback(count)
    return connection
sqlite3.connect = connect_and_count
open_file(Path(sys.argv[1]))
"""


@pytest.fixture
def maker() -> ModuleType:
    """The program that made the golden files, which knows what they must answer."""
    spec = importlib.util.spec_from_file_location("make_metric_store", GOLDEN / "make_metric_store.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=OLD_FILES, ids=lambda path: path.stem)
def old_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = shutil.copyfile(request.param, tmp_path / "1.db")
    return path


def check_answers(path: Path, maker: ModuleType) -> None:
    """Open the file and ask it for everything that was ever put into it."""
    store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)
    for run in ("short", "long"):
        found = [(row.step, row.time, row.values) for row in store.scan_rows(RunId(run))]
        assert repr(found) == repr(list(maker.rows(run)))  # as texts, since NaN is not NaN
        lines, n_lines = store.console(RunId(run))
        assert n_lines == len(lines) == len(found) + (3 if run == "long" else 0)
        assert {line.text for line in lines} == {f"step {step} of {run}" for step, _, _ in found}
        query = SeriesQuery(runs=(RunId(run),), keys=("loss",), n_buckets=16)
        (info,), buckets = store.read_series(query)
        assert info.n_points == len(found)
        assert not info.exact
        assert float(buckets.low.min()) == min(maker.values(step)["loss"] for step, _, _ in found)
        samples = list(store.scan_rows(RunId(run), ["cpu"], stream="system"))
        assert len(samples) == math.ceil(len(found) / 20)
    assert store.end_offset(RunId("long"), WriterId("w2")) > 0
    store.compact()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert not is_unfinished(connection)
    store.close()


def test_there_is_a_golden_file_of_every_older_version() -> None:
    assert [path.stem for path in OLD_FILES] == [f"metric-store-{n}" for n in range(1, VERSION)]


def test_a_file_of_an_older_version_has_everything_once_it_is_opened(
    old_file: Path, maker: ModuleType
) -> None:
    check_answers(old_file, maker)


def test_an_upgraded_file_has_the_tables_of_a_new_one(old_file: Path, tmp_path: Path) -> None:
    for path in (old_file, tmp_path / "2.db"):
        EmbeddedMetricStore(path, background=False).close()

    assert tables_of(old_file) == tables_of(tmp_path / "2.db")


def tables_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in sorted(names)}


def test_the_sizes_of_runs_count_the_checksums_after_an_upgrade(old_file: Path) -> None:
    EmbeddedMetricStore(old_file, background=False).close()

    with closing(sqlite3.connect(old_file)) as connection:
        for run_no, n_bytes in connection.execute("SELECT run_no, n_bytes FROM runs").fetchall():
            assert n_bytes == sum(bytes_of(connection, run_no))


def bytes_of(connection: sqlite3.Connection, run_no: int) -> Iterator[int]:
    for statement in (
        "SELECT total(length(body)) FROM chunks JOIN series USING (series_no) WHERE run_no = ?",
        "SELECT total(length(body)) FROM axes WHERE run_no = ?",
        "SELECT total(length(body)) FROM blocks WHERE run_no = ?",
        "SELECT total(length(text) + 17) FROM console WHERE run_no = ?",  # every line here has an end
    ):
        yield connection.execute(statement, (run_no,)).fetchone()[0]


@pytest.mark.parametrize("at", [5, 8, 9, 60, 103, 109, 200, 290, 298, 300, 304, 312, 328, 332, 338, 339])
def test_an_upgrade_that_is_killed_at_any_statement_is_gone_on_with(
    tmp_path: Path, maker: ModuleType, at: int
) -> None:
    path = Path(shutil.copyfile(GOLDEN / "metric-store-1.db", tmp_path / "1.db"))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL

    check_answers(path, maker)


def test_a_file_that_is_half_upgraded_is_refused_by_the_version_before(tmp_path: Path) -> None:
    """It looks at nothing but the number."""
    path = Path(shutil.copyfile(GOLDEN / "metric-store-1.db", tmp_path / "1.db"))
    subprocess.run([sys.executable, "-c", KILLED, str(path), "60"], check=False)

    with closing(sqlite3.connect(path)) as connection:
        assert is_unfinished(connection)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_what_an_old_file_had_damaged_is_not_taken_for_sound(tmp_path: Path, maker: ModuleType) -> None:
    path = Path(shutil.copyfile(GOLDEN / "metric-store-1.db", tmp_path / "1.db"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # The end of a compressed array is cut off, so it cannot be unpacked.
        connection.execute(
            "UPDATE chunks SET body = substr(body, 1, length(body) - 9) WHERE chunk_no = "
            "(SELECT min(chunk_no) FROM chunks JOIN series USING (series_no) "
            "WHERE key = 'loss' AND run_no = 2 AND level = 0)"
        )
    store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)

    with pytest.raises(DamagedStoreError, match="checksum"):
        list(store.scan_rows(RunId("long"), ["loss"]))

    assert len(list(store.scan_rows(RunId("short"), ["loss"]))) == 40
    store.close()


def test_a_newer_file_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "1.db"
    EmbeddedMetricStore(path, background=False).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()

    with pytest.raises(NewerDataFolderError):
        EmbeddedMetricStore(path, background=False)

    assert path.read_bytes() == before
