"""What the embedded store promises beyond the contract: levels, compaction, kills, sizes, versions."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from epochal.errors import NewerDataFolderError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.contract import Buckets, SeriesQuery
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.background import DUE_VALUES
from epochal.store.metrics.embedded.chunks import ChunkSizes
from epochal.wire.block import Block, Column

if TYPE_CHECKING:
    from tests.store.metrics.conftest import Journal

R1, W1 = RunId("r1"), WriterId("w1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedMetricStore]:
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False)
    yield store
    store.close()


def dense_blocks(values: NDArray[np.float64], rows_a_block: int = 50_000) -> list[Block]:
    """Return blocks of the series "a" at steps 0, 1, 2, …, one row a second."""
    return [
        Block(
            run_id=R1,
            project="p",
            entity=None,
            writer=W1,
            kind="primary",
            first_offset=begin,
            end_offset=begin + values[begin : begin + rows_a_block].size,
            n_rows=values[begin : begin + rows_a_block].size,
            steps=(begin, 1),
            times=(1e9 + np.arange(begin, begin + values[begin : begin + rows_a_block].size)).tobytes(),
            columns=[Column("a", "f", None, values[begin : begin + rows_a_block].tobytes())],
        )
        for begin in range(0, values.size, rows_a_block)
    ]


def check_spikes(store: EmbeddedMetricStore, n_points: int) -> None:
    """Log a flat series with 1,000 spikes of one point each and look for every one of them at every zoom."""
    rng = np.random.default_rng(0)
    values = np.zeros(n_points)
    spikes = np.sort(rng.choice(n_points, 1000, replace=False))
    values[spikes[::2]], values[spikes[1::2]] = 1.0, -1.0
    for block in dense_blocks(values):
        store.append([block])
        if block.first_offset == n_points // 100_000 * 50_000:
            store.compact()  # the rest stays in blocks

    look_for_spikes(store, values, spikes, rng, n_zooms=0)
    store.compact()
    look_for_spikes(store, values, spikes, rng, n_zooms=50)


def look_for_spikes(
    store: EmbeddedMetricStore,
    values: NDArray[np.float64],
    spikes: NDArray[np.int64],
    rng: np.random.Generator,
    n_zooms: int,
) -> None:
    """Look at the whole series, at each third of a third of it, and at places and widths by chance."""
    n_points = values.size
    for width in (400, 800, 1600):
        thirds = [n_points // 3**i for i in range(20) if n_points // 3**i > width]
        chance = np.exp(rng.uniform(np.log(width + 1), np.log(n_points), n_zooms)).astype(np.int64).tolist()
        for span in [*thirds, *chance]:
            low = int(rng.integers(0, n_points - span + 1))
            query = SeriesQuery(runs=(R1,), keys=("a",), x_range=(low, low + span - 1), n_buckets=width)
            (info,), buckets = store.read_series(query)
            assert info.n_points == span
            assert buckets.x.size <= width + 2
            in_view = spikes[(spikes >= low) & (spikes < low + span)]
            at = np.searchsorted(buckets.x, in_view, "right") - 1
            assert (in_view <= buckets.x_last[at]).all()
            assert np.where(values[in_view] > 0, buckets.high[at] == 1.0, buckets.low[at] == -1.0).all()


def test_no_zoom_hides_one_of_a_thousand_spikes_in_a_million_points(store: EmbeddedMetricStore) -> None:
    check_spikes(store, 1_000_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_zoom_hides_one_of_a_thousand_spikes_in_ten_million_points(store: EmbeddedMetricStore) -> None:
    check_spikes(store, 10_000_000)


@pytest.mark.parametrize("x", ["step", "time", "relative"])
def test_a_long_series_is_read_from_its_levels_as_exactly_as_from_its_points(
    store: EmbeddedMetricStore, x: Literal["step", "time", "relative"]
) -> None:
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.standard_normal(300_000))
    values[rng.choice(values.size, 500)] = np.nan
    for block in dense_blocks(values):
        store.append([block])
    store.compact()
    origin = {"step": 0.0, "time": 1e9, "relative": 0.0}[x]

    for low, high in [(0, 299_999), (1000.5, 200_000), (123_456, 123_999), (-50, 40), (299_990, 10**6)]:
        query = SeriesQuery(
            runs=(R1,),
            keys=("a",),
            x=x,
            x_range=(origin + low, origin + high),
            n_buckets=500,
        )
        (info,), buckets = store.read_series(query)
        is_inside = (buckets.x >= origin + low) & (buckets.x <= origin + high)
        assert info.n_points == sum(low <= step <= high for step in range(values.size))
        assert buckets.n_points[is_inside].sum() == info.n_points
        for at in np.flatnonzero(is_inside).tolist():
            own = values[int(buckets.x[at] - origin) : int(buckets.x_last[at] - origin) + 1]
            assert own.size == buckets.n_points[at]
            assert np.isnan(own).sum() == buckets.n_nan[at]
            if not np.isnan(own).all():
                assert (np.nanmin(own), np.nanmax(own)) == (buckets.low[at], buckets.high[at])
                assert buckets.mean[at] == pytest.approx(np.nanmean(own))
        neighbours = buckets.x[~is_inside].tolist()
        expected = [step for step in (np.ceil(low) - 1, np.floor(high) + 1) if 0 <= step < values.size]
        assert neighbours == [origin + step for step in expected]


def test_a_chart_is_the_same_however_often_it_is_loaded(store: EmbeddedMetricStore) -> None:
    for block in dense_blocks(np.sin(np.arange(200_000.0))):
        store.append([block])
    store.compact()
    query = SeriesQuery(runs=(R1,), keys=("a",), n_buckets=777)
    first, second = store.read_series(query), store.read_series(query)
    assert [column.tobytes() for column in first.buckets] == [column.tobytes() for column in second.buckets]


def test_a_runs_chart_is_the_same_whatever_runs_are_asked_for_beside_it(tmp_path: Path) -> None:
    sizes = ChunkSizes(points_a_chunk=64, buckets_a_chunk=16, points_a_bucket=4, buckets_a_bucket=2)
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False, sizes=sizes)
    rng = np.random.default_rng(4)
    runs = tuple(RunId(f"r{i}") for i in range(6))
    for number, run in enumerate(runs):
        values = rng.standard_normal(9000 if number < 4 else 5000 + number)
        if number == 2:
            values[1000:1003] = np.nan, np.inf, -np.inf
        store.append([structs.replace(block, run_id=run) for block in dense_blocks(values, 500 + number)])
        if number != 3:
            store.compact()  # in pieces of other lengths than the run's that was compacted with another
    ranges = (None, (0.0, 9000.0), (1000.5, 4000.0), (2999.0, 3600.0))
    for x_range in ranges:
        asked = {"keys": ("a",), "n_buckets": 100, "x_range": x_range or (0.0, 8999.0)}
        for x in ("step", "relative"):
            together = store.read_series(SeriesQuery(runs=runs, x=x, **asked)).buckets  # type: ignore[arg-type]
            for number, run in enumerate(runs):
                beside = (runs[0], run)  # the longest one sets the grid
                alone = store.read_series(SeriesQuery(runs=beside, x=x, **asked)).buckets  # type: ignore[arg-type]
                for name in Buckets._fields:
                    found = getattr(together, name)[together.series == number]
                    expected = getattr(alone, name)[alone.series == 1]
                    if name != "series":
                        np.testing.assert_array_equal(found, expected, err_msg=f"{run} {x} {name}")
    store.close()


def test_late_points_in_a_long_series_are_found_at_every_resolution(store: EmbeddedMetricStore) -> None:
    blocks = dense_blocks(np.zeros(200_000))
    for block in blocks:
        store.append([block])
    store.compact()
    late = np.array([5, 77_777, 199_999, 200_500])
    store.append(
        [
            Block(
                run_id=R1,
                project="p",
                entity=None,
                writer=WriterId("late"),
                kind="secondary",
                first_offset=0,
                end_offset=9,
                n_rows=4,
                steps=late.astype("<i8").tobytes(),
                times=np.full(4, 2e9).tobytes(),
                columns=[Column("a", "f", None, np.array([1.0, 2.0, 3.0, 4.0]).tobytes())],
            )
        ]
    )

    for compact in (False, True):
        if compact:
            store.compact()
        for n_buckets in (1, 10, 1000):
            query = SeriesQuery(runs=(R1,), keys=("a",), n_buckets=n_buckets)
            (info,), buckets = store.read_series(query)
            assert info.n_points == 200_001
            at = np.searchsorted(buckets.x, late, "right") - 1
            assert (buckets.high[at] >= [1.0, 2.0, 3.0, 4.0]).all()
            assert buckets.n_points.sum() == 200_001


def test_a_live_tail_is_not_written_again_and_again(store: EmbeddedMetricStore) -> None:
    """Sixteen new points at each compaction: every point is written fewer than four times."""
    rng = np.random.default_rng(2)
    values = rng.standard_normal(6_000)
    written = 0
    connection = sqlite3.connect(store.path)
    seen = 0
    for block in dense_blocks(values, 16):
        store.append([block])
        store.compact()
        for chunk_no, n in connection.execute(
            "SELECT chunk_no, n FROM chunks JOIN series USING (series_no) "
            "WHERE chunk_no > ? AND level = 0 AND kind = 1 ORDER BY chunk_no",
            (seen,),
        ).fetchall():
            seen = chunk_no
            written += n
    connection.close()
    assert written < 4 * values.size


def test_released_blocks_give_their_space_back_and_keep_their_other_records(
    store: EmbeddedMetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    rng = np.random.default_rng(3)
    blocks = [
        journal.block(
            [(step, 0.0, {"a": float(rng.normal())}) for step in range(i * 500, i * 500 + 500)],
            [[2, 0.0, {"lr": i}, []]] if i == 3 else [],
        )
        for i in range(10)
    ]
    store.append(blocks)
    store.compact()
    assert list(store.blocks_from(R1, W1, 0)) == blocks
    before = store.sizes()[R1]

    store.release(R1, W1, blocks[8].end_offset)
    store.compact()
    store.append([journal.block([(5000, 0.0, {"a": 1.0})])])
    store.compact()

    left = list(store.blocks_from(R1, W1, 0))
    assert [block.first_offset for block in left][:2] == [blocks[3].first_offset, blocks[9].first_offset]
    assert left[0].records == blocks[3].records
    assert left[0].n_rows == 0
    assert left[1] == blocks[9]
    assert store.sizes()[R1] < before / 1.5
    assert sum(1 for _ in store.scan_rows(R1)) == 5001


def test_the_sizes_of_runs_are_the_bytes_of_their_blobs(
    store: EmbeddedMetricStore, new_journal: type[Journal]
) -> None:
    journal = new_journal()
    for i in range(30):
        store.append([journal.block([(i * 50 + j, 0.0, {"a": j, "t": "x" * j}) for j in range(50)])])
        if i % 4 == 0:
            store.compact()
            store.release(R1, W1, store.end_offset(R1, W1))
    with sqlite3.connect(store.path) as connection:
        (total,) = connection.execute(
            "SELECT (SELECT sum(length(body)) FROM blocks) + (SELECT sum(length(body)) FROM chunks) "
            "+ (SELECT sum(length(body)) FROM axes)"
        ).fetchone()
    connection.close()
    assert store.sizes() == {R1: total}


def test_a_deleted_run_leaves_nothing_behind(store: EmbeddedMetricStore, new_journal: type[Journal]) -> None:
    keys = {f"k{i}": float(i) for i in range(300)}
    journal = new_journal("r1")
    store.append(
        [journal.block([(i, 0.0, {**keys, "t": "x"})], [[5, 1.0, "stdout", "a\nb"]]) for i in range(20)]
    )
    store.compact()
    store.append([journal.block([(20, 0.0, keys)]), new_journal("r2").block([(0, 0.0, {"a": 1.0})])])
    store.delete_run(R1)
    store.compact()

    with sqlite3.connect(store.path) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("runs", "writers", "blocks", "series", "chunks", "axes", "console", "console_open")
        }
    connection.close()
    # Run r2 has a row series and one of numbers, on one axis.
    assert counts == {
        "runs": 1,
        "writers": 1,
        "blocks": 1,
        "series": 2,
        "chunks": 2,
        "axes": 1,
        "console": 0,
        "console_open": 0,
    }


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def file_bytes(store: EmbeddedMetricStore) -> int:
    return store.path.stat().st_size


def test_a_deleted_runs_space_goes_back_to_the_disk_while_others_go_on(
    tmp_path: Path, new_journal: type[Journal]
) -> None:
    store = EmbeddedMetricStore(tmp_path / "m.db")
    rng = np.random.default_rng(5)
    for block in dense_blocks(rng.standard_normal(1_000_000)):
        store.append([block])
    wait_until(lambda: file_bytes(store) > 10_000_000)
    before = file_bytes(store)

    store.delete_run(R1)
    assert store.sizes() == {}
    journal, n_rows = new_journal("r2"), 0
    while file_bytes(store) > before / 3:
        store.append([journal.block([(n_rows, 0.0, {"a": float(n_rows)})])])
        n_rows += 1
        assert n_rows < 100_000
        time.sleep(0.001)

    assert [row.step for row in store.scan_rows(RunId("r2"))] == list(range(n_rows))
    store.close()
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("pause_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_run_deleted_while_it_is_compacted_leaves_nothing_behind(
    store: EmbeddedMetricStore, new_journal: type[Journal], pause_s: float
) -> None:
    keys = {f"k{i}": float(i) for i in range(1500)}
    store.append([new_journal().block([(step, 0.0, keys) for step in range(5)])])
    compaction = threading.Thread(target=store.compact)
    compaction.start()
    time.sleep(pause_s)
    store.delete_run(R1)
    compaction.join()
    store.compact()

    with sqlite3.connect(store.path) as connection:
        for table in ("runs", "writers", "blocks", "series", "chunks", "axes"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    connection.close()


def test_blocks_released_after_the_last_compaction_give_their_space_back_too(
    store: EmbeddedMetricStore, new_journal: type[Journal]
) -> None:
    """The metadata of a run that ended releases its last blocks, and no further block comes."""
    journal = new_journal()
    store.append([journal.block([(step, 0.0, {"a": step / 7}) for step in range(1000)])])
    store.compact()
    before = store.sizes()[R1]

    store.release(R1, W1, journal.offset)
    store.compact()

    assert store.sizes()[R1] < before / 1.5
    assert list(store.blocks_from(R1, W1, 0)) == []
    assert sum(1 for _ in store.scan_rows(R1)) == 1000


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    EmbeddedMetricStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewerDataFolderError, match="99"):
        EmbeddedMetricStore(path)


def test_the_background_compacts_a_run_that_has_enough(tmp_path: Path) -> None:
    store = EmbeddedMetricStore(tmp_path / "m.db")
    store.append(dense_blocks(np.zeros(DUE_VALUES)))
    connection = sqlite3.connect(store.path)
    deadline = time.monotonic() + 60
    while not connection.execute("SELECT through FROM runs").fetchone()[0]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    connection.close()
    store.close()


def test_queries_beside_ingest_and_compaction_never_see_half_of_anything(tmp_path: Path) -> None:
    """Every row has the keys a and b with equal values; whatever is in between, a query sees both or none."""
    store = EmbeddedMetricStore(tmp_path / "m.db", background=False)
    blocks = dense_blocks(np.arange(60_000.0), 500)
    errors: list[BaseException] = []
    is_done = threading.Event()

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

        return run

    def write() -> None:
        for block in blocks:
            store.append([block])
        is_done.set()

    def compact() -> None:
        while not is_done.is_set():
            store.compact()

    threads = [threading.Thread(target=guarded(work)) for work in (write, compact)]
    for thread in threads:
        thread.start()
    n_seen = 0
    while not is_done.is_set() and not errors:
        (info,), buckets = store.read_series(SeriesQuery(runs=(R1,), keys=("a",), n_buckets=100))
        assert info.n_points >= n_seen
        n_seen = info.n_points
        assert n_seen % 500 == 0
        if n_seen:
            assert (buckets.first[0], buckets.last[-1]) == (0.0, n_seen - 1)
            assert buckets.n_points.sum() == n_seen
    for thread in threads:
        thread.join()
    assert errors == []
    store.close()


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.wire.block import Block, Column

store = EmbeddedMetricStore(Path(sys.argv[1]), background=False)
offset = store.end_offset("r1", "w1")
while True:
    values = np.arange(offset, offset + 100, dtype=float).tobytes()
    store.append([Block(run_id="r1", project="p", entity=None, writer="w1", kind="primary",
        first_offset=offset, end_offset=offset + 100, n_rows=100, steps=(offset, 1), times=values,
        columns=[Column("a", "f", None, values), Column("b", "f", None, values)])])
    offset += 100
    print(offset, flush=True)
    if offset % 700 == 0:
        store.release("r1", "w1", offset)
        store.compact()
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_server_has_every_acknowledged_row_once(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "m.db"
    rng = random.Random(seed)
    acknowledged = 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(rng.randint(1, 40)):
            acknowledged = max(acknowledged, int(writer.stdout.readline()))
        time.sleep(rng.random() * 0.02)
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()

        store = EmbeddedMetricStore(path, background=False)
        end = store.end_offset(R1, W1)
        assert end >= acknowledged
        expected = [(i, float(i), {"a": float(i), "b": float(i)}) for i in range(end)]
        assert [tuple(row) for row in store.scan_rows(R1)] == expected
        store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
