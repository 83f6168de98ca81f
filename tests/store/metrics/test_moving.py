"""A copy of a run is the run: every answer, every byte counted, and whatever came while it was made."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.store.metrics.conftest import Journal

from epochal.ids import RunId, WriterId
from epochal.runlog.format import RecordType
from epochal.store.metrics.contract import MetricStore, RunGoneError, SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.check import check_file
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.wire.block import Block

SMALL = ChunkSizes(points_a_chunk=32, buckets_a_chunk=4, points_a_bucket=4, other_chunk_bytes=256)
R1 = RunId("r1")
W1, W2 = WriterId("w1"), WriterId("w2")
TABLES = ("runs", "writers", "blocks", "series", "chunks", "axes", "console", "console_open", "keys")

Stores = tuple[EmbeddedMetricStore, EmbeddedMetricStore]


class CutShortError(Exception):
    """Stands for whatever ends a copy."""


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    one, other = (
        EmbeddedMetricStore(tmp_path / f"{number}.db", background=False, sizes=SMALL) for number in (1, 2)
    )
    yield one, other
    one.close()
    other.close()


class Script:
    """Two writers of r1, and other runs beside it: numbers, texts, console, samples, steps in any order."""

    def __init__(self, new_journal: type[Journal], seed: int) -> None:
        self._random = random.Random(seed)
        self._of_run = [new_journal("r1", "w1"), new_journal("r1", "w2")]
        self._others = [new_journal(run, "w1") for run in ("r0", "r2")]

    def log(self, store: MetricStore, n_blocks: int) -> None:
        for _ in range(n_blocks):
            store.append([self._block(self._random.choice(self._of_run))])

    def log_others(self, store: MetricStore, n_blocks: int) -> None:
        for _ in range(n_blocks):
            store.append([self._block(self._random.choice(self._others))])

    def _block(self, journal: Journal) -> Block:
        first = self._random.randrange(300)
        rows = []
        for step in range(first, first + self._random.randrange(1, 40)):
            values = [self._random.random(), float("nan"), float("inf"), step, True, "a text"]
            row: dict[str, object] = {"loss": self._random.choice(values), "x": step}
            if step % 5 == 0:
                row["note"] = "n" * self._random.randrange(50)
            rows.append((step, 1e9 + step, row))
        text = self._random.choice(["a line\n", "half a ", "\n", "one\ntwo\nthr"])
        stream = self._random.choice(["stdout", "stderr"])
        records: list[list[object]] = [[int(RecordType.CONSOLE), 1e9, stream, text]]
        records.append([int(RecordType.SYSTEM), 1e9 + first, {"cpu": float(first)}])
        return journal.block(rows, records)


def everything(store: EmbeddedMetricStore) -> list[object]:
    """Return all that can be asked of r1."""
    answers: list[object] = [store.sizes([R1]), store.console(R1), store.keys([R1])]
    answers.append([store.end_offset(R1, writer) for writer in (W1, W2)])
    answers.append([list(store.blocks_from(R1, writer, 0)) for writer in (W1, W2)])
    answers.append(repr(store.values(R1, "note")))
    for stream in ("history", "system"):
        answers.append([repr(row) for row in store.scan_rows(R1, stream=stream)])
        answers.append(repr(store.column_types(R1, stream=stream)))
        for n_buckets in (3, 50, 10_000):
            query = SeriesQuery(runs=(R1,), keys=("loss", "x", "cpu"), stream=stream, n_buckets=n_buckets)
            answer = store.read_series(query)
            answers += [answer.infos, *(np.nan_to_num(array, nan=-7.25).tolist() for array in answer.buckets)]
    return answers


def move(one: EmbeddedMetricStore, other: EmbeddedMetricStore) -> None:
    with one.copy_run(R1, other) as copy:
        copy.catch_up()
        copy.finish()


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_is_the_run_and_goes_on_like_it(stores: Stores, new_journal: type[Journal], seed: int) -> None:
    one, other = stores
    script, beside = Script(new_journal, seed), Script(new_journal, seed + 100)
    beside.log_others(other, seed)
    for n_blocks in ((9, 4, 6), (1, 0, 2), (20, 0, 0))[seed % 3]:
        script.log(one, n_blocks)
        if seed != 1:
            one.compact()
        one.release(R1, W1, one.end_offset(R1, W1) // 2)

    with one.copy_run(R1, other) as copy:
        assert other.sizes([R1]) == {}
        for n_blocks in (3, 0, 2):  # what comes meanwhile, with the background at work
            copy.catch_up()
            script.log(one, n_blocks)
            beside.log_others(other, 2)
            one.compact()
            other.compact()
        copy.finish()

    assert everything(other) == everything(one)
    for store in stores:
        assert list(check_file(store.path)) == []
    script.log(other, 5)
    late = everything(other)[3:]
    other.compact()
    assert everything(other)[5:8] == late[2:5]
    one.delete_run(R1)
    one.compact()
    assert one.sizes([R1]) == {}
    assert list(check_file(one.path)) == list(check_file(other.path)) == []
    infos = other.keys()
    assert other.key_infos([info.key for info in infos]) == infos


def test_a_copy_that_is_cut_short_is_never_seen_and_leaves_nothing(
    stores: Stores, new_journal: type[Journal]
) -> None:
    one, other = stores
    script = Script(new_journal, 1)
    script.log(one, 20)
    one.compact()
    script.log(one, 3)
    before = everything(one)

    def cut(_: int) -> None:
        raise CutShortError

    with pytest.raises(CutShortError), one.copy_run(R1, other) as copy:
        copy.catch_up(cut)
    with one.copy_run(R1, other) as copy:
        copy.catch_up()
        other.compact()

        assert other.sizes() == {}
        assert other.keys() == []
        assert list(other.key_names()) == []
    other.compact()
    with closing(sqlite3.connect(other.path)) as file:
        for table in TABLES:
            assert file.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    move(one, other)
    assert everything(other) == everything(one) == before


def test_a_run_that_is_copied_away_is_compacted_when_that_is_given_up(
    stores: Stores, new_journal: type[Journal]
) -> None:
    one, other = stores
    Script(new_journal, 1).log(one, 20)

    with one.copy_run(R1, other):
        one.compact()
        with closing(sqlite3.connect(one.path)) as file:
            assert file.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
    one.compact()

    with closing(sqlite3.connect(one.path)) as file:
        assert file.execute("SELECT count(*) FROM chunks").fetchone() != (0,)


def test_a_run_that_is_deleted_while_it_is_copied_does_not_arrive(
    stores: Stores, new_journal: type[Journal]
) -> None:
    one, other = stores
    Script(new_journal, 1).log(one, 20)

    with one.copy_run(R1, other) as copy:
        copy.catch_up()
        one.delete_run(R1)
        one.compact()
        with pytest.raises(RunGoneError):
            copy.finish()
    with pytest.raises(RunGoneError), one.copy_run(R1, other):
        pass

    other.compact()
    assert other.sizes() == {}
    assert list(check_file(other.path)) == []


def test_a_run_that_goes_to_and_fro_does_not_use_numbers_up(
    stores: Stores, new_journal: type[Journal]
) -> None:
    one, other = stores
    Script(new_journal, 1).log(one, 10)
    before = everything(one)

    for _ in range(20):
        for source, target in ((one, other), (other, one)):
            move(source, target)
            source.delete_run(R1)
            source.compact()

    assert everything(one)[6:] == before[6:]
    with closing(sqlite3.connect(one.path)) as file:
        (highest,) = file.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()
    assert highest < 2000


def test_damage_stays_damage_in_a_copy(stores: Stores, new_journal: type[Journal]) -> None:
    one, other = stores
    Script(new_journal, 1).log(one, 20)
    one.compact()
    with closing(sqlite3.connect(one.path)) as file, file:
        file.execute(
            "UPDATE chunks SET body = CAST(x'00' || substr(body, 2) AS BLOB) WHERE chunk_no IN "
            "(SELECT chunk_no FROM chunks JOIN series USING (series_no) WHERE key = 'loss' AND level = 0 "
            "LIMIT 1)"
        )
    found = [(problem.kind, problem.run) for problem in check_file(one.path)]
    assert found

    move(one, other)

    assert [(problem.kind, problem.run) for problem in check_file(other.path)] == found
