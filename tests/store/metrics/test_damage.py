"""Whatever happens to the bytes of a file: a right answer or a clear error, and never a wrong number."""

from __future__ import annotations

import importlib.util
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from epochal.errors import DamagedStoreError, NewerDataFolderError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.check import check_file
from epochal.store.metrics.embedded.console import DAMAGED_LINE

MAKER = Path(__file__).parents[2] / "golden" / "make_metric_store.py"
RUNS = (RunId("short"), RunId("long"))
N_SEEDS = 80


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
def sound(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in which nearly everything is in chunks."""
    path = tmp_path_factory.mktemp("sound") / "1.db"
    maker.make(path)
    store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)
    for run in RUNS:
        store.release(run, WriterId("w1"), 1 << 40)
    store.compact()
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def answers(path: Path, maker: ModuleType) -> dict[str, str | None]:
    """Ask a store for everything; None where it says that this is damaged."""
    found: dict[str, str | None] = {}
    try:
        store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)
    except (DamagedStoreError, NewerDataFolderError):
        return found

    questions: dict[str, Callable[[], object]] = {}
    for run in RUNS:
        questions[f"rows of {run}"] = partial(rows, store, run, None)
        questions[f"a key of {run}"] = partial(rows, store, run, ["val/acc"])
        questions[f"keys of {run}"] = partial(store.keys, [run])
        questions[f"console of {run}"] = partial(store.console, run)
        for n_buckets in (16, 1000):
            query = SeriesQuery(runs=(run,), keys=("loss",), n_buckets=n_buckets, x_range=(5.0, 500.0))
            questions[f"{n_buckets} buckets of {run}"] = partial(charted, store, query)
    for name, question in questions.items():
        try:
            found[name] = repr(question())
        except DamagedStoreError:
            found[name] = None
    store.close()
    return found


def rows(store: EmbeddedMetricStore, run: RunId, keys: list[str] | None) -> object:
    return [tuple(row) for row in store.scan_rows(run, keys)]


def charted(store: EmbeddedMetricStore, query: SeriesQuery) -> object:
    infos, buckets = store.read_series(query)
    return infos, [getattr(buckets, name).tolist() for name in ("x", "x_last", "low", "high", "mean")]


def harm(content: bytes, rng: random.Random) -> bytes:
    """Return `content` with a bit, a byte, some bytes or a sector of it changed."""
    harmed, at = bytearray(content), rng.randrange(len(content))
    way = rng.choice(["bit", "byte", "zeros", "sector"])
    if way == "bit":
        harmed[at] ^= 1 << rng.randrange(8)
    elif way == "byte":
        harmed[at] = rng.randrange(256)
    elif way == "zeros":
        harmed[at : at + 16] = bytes(len(harmed[at : at + 16]))
    else:
        harmed[at - at % 512 :][:512] = b""
        harmed[at - at % 512 : at - at % 512 + 512] = rng.randbytes(512)
    return bytes(harmed)


def test_random_damage_gives_a_right_answer_or_a_clear_error(
    sound: Path, maker: ModuleType, tmp_path: Path
) -> None:
    """Or else, since SQLite's own indexes carry no checksum, `epochal store check` finds it."""
    content = sound.read_bytes()
    truth = answers(sound, maker)
    n_said = n_found_only = 0
    for seed in range(N_SEEDS):
        path = tmp_path / f"{seed}.db"
        path.write_bytes(harm(content, random.Random(seed)))
        given = answers(path, maker)
        n_said += None in given.values()
        wrong = [
            name
            for name, answer in given.items()
            if answer is not None and answer != truth[name] and DAMAGED_LINE not in answer
        ]
        if wrong:
            n_found_only += 1
            assert list(check_file(path)), (seed, wrong)
        path.unlink()

    assert n_said > N_SEEDS // 20  # or the damage did no harm, and this is no test
    assert n_found_only <= N_SEEDS // 50


def test_a_byte_changed_in_a_body_is_never_a_wrong_number(
    sound: Path, maker: ModuleType, tmp_path: Path
) -> None:
    content = sound.read_bytes()
    truth = answers(sound, maker)
    with closing(sqlite3.connect(sound)) as connection:
        bodies = [
            row[0]
            for table in ("chunks", "axes", "blocks")
            for row in connection.execute(f"SELECT body FROM {table} ORDER BY random() LIMIT 25")
        ]
    rng = random.Random(0)
    n_said = 0
    for body in bodies:
        at = content.find(body[-40:])  # the end of it is in one piece
        if at < 0:
            continue
        harmed = bytearray(content)
        harmed[at + rng.randrange(len(body[-40:]))] ^= 1 << rng.randrange(8)
        path = tmp_path / "1.db"
        path.write_bytes(harmed)
        given = answers(path, maker)
        assert {name: a for name, a in given.items() if a not in (None, truth[name])} == {}
        n_said += None in given.values()
        assert list(check_file(path))

    assert n_said > 10


def test_a_damaged_run_is_said_to_be_and_the_others_answer(
    sound: Path, maker: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "1.db"
    path.write_bytes(sound.read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE chunks SET body = zeroblob(50) WHERE series_no IN "
            "(SELECT series_no FROM series JOIN runs USING (run_no) WHERE run_id = 'long')"
        )
    truth, given = answers(sound, maker), answers(path, maker)

    assert given["rows of long"] is None
    assert {name: a for name, a in given.items() if "short" in name} == {
        name: a for name, a in truth.items() if "short" in name
    }
    assert {problem.run for problem in check_file(path)} == {"long"}


def test_a_damaged_run_can_still_be_logged_to_and_deleted(
    sound: Path, maker: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "1.db"
    path.write_bytes(sound.read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE chunks SET body = zeroblob(50)")
    store = EmbeddedMetricStore(path, background=False, sizes=maker.SIZES)
    end = store.end_offset(RunId("long"), WriterId("w2"))

    store.append([maker.block("long", "w2", end, [[1, 2e9, 10_000, {"loss": 1.0}]])])
    with suppress(DamagedStoreError):
        store.compact()
    assert store.end_offset(RunId("long"), WriterId("w2")) > end

    store.delete_run(RunId("long"))
    store.delete_run(RunId("short"))
    store.compact()
    store.close()
    assert list(check_file(path)) == []
