"""Rows as JSON lines and as an Arrow stream, a chunk of bytes at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
import numpy as np
from arro3.core import Array, ChunkedArray, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_ipc_stream
from numpy.typing import NDArray

from epochal.errors import EpochalError
from epochal.store.metrics.contract import ColumnType, RowBatch, Stream
from epochal.store.metrics.row_batches import BOOL, FLOAT, INT, OTHER, RowColumn

CHUNK_BYTES = 256 * 1024
# Rows times columns of a record batch: what is empty takes memory too.
_CELLS_A_BATCH = 1 << 18
_MIN_ROWS_A_BATCH = 64
_ROWS_A_TURN = 2048  # of JSON lines, which are Python objects until they are bytes

_json = msgspec.json.Encoder().encode
# Writes NaN and infinities too, which a value may not lose.
_slow_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=repr).encode
_BARE: Final = {"nan": b"NaN", "inf": b"Infinity", "-inf": b"-Infinity"}

_NIL = msgspec.msgpack.encode(None)

_TYPES: dict[ColumnType, DataType] = {
    "bool": DataType.bool(),
    "int": DataType.int64(),
    "float": DataType.float64(),
    "text": DataType.utf8(),
    "json": DataType.utf8(),
}
# The kinds of value that a column of numbers holds.
_KINDS: dict[ColumnType, tuple[int, ...]] = {"bool": (BOOL,), "int": (INT,), "float": (FLOAT, INT)}


class TypesChangedError(EpochalError):
    """While rows were written out, a key got values that its column cannot hold."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The values of {key!r} got another type while they were read.\nAsk again.")
        self.key = key


def json_line_chunks(batches: Iterable[RowBatch], stream: Stream) -> Iterator[bytes]:
    """Yield one JSON object a row, in chunks of about 256 KiB that end with a whole line.

    `_step` is left out for system metrics, which have none.
    """
    chunk = bytearray()
    for batch in batches:
        for begin in range(0, batch.steps.size, _ROWS_A_TURN):
            for line in _lines(_cut(batch, begin, begin + _ROWS_A_TURN), stream):
                chunk += line
                chunk += b"\n"
                if len(chunk) >= CHUNK_BYTES:
                    yield bytes(chunk)
                    chunk.clear()
    if chunk:
        yield bytes(chunk)


def _lines(batch: RowBatch, stream: Stream) -> Iterator[bytes]:
    place = RowColumn("_timestamp", None, _same_kinds(batch, FLOAT), batch.times.view(np.int64), None)
    places = [place]
    if stream == "history":
        places.insert(0, RowColumn("_step", None, _same_kinds(batch, INT), batch.steps, None))
    # A key of the same name as one of the places comes later and wins.
    whole = batch._replace(columns=[*places, *batch.columns])
    return map(_json, whole.dicts([_for_json(column) for column in whole.columns]))


def _same_kinds(batch: RowBatch, kind: int) -> NDArray[np.uint8]:
    return np.full(batch.steps.size, kind, np.uint8)


def _for_json(column: RowColumn) -> list[object]:
    """Return the values so that the quick encoder writes them as the slow one would."""
    values = column.values()
    odd = column.kinds == OTHER
    odd |= (column.kinds == FLOAT) & ~np.isfinite(column.words.view(np.float64))
    for at in np.flatnonzero(odd).tolist():
        values[at] = as_json(values[at])
    return values


def as_json(value: object) -> object:
    """Return what the quick encoder writes as JSON that has NaN and infinities in it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return msgspec.Raw(_BARE[repr(value)])
    return msgspec.Raw(_slow_json(value).encode("utf-8", "surrogatepass"))


def arrow_chunks(
    types: Mapping[str, ColumnType], batches: Iterable[RowBatch], stream: Stream
) -> Iterator[bytes]:
    """Yield an Arrow IPC stream of the rows.

    Columns are `_step` (int64; not for system metrics), `_timestamp` (float64), then one per key: bool,
    int64, float64 or text, else JSON text; null in rows without a value, and for None.

    Args:
        types: of the keys, in the order of the columns; other keys are left out.
        batches: of the rows.
        stream: which of the run's rows these are.

    Raises:
        TypesChangedError: a value does not fit its column.
    """
    names = ["_step", "_timestamp"] if stream == "history" else ["_timestamp"]
    types = {key: name for key, name in types.items() if key not in names}
    fields = [Field(name, _TYPES["int" if name == "_step" else "float"], nullable=False) for name in names]
    fields += [Field(_field_name(key), _TYPES[name], nullable=True) for key, name in types.items()]
    schema = Schema(fields)
    yield from _stream(schema, _record_batches(batches, schema, types, with_steps="_step" in names))


def _field_name(key: str) -> str:
    """Return `key` as Arrow's libraries can hand it on: in C, to which a NUL ends a name."""
    return key.replace("\0", "\N{SYMBOL FOR NULL}")


def _record_batches(
    batches: Iterable[RowBatch], schema: Schema, types: Mapping[str, ColumnType], *, with_steps: bool
) -> Iterator[RecordBatch]:
    n_rows = max(_MIN_ROWS_A_BATCH, _CELLS_A_BATCH // (len(types) + 2))
    nulls = {key: Array([None], type=_TYPES[name]) for key, name in types.items()}
    for whole in batches:
        for begin in range(0, whole.steps.size, n_rows):
            batch = _cut(whole, begin, begin + n_rows)
            columns = {column.key: column for column in batch.columns}
            arrays = [Array.from_numpy(batch.steps)] if with_steps else []
            arrays.append(Array.from_numpy(batch.times))
            for key, name in types.items():
                arrays.append(_array(columns.get(key), name, batch.steps.size, nulls[key]))
            yield RecordBatch.from_arrays(arrays, schema=schema)


def _array(column: RowColumn | None, name: ColumnType, n_rows: int, null: Array) -> Array:
    """Return the column with a null in every row that has no value."""
    if column is not None and name in _KINDS and column.objects is not None:
        column = _without_none(column)
    if column is None:
        return null.take(Array.from_numpy(np.zeros(n_rows, np.uint32)))
    values = _typed(column, name)
    if column.rows is None:
        return values
    n = column.words.size
    which = np.full(n_rows, n, np.uint32)  # the null behind the values
    which[column.rows] = np.arange(n, dtype=np.uint32)
    return ChunkedArray([values, null]).combine_chunks().take(Array.from_numpy(which))


def _without_none(column: RowColumn) -> RowColumn:
    assert column.objects is not None
    is_some = (column.kinds != OTHER) | (column.objects != _NIL)
    rows = np.arange(column.words.size) if column.rows is None else column.rows
    return RowColumn(
        column.key, rows[is_some], column.kinds[is_some], column.words[is_some], column.objects[is_some]
    )


def _typed(column: RowColumn, name: ColumnType) -> Array:
    kinds = column.kinds
    if name in _KINDS:
        if not np.isin(kinds, _KINDS[name]).all():
            raise TypesChangedError(column.key)
        return Array.from_numpy(_numbers(column, name))
    values = column.values()
    if name == "json":
        values = [None if value is None else _slow_json(value) for value in values]
    elif not all(value is None or isinstance(value, str) for value in values):
        raise TypesChangedError(column.key)
    return Array(values, type=_TYPES[name])


def _numbers(column: RowColumn, name: ColumnType) -> NDArray[np.generic]:
    if name == "bool":
        return column.words.astype(np.bool_)
    if name == "int":
        return column.words
    floats = column.words.view(np.float64)
    return floats if not column.kinds.any() else np.where(column.kinds == FLOAT, floats, column.words)


def _cut(batch: RowBatch, begin: int, end: int) -> RowBatch:
    """Return the rows from `begin` to `end`."""
    if begin == 0 and end >= batch.steps.size:
        return batch
    columns = []
    for column in batch.columns:
        cut, rows = slice(begin, end), column.rows
        if rows is not None:
            cut = slice(*np.searchsorted(rows, [begin, end]).tolist())
            rows = rows[cut] - begin
        if column.kinds[cut].size:
            objects = None if column.objects is None else column.objects[cut]
            columns.append(RowColumn(column.key, rows, column.kinds[cut], column.words[cut], objects))
    return RowBatch(batch.steps[begin:end], batch.times[begin:end], columns)


def _stream(schema: Schema, batches: Iterator[RecordBatch]) -> Iterator[bytes]:
    """Yield an IPC stream piece by piece: the schema, each batch, the end.

    The writer makes whole streams only, so each batch is written as one of its own, and freed of the schema
    before it and the end mark behind it.
    """
    empty = _ipc(schema, [])
    head, end = empty[:-8], empty[-8:]
    yield head
    for batch in batches:
        yield _ipc(schema, [batch])[len(head) : -8]
    yield end


def _ipc(schema: Schema, batches: list[RecordBatch]) -> bytes:
    out = io.BytesIO()
    # Not compressed: most clients are on the same machine or in the same building.
    write_ipc_stream(RecordBatchReader.from_batches(schema, batches), out, compression=None)
    return out.getvalue()
