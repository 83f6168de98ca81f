"""A copy of a run is the run: every answer, every byte counted, and what comes later."""

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
from epochal.store.metrics.contract import MetricStore, SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore, moving
from epochal.store.metrics.embedded.check import check_file
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.wire.block import Block

SMALL = ChunkSizes(points_a_chunk=32, buckets_a_chunk=4, points_a_bucket=4, other_chunk_bytes=256)
R1 = RunId("r1")
W1, W2 = WriterId("w1"), WriterId("w2")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[EmbeddedMetricStore, EmbeddedMetricStore]]:
    made = [
        EmbeddedMetricStore(tmp_path / f"{number}.db", background=False, sizes=SMALL) for number in (1, 2)
    ]
    yield made[0], made[1]
    for store in made:
        store.close()


class Writing:
    """Two writers of one run, and other runs around it, in any order."""

    def __init__(self, new_journal: type[Journal], seed: int) -> None:
        self._random = random.Random(seed)
        self._journals = [new_journal("r1", "w1"), new_journal("r1", "w2")]
        self._others = [new_journal(run, "w1") for run in ("r0", "r2")]

    def go_on(self, store: MetricStore, n_blocks: int) -> None:
        """Append blocks of the run to `store`."""
        for _ in range(n_blocks):
            store.append([self._block(self._random.choice(self._journals))])

    def others(self, store: MetricStore, n_blocks: int) -> None:
        """Append blocks of other runs."""
        for _ in range(n_blocks):
            store.append([self._block(self._random.choice(self._others))])

    def _block(self, journal: Journal) -> Block:
        first = self._random.randrange(400)
        rows = []
        for step in range(first, first + self._random.randrange(1, 40)):
            row: dict[str, object] = {"loss": self._random.choice([1.5, float("nan"), step, True]), "x": step}
            if step % 7 == 0:
                row["note"] = "n" * self._random.randrange(50)
            rows.append((step, 1e9 + step, row))
        records: list[list[object]] = [[int(RecordType.CONSOLE), 1e9, "stdout", f"{first}\nhalf a "]]
        records.append([int(RecordType.SYSTEM), 1e9 + first, {"cpu": float(first)}])
        return journal.block(rows, records)


def everything(store: EmbeddedMetricStore) -> list[object]:
    """Return all that can be asked of r1."""
    answers: list[object] = [store.sizes([R1]), store.console(R1), store.keys([R1])]
    answers += [[store.end_offset(R1, writer) for writer in (W1, W2)]]
    for stream in ("history", "system"):
        answers.append([repr(row) for row in store.scan_rows(R1, stream=stream)])
        answers.append(repr(store.column_types(R1, stream=stream)))
        for n_buckets in (3, 50, 10_000):
            query = SeriesQuery(
                runs=(R1,), keys=("loss", "x", "cpu"), stream=stream, n_buckets=n_buckets, x="step"
            )
            answer = store.read_series(query)
            answers += [answer.infos, *(np.nan_to_num(array, nan=-7.25).tolist() for array in answer.buckets)]
    answers.append(repr(store.values(R1, "note")))
    answers.append([list(store.blocks_from(R1, writer, 0)) for writer in (W1, W2)])
    return answers


@pytest.mark.parametrize("seed", range(6))
def test_a_copy_answers_everything_like_the_run_and_goes_on_like_it(
    stores: tuple[EmbeddedMetricStore, EmbeddedMetricStore], new_journal: type[Journal], seed: int
) -> None:
    one, other = stores
    writing = Writing(new_journal, seed)
    for store, n in ((one, 3), (other, 5)):
        Writing(new_journal, seed + 100).others(store, n)
    for n_blocks in ((9, 4, 6), (1, 0, 2), (20, 0, 0))[seed % 3]:
        writing.go_on(one, n_blocks)
        if seed != 1:
            one.compact()
        one.release(R1, W1, one.end_offset(R1, W1) // 2)
    writing.go_on(one, seed % 4)
    before = everything(one)

    one.copy_run(R1, other)

    after = everything(other)
    assert after == everything(one)
    assert after[1:-1] == before[1:-1]  # size and blocks shrink when what was released is let go
    for store in stores:
        assert list(check_file(store.path)) == []
    one.delete_run(R1)
    one.compact()
    assert one.sizes([R1]) == {}
    writing.go_on(other, 5)
    middle = everything(other)[4:5]
    other.compact()
    assert everything(other)[4:5] == middle
    assert list(check_file(one.path)) == list(check_file(other.path)) == []
    names = {info.key: info for info in other.keys(None)}
    assert {i.key: i for i in other.key_infos(list(other.key_names()))} == names


def test_a_copy_that_is_cut_short_is_never_seen_and_leaves_nothing(
    stores: tuple[EmbeddedMetricStore, EmbeddedMetricStore],
    new_journal: type[Journal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = stores
    writing = Writing(new_journal, 1)
    writing.go_on(one, 20)
    one.compact()
    writing.go_on(one, 3)
    before = everything(one)
    insert, n_left = moving._insert, 100

    def break_off(*arguments: object) -> int:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise KeyboardInterrupt
        return insert(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(moving, "_insert", break_off)
    with pytest.raises(KeyboardInterrupt):
        one.copy_run(R1, other)
    monkeypatch.undo()

    assert other.sizes() == {}
    assert other.keys() == []
    assert list(other.key_names()) == []
    other.compact()
    with closing(sqlite3.connect(other.path)) as file:
        for table in (
            "runs",
            "writers",
            "blocks",
            "series",
            "chunks",
            "axes",
            "console",
            "console_open",
            "keys",
        ):
            assert file.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    one.copy_run(R1, other)
    assert everything(other) == everything(one) == before


def test_damage_stays_damage_in_a_copy(
    stores: tuple[EmbeddedMetricStore, EmbeddedMetricStore], new_journal: type[Journal]
) -> None:
    one, other = stores
    Writing(new_journal, 1).go_on(one, 20)
    one.compact()
    with closing(sqlite3.connect(one.path)) as file, file:
        file.execute(
            "UPDATE chunks SET body = CAST(x'00' || substr(body, 2) AS BLOB) WHERE chunk_no IN "
            "(SELECT chunk_no FROM chunks JOIN series USING (series_no) WHERE key = 'loss' AND level = 0 "
            "LIMIT 1)"
        )
    found = [(p.kind, p.run) for p in check_file(one.path)]
    assert found

    one.copy_run(R1, other)

    assert [(p.kind, p.run) for p in check_file(other.path)] == found
