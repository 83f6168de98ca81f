"""One window of a run's rows, read by one snapshot: the rows, then each key's values among them."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.chunks import NUMBERS, OTHERS, ROWS, ChunkHead, Chunks, SeriesRow
from epochal.store.metrics.embedded.points import Points, concat, empty, last_wins
from epochal.store.metrics.embedded.pyramid import Axis
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot
from epochal.store.metrics.embedded.tail_blocks import TailBlocks
from epochal.store.metrics.row_batches import RowColumn

VALUE_BYTES = 13  # of a value in memory: word, kind and place
_OBJECT_BYTES = 60  # of a Python object, beside its content
_MAX_KEPT_AXES = 256
# So many keys are looked up one by one; beyond that, all of the run's are read.
_FEW_KEYS = 200

Places = NDArray[np.intp]


class WindowTooLargeError(Exception):
    """The values of the window do not fit the memory it may take."""


class Window(NamedTuple):
    """Some of a run's rows, and up to which step they are all that there are."""

    rows: Points  # without values
    last_step: int


class AxisCache:
    """The axes used last: keys that were logged together share one, in this window and in the next."""

    def __init__(self) -> None:
        self._axes: OrderedDict[int, Axis] = OrderedDict()

    def get(self, chunks: Chunks, head: ChunkHead) -> Axis:
        """Return the steps and times of a chunk of points."""
        axis = self._axes.get(head.axis_no)
        if axis is None:
            axis = self._axes[head.axis_no] = chunks.read_axis(head)
            if len(self._axes) > _MAX_KEPT_AXES:
                self._axes.popitem(last=False)
        else:
            self._axes.move_to_end(head.axis_no)
        return axis


class Segment(NamedTuple):
    """Rows of the run, or points of a key, whose steps lie in a range."""

    first_step: int
    last_step: int
    order: int  # of writing: 0 in chunks, else the number of the block
    chunk: ChunkHead | None


class _Joined(NamedTuple):
    """Where the values of chunks with the same axes go."""

    cuts: list[slice]  # of each chunk
    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    places: Places | None  # among the window's rows; None if there is one for each


class WindowReader:
    """Reads windows of a run by one snapshot.

    Args:
        snapshot: of the file.
        run: whose rows.
        stream: which of them.
        keys: of the values; None for all.
        tail: the run's blocks that are in no chunk, looked up by the same snapshot.
        axes: kept from one reader to the next.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        run: RunRow,
        stream: Stream,
        keys: Sequence[str] | None,
        *,
        tail: TailBlocks,
        axes: AxisCache,
    ) -> None:
        self._snapshot, self._chunks = snapshot, snapshot.chunks
        self._keys, self._tail, self._axes = keys, tail, axes
        self._rows = self._chunks.series(run.run_no, STREAM_NUMBERS[stream], ROWS, "")
        self._series = self._find_series(run.run_no, STREAM_NUMBERS[stream])
        self.n_bytes = 0  # of the values read last

    def extent(self) -> tuple[int, int] | None:
        """Return the first and the last step that may have a row with any of the keys; None without any."""
        spans = [(span.first_step, span.last_step) for span in self._tail.spans() if span.is_wanted]
        series = [row for both in self._series.values() for row in both]
        if self._keys is None:
            series = [] if self._rows is None else [self._rows]
        for row in series:
            if row.n_points and row.first_step is not None and row.last_step is not None:
                spans.append((row.first_step, row.last_step))
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None

    def rows(self, first_step: int, last_step: int, n_rows: int) -> Window:
        """Return the first `n_rows` rows from `first_step` to `last_step`, fewer if there are no more."""
        rows = FirstRows(n_rows, last_step)
        for segment in heapq.merge(
            self._chunk_segments(first_step, last_step), self._tail_segments(first_step)
        ):
            if segment.first_step > rows.last_step:
                break
            rows.add(self._row_points(segment, first_step, rows.last_step), segment.order)
        return Window(rows.all(), rows.last_step)

    def columns(self, steps: NDArray[np.int64], last_step: int, max_bytes: int) -> list[RowColumn]:
        """Return the values that rows have: all rows from the first of `steps` to `last_step`.

        Raises:
            WindowTooLargeError: they take more than `max_bytes`, and there is more than one row.
        """
        self.n_bytes = 0
        if not steps.size:
            return []
        self._max_bytes = max_bytes if steps.size > 1 else 1 << 62
        joined: dict[tuple[int, ...], _Joined] = {}
        written = self._written(int(steps[0]), last_step)
        columns = []
        for key in dict.fromkeys([*self._series, *written]) if self._keys is None else self._keys:
            column = self._column(key, steps, last_step, written.get(key, []), joined)
            if column is not None:
                columns.append(column)
        return columns

    def _find_series(self, run_no: int, stream_no: int) -> dict[str, list[SeriesRow]]:
        found: dict[str, list[SeriesRow]] = {}
        if self._keys is not None and len(self._keys) <= _FEW_KEYS:
            for key in self._keys:
                both = (self._chunks.series(run_no, stream_no, kind, key) for kind in (NUMBERS, OTHERS))
                found[key] = [row for row in both if row is not None]
            return found
        wanted = None if self._keys is None else set(self._keys)
        for (kind, key), row in self._chunks.series_of_run(run_no, stream_no).items():
            if kind != ROWS and (wanted is None or key in wanted):
                found.setdefault(key, []).append(row)
        return found

    def _chunk_segments(self, first_step: int, last_step: int) -> Iterator[Segment]:
        if self._rows is not None:
            for head in self._chunks.heads_from(self._rows.series_no, first_step, last_step):
                yield Segment(head.first_step, head.last_step, 0, head)

    def _tail_segments(self, first_step: int) -> list[Segment]:
        through = 0 if self._rows is None else self._rows.through
        return sorted(
            Segment(span.first_step, span.last_step, span.block_no, None)
            for span in self._tail.spans()
            if span.block_no > through and span.last_step >= first_step
        )

    def _row_points(self, segment: Segment, first_step: int, last_step: int) -> Points:
        if segment.chunk is None:
            return self._tail.table(self._snapshot, segment.order).rows(first_step, last_step)
        axis = self._axes.get(self._chunks, segment.chunk)
        n = axis.first_step.size
        none = np.zeros(n, np.int64)
        return Points(axis.first_step, axis.first_time, none.view(np.uint8)[:n], none, objects=None).between(
            first_step, last_step
        )

    def _written(self, first_step: int, last_step: int) -> dict[str, list[Points]]:
        """Return what blocks say of each key in a range of steps, in order of writing."""
        written: dict[str, list[Points]] = {}
        through = {key: max((row.through for row in both), default=0) for key, both in self._series.items()}
        for span in self._tail.spans():
            if span.last_step < first_step or span.first_step > last_step or not span.is_wanted:
                continue
            table = self._tail.table(self._snapshot, span.block_no)
            for key, points in table.points(
                self._keys, _newer(span.block_no, through), first_step, last_step
            ):
                written.setdefault(key, []).append(points)
                self._count(points.words.size, points.objects)
        return written

    def _column(
        self,
        key: str,
        steps: NDArray[np.int64],
        last_step: int,
        written: list[Points],
        joined: dict[tuple[int, ...], _Joined],
    ) -> RowColumn | None:
        found = [
            self._in_chunks(series.series_no, steps, last_step, joined)
            for series in self._series.get(key, [])
            if _overlaps(series, int(steps[0]), last_step)
        ]
        parts = [part for part in found if part is not None]
        if len(parts) == 1 and not written:
            points, places = parts[0]
        else:
            points = last_wins(concat([*(points for points, _ in parts), *written]))
            places = _places(points.steps, steps)
        if not len(points):
            return None
        return RowColumn(key, places, points.kinds, points.words, points.objects)

    def _in_chunks(
        self, series_no: int, steps: NDArray[np.int64], last_step: int, joined: dict[tuple[int, ...], _Joined]
    ) -> tuple[Points, Places | None] | None:
        heads = self._chunks.heads(series_no, 0, int(steps[0]), last_step)
        if not heads:
            return None
        axis_nos = tuple(head.axis_no for head in heads)
        where = joined.get(axis_nos)
        if where is None:
            where = joined[axis_nos] = self._join(heads, steps, last_step)
        if not where.steps.size:
            return None
        parts = []
        for head, cut in zip(heads, where.cuts, strict=True):
            part = self._chunks.read_points(head, self._axes.get(self._chunks, head)).at(cut)
            self._count(part.words.size, part.objects)
            parts.append(part)
        if len(parts) == 1:
            points = parts[0]
            # A copy, unless it is most of the chunk, which would stay in memory for it.
            if 2 * points.words.size < heads[0].n:
                points = Points(
                    points.steps,
                    points.times,
                    points.kinds.copy(),
                    points.words.copy(),
                    _copied(points.objects),
                )
        else:
            points = concat(parts)
        return points, where.places

    def _join(self, heads: Sequence[ChunkHead], steps: NDArray[np.int64], last_step: int) -> _Joined:
        axes = [self._axes.get(self._chunks, head) for head in heads]
        cuts = [
            slice(
                int(np.searchsorted(axis.first_step, steps[0], "left")),
                int(np.searchsorted(axis.first_step, last_step, "right")),
            )
            for axis in axes
        ]
        own = np.concatenate([axis.first_step[cut] for axis, cut in zip(axes, cuts, strict=True)])
        times = np.concatenate([axis.first_time[cut] for axis, cut in zip(axes, cuts, strict=True)])
        return _Joined(cuts, own, times, _places(own, steps))

    def _count(self, n_values: int, objects: NDArray[np.object_] | None) -> None:
        self.n_bytes += VALUE_BYTES * n_values
        if objects is not None:
            self.n_bytes += sum(_OBJECT_BYTES + len(value) for value in objects)
        if self.n_bytes > self._max_bytes:
            raise WindowTooLargeError


class FirstRows:
    """Collects rows in any order and keeps the first ones by step, the last write to each."""

    def __init__(self, n_rows: int, last_step: int) -> None:
        self._n_rows = n_rows
        self.last_step = last_step
        self._parts: list[Points] = []
        self._orders: list[NDArray[np.int64]] = []
        self._n = 0

    def add(self, rows: Points, order: int) -> None:
        """Take `rows`, which were written after all of lower `order`."""
        if not len(rows):
            return
        self._parts.append(rows)
        self._orders.append(np.full(len(rows), order, np.int64))
        self._n += len(rows)
        if self._n >= self._n_rows + 4096:
            self._settle()

    def all(self) -> Points:
        """Return the rows, by step."""
        self._settle()
        return self._parts[0] if self._parts else empty()

    def _settle(self) -> None:
        if not self._parts:
            return
        rows, orders = concat(self._parts), np.concatenate(self._orders)
        if not (rows.steps[1:] > rows.steps[:-1]).all():
            by_step = np.lexsort((orders, rows.steps))
            ordered = rows.steps[by_step]
            last = by_step[np.append(ordered[1:] != ordered[:-1], True)]
            rows, orders = rows.at(last), orders[last]
        if len(rows) > self._n_rows:
            rows, orders = rows.at(slice(0, self._n_rows)), orders[: self._n_rows]
            self.last_step = int(rows.steps[-1])
        self._parts, self._orders, self._n = [rows], [orders], len(rows)


def _newer(block_no: int, through: Mapping[str, int]) -> Callable[[str], bool]:
    """Return what says of a key whether the block is not in its chunks."""
    return lambda key: block_no > through.get(key, 0)


def _overlaps(series: SeriesRow, first_step: int, last_step: int) -> bool:
    if not series.n_points or series.first_step is None or series.last_step is None:
        return False
    return series.first_step <= last_step and series.last_step >= first_step


def _places(steps: NDArray[np.int64], rows: NDArray[np.int64]) -> Places | None:
    # Every point's step is that of a row, so as many points as rows are at the rows.
    return None if steps.size == rows.size else np.searchsorted(rows, steps)


def _copied(objects: NDArray[np.object_] | None) -> NDArray[np.object_] | None:
    return None if objects is None else objects.copy()
