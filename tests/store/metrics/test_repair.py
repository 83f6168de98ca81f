"""A repair leaves a sound file, keeps what can be read, says what is lost, and can be killed."""

from __future__ import annotations

import importlib.util
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from epochal.errors import DamagedStoreError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.check import check_file
from epochal.store.metrics.embedded.repair import Aside, LostBlock, repair_file
from epochal.store.metrics.embedded.repair_series import Lost

MAKER = Path(__file__).parents[2] / "golden" / "make_metric_store.py"
RUNS = (RunId("short"), RunId("long"))
Values = dict[tuple[RunId, int, str], str]

KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from epochal.store.metrics.embedded.repair import Aside, repair_file
left = int(sys.argv[3])
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
repair_file(Path(sys.argv[1]), Aside(Path(sys.argv[2])), lambda run, lost: None)
"""


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The program that makes a file with everything in it."""
    spec = importlib.util.spec_from_file_location("make_metric_store", MAKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def with_blocks(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose blocks still have nearly all of their rows."""
    path = tmp_path_factory.mktemp("blocks") / "1.db"
    maker.make(path)
    store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)
    store.compact()
    store.close()
    return path


@pytest.fixture(scope="module")
def in_chunks(maker: ModuleType, with_blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but most rows are in chunks only."""
    path = Path(shutil.copyfile(with_blocks, tmp_path_factory.mktemp("chunks") / "1.db"))
    store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)
    for run in RUNS:
        store.release(run, WriterId("w1"), 1 << 40)
        store.append([maker.block(run, "w3", 0, [[1, 2e9, 10_000, {"loss": 1.0}]])])
    store.compact()
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        (n_left,) = connection.execute("SELECT count(*) FROM blocks WHERE NOT is_stripped").fetchone()
        assert n_left <= 3
    return path


def values(path: Path, maker: ModuleType) -> Values:
    store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)
    found = {
        (run, row.step, key): repr(value)
        for run in RUNS
        for row in store.scan_rows(run)
        for key, value in row.values.items()
    }
    store.close()
    return found


def sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


OF_LOSS = "(SELECT series_no FROM series WHERE key = 'loss' AND run_no = 2)"
DAMAGE = [
    f"UPDATE chunks SET body = zeroblob(9) WHERE level = 0 AND series_no = {OF_LOSS} AND first_step = 192",
    f"DELETE FROM chunks WHERE level = 0 AND series_no = {OF_LOSS} AND first_step = 192",
    f"UPDATE chunks SET n = n + 1 WHERE level = 0 AND series_no = {OF_LOSS}",
    f"UPDATE chunks SET last_step = last_step + 9 WHERE level = 0 AND series_no = {OF_LOSS} AND n = 64",
    f"DELETE FROM chunks WHERE level = 1 AND series_no = {OF_LOSS}",
    f"UPDATE chunks SET body = zeroblob(9) WHERE level = 2 AND series_no = {OF_LOSS}",
    f"UPDATE series SET n_points = 1, first_step = 7, top_level = 0 WHERE series_no = {OF_LOSS}",
    "UPDATE axes SET body = zeroblob(9) WHERE axis_no = (SELECT min(axis_no) FROM axes WHERE run_no = 2)",
    "DELETE FROM axes WHERE axis_no = (SELECT min(axis_no) FROM axes WHERE run_no = 2)",
    "UPDATE axes SET n_chunks = n_chunks + 1",
    "UPDATE blocks SET body = zeroblob(9) WHERE block_no = (SELECT max(block_no) FROM blocks)",
    "DELETE FROM blocks WHERE block_no = (SELECT max(block_no) FROM blocks WHERE run_no = 2)",
    "UPDATE blocks SET n_values = n_values + 1",
    "UPDATE writers SET end_offset = 100 WHERE run_no = 2",
    "UPDATE console SET text = 'else' WHERE sequence = 3",
    "DELETE FROM console WHERE sequence = 3",
    "UPDATE runs SET n_lines = 0, n_bytes = 1",
    "DELETE FROM runs WHERE run_id = 'short'",
]


@pytest.mark.parametrize("statement", DAMAGE)
@pytest.mark.parametrize("kind", ["with_blocks", "in_chunks"])
def test_a_repaired_file_is_sound_and_says_nothing_that_was_not_logged(
    request: pytest.FixtureRequest, tmp_path: Path, maker: ModuleType, kind: str, statement: str
) -> None:
    sound: Path = request.getfixturevalue(kind)
    path = Path(shutil.copyfile(sound, tmp_path / "1.db"))
    sql(path, statement)
    assert list(check_file(path))
    lost: list[object] = []

    done = repair_file(path, Aside(tmp_path / "aside.db"), lambda run, what: lost.append(what), maker.SIZES)

    assert done
    assert list(check_file(path)) == []
    truth, found = values(sound, maker), values(path, maker)
    assert found.items() <= truth.items()
    of_short = "DELETE FROM runs" in statement
    n_missing = sum(1 for run, *_ in truth if not (of_short and run == "short")) - len(found)
    n_lost = sum(what.n_points for what in lost if isinstance(what, Lost) and what.key)
    is_block_lost = any(isinstance(what, LostBlock) for what in lost)
    assert n_missing == n_lost or is_block_lost
    assert repair_file(path, Aside(tmp_path / "aside.db"), lambda run, what: lost.append(what)) == []


def test_what_blocks_still_have_is_not_lost(with_blocks: Path, tmp_path: Path, maker: ModuleType) -> None:
    path = Path(shutil.copyfile(with_blocks, tmp_path / "1.db"))
    sql(
        path,
        "UPDATE chunks SET body = zeroblob(9) WHERE (first_step >= 90 OR level > 0) "
        "AND series_no IN (SELECT series_no FROM series WHERE stream = 0)",
    )
    lost: list[object] = []

    repair_file(path, Aside(tmp_path / "aside.db"), lambda run, what: lost.append(what), maker.SIZES)

    assert values(path, maker) == values(with_blocks, maker)
    assert lost == []
    assert list(check_file(path)) == []


def test_a_lost_chunk_is_named_by_key_and_steps_and_kept_aside(
    in_chunks: Path, tmp_path: Path, maker: ModuleType
) -> None:
    path = Path(shutil.copyfile(in_chunks, tmp_path / "1.db"))
    sql(path, DAMAGE[0])
    lost: list[tuple[RunId, object]] = []

    repair_file(path, Aside(tmp_path / "aside.db"), lambda run, what: lost.append((run, what)), maker.SIZES)

    (run, what) = lost[0]
    assert len(lost) == 1
    assert run == "long"
    assert isinstance(what, Lost)
    assert (what.key, what.n_points, what.first_step, what.last_step) == ("loss", 64, 192, 255)
    with closing(sqlite3.connect(tmp_path / "aside.db")) as aside:
        assert aside.execute("SELECT name, count(*) FROM removed GROUP BY name").fetchall() == [
            ("axes", 1),
            ("chunks", 1),
        ]


@pytest.mark.parametrize("seed", range(8))
def test_a_repair_that_is_killed_at_any_statement_is_done_by_the_next(
    in_chunks: Path, tmp_path: Path, maker: ModuleType, seed: int
) -> None:
    rng = random.Random(seed)
    path = Path(shutil.copyfile(in_chunks, tmp_path / "1.db"))
    for statement in (DAMAGE[0], DAMAGE[4], DAMAGE[7], DAMAGE[10], DAMAGE[14], DAMAGE[16]):
        sql(path, statement)
    once = Path(shutil.copyfile(path, tmp_path / "once.db"))
    aside = Aside(tmp_path / "aside.db")
    repair_file(once, aside, lambda run, what: None, maker.SIZES)

    for _ in range(3):
        line = [sys.executable, "-c", KILLED, str(path), str(tmp_path / "b.db"), str(rng.randrange(1, 900))]
        killed = subprocess.run(line, check=False)
        assert killed.returncode in (0, -signal.SIGKILL)
    repair_file(path, aside, lambda run, what: None, maker.SIZES)

    assert list(check_file(path)) == []
    assert values(path, maker) == values(once, maker)


def test_only_the_runs_asked_for_are_touched(with_blocks: Path, tmp_path: Path) -> None:
    path = Path(shutil.copyfile(with_blocks, tmp_path / "1.db"))
    sql(path, "UPDATE runs SET n_bytes = 1")

    repair_file(path, Aside(tmp_path / "aside.db"), lambda run, what: None, runs=["short"])

    assert {problem.run for problem in check_file(path)} == {"long"}


def test_a_file_that_sqlite_cannot_read_is_refused(with_blocks: Path, tmp_path: Path) -> None:
    path = tmp_path / "1.db"
    path.write_bytes(bytes(50_000))

    with pytest.raises(DamagedStoreError):
        repair_file(path, Aside(tmp_path / "aside.db"), lambda run, what: None)
