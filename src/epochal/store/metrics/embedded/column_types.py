"""The type that holds every value of a key: an answer in columns has to name it before its first row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.contract import ColumnType, Stream
from epochal.store.metrics.embedded.blocks import Table
from epochal.store.metrics.embedded.chunks import NUMBERS, ROWS, Chunks, SeriesRow
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot
from epochal.store.metrics.row_batches import BOOL, FLOAT, INT

_NAMES: dict[int, ColumnType] = {FLOAT: "float", INT: "int", BOOL: "bool"}
_NIL = 0xC0


def column_types(
    snapshot: Snapshot, run: RunRow, keys: Sequence[str] | None, stream: Stream
) -> dict[str, ColumnType]:
    """Return the type of each key; see `contract.MetricStore.column_types`."""
    wanted = None if keys is None else set(keys)
    types: dict[str, ColumnType | None] = {}  # None: nothing but None so far
    for (kind, key), row in snapshot.chunks.series_of_run(run.run_no, STREAM_NUMBERS[stream]).items():
        if kind != ROWS and row.n_points and (wanted is None or key in wanted):
            found = _numbers(snapshot.chunks, row) if kind == NUMBERS else _others(snapshot.chunks, row)
            types[key] = _widest(types.get(key), found)
    for block_no in snapshot.tail_numbers(run):
        for key, found_type in _in_table(snapshot.block(block_no).table(stream)):
            if wanted is None or key in wanted:
                types[key] = _widest(types.get(key), [found_type])
    return {key: known or "json" for key, known in types.items()}


def _widest(known: ColumnType | None, found: Iterable[ColumnType | None]) -> ColumnType | None:
    for new in found:
        if known == "json":
            return known
        if known is None or new is None or new == known:
            known = new if known is None else known
        else:
            known = "float" if {known, new} == {"int", "float"} else "json"
    return known


def _numbers(chunks: Chunks, series: SeriesRow) -> Iterable[ColumnType]:
    for head in chunks.heads(series.series_no, 0):
        for kind in np.unique(chunks.read_kinds(head)).tolist():
            yield _NAMES[kind]


def _others(chunks: Chunks, series: SeriesRow) -> Iterable[ColumnType | None]:
    # A key with text and other things is called text, so only such a one has to be looked at.
    if series.type in ("histogram", "media"):
        yield "json"
        return
    for head in chunks.heads(series.series_no, 0):
        for value in _objects(chunks.read_points(head, chunks.read_axis(head)).objects):
            yield None if value[0] == _NIL else "text" if _is_text(value) else "json"


def _in_table(table: Table) -> Iterator[tuple[str, ColumnType | None]]:
    for sheet in table.sheets:
        for key, kind in zip(sheet.keys.names, sheet.kinds, strict=True):
            yield key, _NAMES[kind]
    for key, columns in table.others.items():
        for column in columns:
            for value in column.values:
                yield key, None if value is None else "text" if isinstance(value, str) else "json"


def _is_text(value: bytes) -> bool:
    """Return whether `value` is the msgpack of a text."""
    return value[0] & 0xE0 == 0xA0 or value[0] in (0xD9, 0xDA, 0xDB)


def _objects(objects: NDArray[np.object_] | None) -> Iterable[bytes]:
    return [] if objects is None else objects
