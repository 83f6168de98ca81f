"""What a run logged for one key that is no number: texts, histograms, references to media, tables.

Steps are listed from the axes of chunks alone.  No number is read either way, however many there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.contract import LoggedValue, Stream, ValueSteps, ValueType
from epochal.store.metrics.embedded.chunks import NUMBERS, OTHERS
from epochal.store.metrics.embedded.points import OTHER, Points
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot
from epochal.store.metrics.embedded.tail_blocks import TailBlocks
from epochal.store.metrics.embedded.windows import AxisCache, FirstRows, Segment

_decode = msgspec.msgpack.Decoder().decode
# What a table is called, by whoever logged it.
_TABLES = frozenset({"table", "table-file", "joined-table", "partitioned-table"})


class ValueReader:
    """Reads the values of one key that are no numbers.

    Args:
        snapshot: of the file.
        run: whose values.
        stream: in which of its streams.
        key: of the values.
    """

    def __init__(self, snapshot: Snapshot, run: RunRow, stream: Stream, key: str) -> None:
        self._snapshot, self._chunks, self._key = snapshot, snapshot.chunks, key
        both = [
            self._chunks.series(run.run_no, STREAM_NUMBERS[stream], kind, key) for kind in (NUMBERS, OTHERS)
        ]
        self._through = max(0 if row is None else row.through for row in both)
        self._series = both[1]
        self._tail = TailBlocks(stream, [key])
        self._tail.look(snapshot, run)
        self._axes = AxisCache()

    def steps(self, first_step: int, last_step: int, limit: int) -> ValueSteps:
        """Return where values are; see `contract.MetricStore.value_steps`."""
        found = FirstRows(limit, last_step)
        for segment in self._segments(first_step, last_step):
            if segment.first_step > found.last_step:
                break
            found.add(self._places(segment, first_step, found.last_step), segment.order)
        # A number of a block counts too until here: it may have replaced what is in a chunk.
        points = found.all()
        points = points.at(points.kinds == OTHER)
        following = found.last_step + 1 if found.last_step < last_step else None
        return ValueSteps(points.steps, points.times, following)

    def values(
        self, first_step: int, last_step: int, limit: int, max_bytes: int
    ) -> tuple[list[LoggedValue], int | None]:
        """Return values; see `contract.MetricStore.values`."""
        where = self.steps(first_step, last_step, limit)
        found = _Smallest(where, max_bytes)
        for segment in self._segments(first_step, last_step) if where.steps.size else ():
            if segment.first_step > found.last_step:
                break
            found.add(self._values(segment, first_step, found.last_step), segment.order)
        values = found.all()
        following = where.next_step
        if len(values) < where.steps.size:
            following = int(where.steps[len(values)])
        return values, following

    def _segments(self, first_step: int, last_step: int) -> Iterator[Segment]:
        in_blocks = sorted(
            Segment(span.first_step, span.last_step, span.block_no, None)
            for span in self._tail.spans()
            if span.is_wanted and span.block_no > self._through and span.last_step >= first_step
        )
        return heapq.merge(self._chunk_segments(first_step, last_step), in_blocks)

    def _chunk_segments(self, first_step: int, last_step: int) -> Iterator[Segment]:
        if self._series is not None and self._series.n_points:
            for head in self._chunks.heads_from(self._series.series_no, first_step, last_step):
                yield Segment(head.first_step, head.last_step, 0, head)

    def _places(self, segment: Segment, first_step: int, last_step: int) -> Points:
        """Return the points of a segment; those in a chunk without reading them."""
        if segment.chunk is None:
            points = self._values(segment, first_step, last_step)
            return Points(points.steps, points.times, points.kinds, points.words, objects=None)
        axis = self._axes.get(self._chunks, segment.chunk)
        n = axis.first_step.size
        kinds, words = np.full(n, OTHER, np.uint8), np.zeros(n, np.int64)
        points = Points(axis.first_step, axis.first_time, kinds, words, objects=None)
        return points.between(first_step, last_step)

    def _values(self, segment: Segment, first_step: int, last_step: int) -> Points:
        if segment.chunk is not None:
            axis = self._axes.get(self._chunks, segment.chunk)
            return self._chunks.read_points(segment.chunk, axis).between(first_step, last_step)
        table = self._tail.table(self._snapshot, segment.order)
        for _, points in table.points([self._key], lambda _: True, first_step, last_step):
            return points
        return table.rows(1, 0)


class _Smallest:
    """Collects values at known steps, the first ones by step that fit some bytes, the last write to each."""

    def __init__(self, where: ValueSteps, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._times = dict(zip(where.steps.tolist(), where.times.tolist(), strict=True))
        self._found: dict[int, tuple[int, bytes]] = {}  # order of writing, value
        self._n_bytes = 0
        self.last_step = int(where.steps[-1]) if where.steps.size else 0

    def add(self, points: Points, order: int) -> None:
        """Take the values of `points`, which were written after all of lower `order`."""
        for step, data in zip(points.steps.tolist(), _objects(points), strict=True):
            if step not in self._times or step > self.last_step or not data:
                continue
            known = self._found.get(step)
            if known is None or known[0] <= order:
                self._n_bytes += len(data) - (0 if known is None else len(known[1]))
                self._found[step] = order, data
        if self._n_bytes > self._max_bytes:
            self._cut()

    def all(self) -> list[LoggedValue]:
        """Return the values by step."""
        self._cut()
        return [
            LoggedValue(step, self._times[step], value_type(value := _decode(self._found[step][1])), value)
            for step in sorted(self._found)
        ]

    def _cut(self) -> None:
        """Keep what fits, but one value in any case."""
        n_bytes = 0
        kept: dict[int, tuple[int, bytes]] = {}
        for step in sorted(self._found):
            n_bytes += len(self._found[step][1])
            if n_bytes > self._max_bytes and kept:
                break
            kept[step] = self._found[step]
        if len(kept) < len(self._found):
            self.last_step = max(kept)
        self._found, self._n_bytes = kept, sum(len(data) for _, data in kept.values())


def value_type(value: object) -> ValueType:
    """Return the type of a value that is no number."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict) and "_type" in value:
        kind = value["_type"]
        return "histogram" if kind == "histogram" else "table" if kind in _TABLES else "media"
    return "other"


def _objects(points: Points) -> NDArray[np.object_] | list[bytes]:
    return [b""] * len(points) if points.objects is None else points.objects
