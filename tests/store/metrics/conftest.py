"""What the tests of metric stores share: blocks made as the watcher makes them, and a plain oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from epochal.runlog.columns import flatten
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import Frame
from epochal.store.metrics.contract import MetricStore
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.wire.block import Block
from epochal.wire.build import build_block

LoggedRow = tuple[int, float, Mapping[str, object]]  # step, time, data
FRAME_BYTES = 100


class Journal:
    """One writer of a run: what it has written so far, as blocks."""

    def __init__(self, run: str = "r1", writer: str = "w1") -> None:
        self.run, self.writer = run, writer
        self.offset = 0

    def block(self, rows: Sequence[LoggedRow] = (), records: Sequence[list[object]] = ()) -> Block:
        """Return the next block: `rows`, then `records`."""
        all_records = [[int(RecordType.ROW), time, step, dict(data)] for step, time, data in rows]
        return self.block_of_records([*all_records, *records])

    def block_of_records(self, records: Sequence[list[object]]) -> Block:
        """Return the next block, of whole records as in the run log."""
        begin = self.offset
        frames = [
            Frame(begin + i * FRAME_BYTES, begin + (i + 1) * FRAME_BYTES, record)
            for i, record in enumerate(records)
        ]
        self.offset = begin + max(1, len(frames)) * FRAME_BYTES
        header = Header(
            run_id=self.run, project="p", entity=None, writer=self.writer, kind="primary", start_time=0.0
        )
        return build_block(header, frames, [], first_offset=begin, end_offset=self.offset)


class Oracle:
    """The history of one run, by the plainest means: dictionaries."""

    def __init__(self) -> None:
        self.values: dict[str, dict[int, tuple[float, object]]] = {}  # key -> step -> time, value
        self.times: dict[int, float] = {}  # step -> time of the last row
        self.n_written: dict[str, int] = {}
        self.first_time = math.inf

    def log(self, rows: Sequence[LoggedRow]) -> None:
        """Take `rows` as logged, in this order."""
        for step, time, data in rows:
            self.times[step] = time
            self.first_time = min(self.first_time, time)
            for key, value in flatten(dict(data)).items():
                self.values.setdefault(key, {})[step] = (time, value)
                self.n_written[key] = self.n_written.get(key, 0) + 1

    def numbers(self, key: str) -> list[tuple[int, float, float]]:
        """Return the numbers of `key` by step: step, time, value."""
        return [
            (step, time, float(value))
            for step, (time, value) in sorted(self.values.get(key, {}).items())
            if isinstance(value, (bool, int, float))
        ]

    def rows(self, keys: Sequence[str] | None = None) -> list[tuple[int, float, dict[str, object]]]:
        """Return the rows by step: step, time, values."""
        rows = []
        for step, time in sorted(self.times.items()):
            names = self.values if keys is None else keys
            values = {key: self.values[key][step][1] for key in names if step in self.values.get(key, {})}
            if values or keys is None:
                rows.append((step, time, values))
        return rows


@pytest.fixture
def new_journal() -> type[Journal]:
    """Give the maker of blocks: `new_journal(run, writer).block(rows, records)`."""
    return Journal


@pytest.fixture
def new_oracle() -> type[Oracle]:
    """Give the oracle: `new_oracle().log(rows)`."""
    return Oracle


class EagerStore(EmbeddedMetricStore):
    """The embedded store, everything of it always in chunks: what tests of the contract else never see."""

    def append(self, blocks: Sequence[Block]) -> None:
        """Store `blocks` and bring them into chunks."""
        super().append(blocks)
        self.compact()


ENGINES: dict[str, type[EmbeddedMetricStore]] = {
    "embedded": EmbeddedMetricStore,
    "embedded, compacted": EagerStore,
}


@pytest.fixture(params=list(ENGINES))
def open_store(request: pytest.FixtureRequest) -> Callable[[Path], MetricStore]:
    """Give a function that opens a store of each engine in a folder; nothing runs in its background."""

    def open_in(folder: Path) -> MetricStore:
        return ENGINES[request.param](folder / "metrics.db", background=False)

    return open_in


@pytest.fixture
def metrics(open_store: Callable[[Path], MetricStore], tmp_path: Path) -> Iterator[MetricStore]:
    """Give an empty store of each engine."""
    store = open_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def other_metrics(open_store: Callable[[Path], MetricStore], tmp_path: Path) -> Iterator[MetricStore]:
    """Give another empty store of the same engine."""
    (tmp_path / "other").mkdir()
    store = open_store(tmp_path / "other")
    yield store
    store.close()
