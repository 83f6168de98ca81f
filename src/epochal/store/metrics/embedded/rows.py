"""Rows exactly as logged, window by window of steps: a long run needs no more memory than a short one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from epochal.store.metrics.contract import Row, Stream
from epochal.store.metrics.embedded.history import (
    SeriesHistory,
    history_of,
    key_names,
    row_windows,
    step_range,
)
from epochal.store.metrics.embedded.points import Points
from epochal.store.metrics.embedded.snapshot import RunRow, Snapshot

# Python objects held at once; a row has at least one for each of its keys.
_WINDOW_VALUES = 200_000
_MIN_WINDOW_ROWS = 16
_MAX_WINDOW_ROWS = 4096


def scan_rows(
    snapshot: Snapshot,
    run: RunRow,
    keys: Sequence[str] | None,
    stream: Stream,
    first_step: int | None,
    last_step: int | None,
) -> Iterator[Row]:
    """Yield rows in step order; see `contract.MetricStore.scan_rows`."""
    wanted = key_names(snapshot, run, stream) if keys is None else list(dict.fromkeys(keys))
    histories = [(key, history_of(snapshot, run, stream, key)) for key in wanted]
    window_rows = min(_MAX_WINDOW_ROWS, max(_MIN_WINDOW_ROWS, _WINDOW_VALUES // (len(wanted) or 1)))
    for rows in row_windows(snapshot, run, stream, *step_range(first_step, last_step)):
        for begin in range(0, len(rows), window_rows):
            yield from _rows_of(
                rows.at(slice(begin, begin + window_rows)), histories, keep_empty=keys is None
            )


def _rows_of(
    rows: Points, histories: Sequence[tuple[str, SeriesHistory]], *, keep_empty: bool
) -> Iterator[Row]:
    steps = rows.steps.tolist()
    values: dict[int, dict[str, object]] = {step: {} for step in steps} if keep_empty else {}
    for key, history in histories:
        points = history.everything(steps[0], steps[-1])
        for step, value in zip(points.steps.tolist(), points.values(), strict=True):
            values.setdefault(step, {})[key] = value
    for step, time in zip(steps, rows.times.tolist(), strict=True):
        if step in values:
            yield Row(step, time, values[step])
