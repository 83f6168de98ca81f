"""A sound file has no problems, and every way to be unsound is found."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epochal.ids import RunId, WriterId
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.check import check_file, rows_of
from epochal.store.metrics.embedded.checksum import seal
from epochal.store.metrics.embedded.chunks import ChunkSizes

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal, LoggedRow

SMALL = ChunkSizes(points_a_chunk=32, buckets_a_chunk=4, points_a_bucket=4, other_chunk_bytes=256)


def some_rows(rng: random.Random, n: int, first: int) -> list[LoggedRow]:
    """Return rows that go back and forth in steps and in time, with keys that change their kind."""
    rows: list[LoggedRow] = []
    for i in range(n):
        step = first + i if rng.random() < 0.9 else rng.randrange(first + n)
        data: dict[str, object] = {"loss": rng.gauss(0, 1), "n": step}
        if rng.random() < 0.2:
            data["odd"] = rng.choice([1.5, "text", True, float("nan"), float("inf"), 7])
        rows.append((step, 1e9 + step + (rng.random() * 3 if rng.random() < 0.1 else 0), data))
    return rows


def console(n: int) -> list[list[object]]:
    return [[5, 1.0 + i, "stdout", "a line\n" if i % 3 else "part of one, "] for i in range(n)]


def fill(path: Path, new_journal: type[Journal], seed: int = 0) -> None:
    """Write a file with two runs, everything there is in them, some of it in chunks and some in blocks."""
    rng = random.Random(seed)
    store = EmbeddedMetricStore(path, background=False, sizes=SMALL)
    journals = [new_journal(run, writer) for run in ("r1", "r2") for writer in ("w1", "w2")]
    first = dict.fromkeys(("r1", "r2"), 0)
    for turn in range(12):
        journal = rng.choice(journals)
        n = rng.choice([3, 20, 90])
        samples: list[list[object]] = [[6, 1e9 + turn, {"cpu": rng.random()}]]
        store.append(
            [journal.block(some_rows(rng, n, first[journal.run]), [*console(rng.randrange(7)), *samples])]
        )
        first[journal.run] += n
        if rng.random() < 0.3:
            store.release(RunId(journal.run), WriterId(journal.writer), journal.offset)
        if turn < 10 and rng.random() < 0.7:
            store.compact()
    store.close()


@pytest.fixture
def path(tmp_path: Path, new_journal: type[Journal]) -> Path:
    fill(tmp_path / "1.db", new_journal)
    return tmp_path / "1.db"


@pytest.mark.parametrize("seed", range(12))
def test_a_file_that_was_only_written_by_the_store_has_no_problems(
    tmp_path: Path, new_journal: type[Journal], seed: int
) -> None:
    path = tmp_path / "1.db"
    fill(path, new_journal, seed)
    assert list(check_file(path)) == []

    store = EmbeddedMetricStore(path, background=False, sizes=SMALL)
    store.compact()
    store.delete_run(RunId("r2"))
    assert list(check_file(path)) == []  # beside a store that has it open
    store.compact()
    store.close()
    assert list(check_file(path)) == []


def test_looking_changes_nothing(path: Path) -> None:
    before = path.read_bytes()

    list(check_file(path))

    assert path.read_bytes() == before


DAMAGE = {
    "UPDATE chunks SET n = n + 1 WHERE chunk_no = (SELECT min(chunk_no) FROM chunks)": "series",
    "UPDATE chunks SET body = zeroblob(9) WHERE chunk_no = (SELECT max(chunk_no) FROM chunks)": "series",
    "DELETE FROM chunks WHERE chunk_no = (SELECT min(chunk_no) FROM chunks WHERE level = 0)": "series",
    "DELETE FROM chunks WHERE chunk_no = (SELECT min(chunk_no) FROM chunks WHERE level = 1)": "series",
    "DELETE FROM chunks WHERE level = 1": "series",
    "UPDATE series SET n_points = n_points + 1 WHERE key = 'loss'": "series",
    "UPDATE series SET last_step = last_step - 1 WHERE key = 'loss'": "series",
    "UPDATE series SET top_level = 0 WHERE key = 'loss'": "series",
    "UPDATE series SET through = 1000000 WHERE key = 'loss'": "series",
    "UPDATE axes SET n_chunks = n_chunks + 1 WHERE axis_no = (SELECT max(axis_no) FROM axes)": "axis",
    "UPDATE axes SET body = substr(body, 2) WHERE axis_no = (SELECT max(axis_no) FROM axes)": "series",
    "DELETE FROM axes WHERE axis_no = (SELECT max(axis_no) FROM axes)": "axis",
    "UPDATE blocks SET body = substr(body, 1, length(body) - 1)": "block",
    "UPDATE blocks SET first_offset = 1 WHERE block_no = (SELECT max(block_no) FROM blocks)": "block",
    "UPDATE blocks SET n_values = n_values + 1 WHERE is_stripped = 0": "block",
    "DELETE FROM blocks WHERE block_no = (SELECT max(block_no) FROM blocks)": "block",
    "UPDATE writers SET end_offset = end_offset + 100": "block",
    "UPDATE console SET text = text || '!' WHERE sequence = 1": "console",
    "DELETE FROM console WHERE sequence = 1": "console",
    "UPDATE runs SET n_lines = n_lines + 1": "console",
    "UPDATE runs SET n_bytes = n_bytes - 1": "count",
    "DELETE FROM runs WHERE run_id = 'r2'": "orphan",
    "DELETE FROM writers": "orphan",
}


@pytest.mark.parametrize("statement", DAMAGE)
def test_damage_is_found_and_said_of_what_it_is_in(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)

    assert DAMAGE[statement] in {problem.kind for problem in check_file(path)}


def test_a_level_that_says_something_else_than_its_points_is_found(path: Path) -> None:
    """Its checksum is right: only computing it again tells."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute(
            "SELECT chunk_no, body, series_no, level, is_sealed, first_step, last_step, n, axis_no "
            "FROM chunks WHERE level = 1 AND n > 1"
        ).fetchall()
        (one, other) = next(
            (a, b) for a in rows for b in rows if a[7] == b[7] and len(a[1]) == len(b[1]) and a[1] != b[1]
        )
        body = seal(other[1][:-4], *one[2:])
        connection.execute("UPDATE chunks SET body = ? WHERE chunk_no = ?", (body, one[0]))

    assert any("does not say what the one below says" in problem.what for problem in check_file(path))


def test_only_the_run_asked_for_is_looked_at(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET n_bytes = 1 WHERE run_id = 'r2'")

    assert list(check_file(path, ["r1"])) == []
    assert [problem.run for problem in check_file(path, ["r2"])] == ["r2"]


@pytest.mark.parametrize(
    "content", [b"", b"no database, but a text" * 9, b"SQLite format 3\x00" + b"\xff" * 90]
)
def test_a_file_that_is_no_store_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.db").write_bytes(content)

    assert {problem.kind for problem in check_file(tmp_path / "1.db")} <= {"file", "version"}
    assert list(check_file(tmp_path / "1.db"))


def test_the_bytes_that_were_looked_at_are_told(path: Path) -> None:
    told: list[int] = []

    list(check_file(path, tell=told.append))

    assert 10_000 < sum(told) <= path.stat().st_size


def test_rows_are_counted_in_chunks_and_beyond(path: Path) -> None:
    store = EmbeddedMetricStore(path, background=False)
    steps = [row.step for row in store.scan_rows(RunId("r1"))]
    store.close()

    assert rows_of(path, RunId("r1")) == (len(steps), steps[-1])
    assert rows_of(path, RunId("nobody")) == (0, None)
