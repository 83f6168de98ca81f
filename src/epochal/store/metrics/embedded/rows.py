"""Rows exactly as logged, window by window of steps: a long run needs no more memory than a short one.

Each window has a snapshot of its own, so that a slow reader holds nothing of the file.  It is cut so that its
values fit a budget of bytes.  How many rows these are shows only when they are read: a window that turns out
too large is given up, and a smaller one is read instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from epochal.ids import RunId
from epochal.store.metrics.contract import RunGoneError, Stream
from epochal.store.metrics.embedded.history import step_range
from epochal.store.metrics.embedded.points import Points
from epochal.store.metrics.embedded.snapshot import RunRow, Snapshot, Snapshots
from epochal.store.metrics.embedded.tail_blocks import TailBlocks
from epochal.store.metrics.embedded.windows import VALUE_BYTES, AxisCache, WindowReader, WindowTooLargeError
from epochal.store.metrics.row_batches import RowBatch, RowColumn

# Of a window's values; what an answer makes of them comes on top.
WINDOW_BYTES = 24 << 20
_FIRST_ROWS = 4096
_MAX_ROWS = 1 << 20


def scan_batches(
    snapshots: Snapshots,
    run_id: RunId,
    keys: Sequence[str] | None,
    stream: Stream,
    steps: tuple[int | None, int | None],
    *,
    window_bytes: int,
) -> Iterator[RowBatch]:
    """Yield rows in step order; see `contract.MetricStore.scan_batches`.

    Args:
        snapshots: of the file.
        run_id: whose rows.
        keys: of the values; None for all.
        stream: which of the run's rows.
        steps: the first and the last, both included; None for no limit.
        window_bytes: about what a batch may take in memory, unless one row takes more.
    """
    scan = _Scan(snapshots, run_id, keys, stream, window_bytes)
    # Now, not when the first batch is asked for: what is logged from here on is left to the next scan.
    limits = scan.limits(*step_range(*steps))
    return scan.batches(*limits)


class _Scan:
    """What is kept from one window to the next."""

    def __init__(
        self,
        snapshots: Snapshots,
        run_id: RunId,
        keys: Sequence[str] | None,
        stream: Stream,
        window_bytes: int,
    ) -> None:
        self._snapshots, self._run_id, self._window_bytes = snapshots, run_id, window_bytes
        self._keys = None if keys is None else list(dict.fromkeys(keys))
        self._stream: Stream = stream
        self._tail = TailBlocks(stream, self._keys)
        self._axes = AxisCache()
        self._run: RunRow | None = None
        self._n_rows = _FIRST_ROWS

    def limits(self, first_step: int, last_step: int) -> tuple[int, int]:
        """Cut the range to where there are rows now: a run that logs on would never end otherwise."""
        with self._snapshots.open() as snapshot:
            self._run = snapshot.run(self._run_id)
            extent = None if self._run is None else self._reader(snapshot).extent()
        return (1, 0) if extent is None else (max(first_step, extent[0]), min(last_step, extent[1]))

    def batches(self, first_step: int, last_step: int) -> Iterator[RowBatch]:
        """Yield the batches from `first_step` to `last_step`."""
        begin = first_step
        while begin <= last_step:
            with self._snapshots.open() as snapshot:
                batch, begin = self._next(self._reader(snapshot), begin, last_step)
            if batch is not None:
                yield batch

    def _reader(self, snapshot: Snapshot) -> WindowReader:
        run = snapshot.run(self._run_id)
        if run is None or self._run is None or run.run_no != self._run.run_no:
            raise RunGoneError(self._run_id)
        self._tail.look(snapshot, run)
        return WindowReader(snapshot, run, self._stream, self._keys, tail=self._tail, axes=self._axes)

    def _next(self, reader: WindowReader, begin: int, last_step: int) -> tuple[RowBatch | None, int]:
        """Return the rows of a window from `begin` on, None if none is wanted, and where the next begins."""
        rows, end = reader.rows(begin, last_step, self._n_rows)
        while True:
            try:
                columns = reader.columns(rows.steps, end, self._window_bytes)
                break
            except WindowTooLargeError:
                rows = rows.at(slice(0, max(1, len(rows) // 4)))
                end = int(rows.steps[-1])
        self._adapt(len(rows), reader.n_bytes)
        return _batch(rows, columns, keep_empty=self._keys is None), end + 1

    def _adapt(self, n_rows: int, n_bytes: int) -> None:
        """Choose the next window's rows so that its values take about two thirds of the budget."""
        used = max(n_bytes, VALUE_BYTES * n_rows, 1)
        factor = min(4.0, 0.67 * self._window_bytes / used)
        self._n_rows = min(_MAX_ROWS, max(1, int(max(n_rows, 1) * factor)))


def _batch(rows: Points, columns: list[RowColumn], *, keep_empty: bool) -> RowBatch | None:
    """Return the rows, those without a value only if they are to be kept."""
    has_value = np.full(len(rows), keep_empty)
    for column in columns:
        has_value[slice(None) if column.rows is None else column.rows] = True
    if not has_value.any():
        return None
    if has_value.all():
        return RowBatch(rows.steps, rows.times, columns)
    places = np.cumsum(has_value) - 1
    n_rows = int(places[-1]) + 1
    moved = [
        column._replace(rows=None if column.words.size == n_rows else places[column.rows])
        for column in columns
    ]
    return RowBatch(rows.steps[has_value], rows.times[has_value], moved)
