"""Rows as JSON lines and as an Arrow stream, a chunk at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_ipc_stream

from epochal.store.metrics.contract import Row, Stream

CHUNK_BYTES = 256 * 1024
ROWS_A_BATCH = 8192

# Not the fastest encoder, but the one that writes NaN and infinities, which a row may not lose.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=repr).encode


def json_line_chunks(rows: Iterator[Row], stream: Stream) -> Iterator[bytes]:
    """Yield one JSON object a row, in chunks of about 256 KiB that end with a whole line.

    `_step` is left out for system metrics, which have none.
    """
    with_step = stream == "history"
    lines: list[str] = []
    n_chars = 0
    for row in rows:
        place = {"_step": row.step, "_timestamp": row.time} if with_step else {"_timestamp": row.time}
        line = _encode(place | row.values)
        lines.append(line)
        n_chars += len(line)
        if n_chars >= CHUNK_BYTES:
            yield ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
            lines, n_chars = [], 0
    if lines:
        yield ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def arrow_chunks(read: Callable[[], Iterator[Row]], stream: Stream) -> Iterator[bytes]:
    """Yield an Arrow IPC stream of the rows that `read` gives, which is called twice.

    Columns are `_step` (int64; not for system metrics), `_timestamp` (float64), then one per key in order of
    first appearance: bool, int64, float64 or text where all its values are that (whole numbers among others
    count as float64), else JSON text.  A row without the key, or with None,
    has a null.
    """
    kinds: dict[str, str] = {}
    for row in read():
        for key, value in row.values.items():
            kind = _kind_of(value)
            known = kinds.setdefault(key, kind)
            if known == "null":
                kinds[key] = kind
            elif kind not in (known, "null"):
                kinds[key] = "float" if {known, kind} == {"int", "float"} else "json"
    names = (["_step"] if stream == "history" else []) + ["_timestamp"]
    fields = [Field(name, _TYPES["int" if name == "_step" else "float"], nullable=False) for name in names]
    fields += [Field(key, _TYPES[kind], nullable=True) for key, kind in kinds.items() if key not in names]
    yield from _stream(Schema(fields), _batches(read(), names, kinds, Schema(fields)))


_TYPES = {
    "bool": DataType.bool(),
    "int": DataType.int64(),
    "float": DataType.float64(),
    "text": DataType.utf8(),
    "json": DataType.utf8(),
    "null": DataType.utf8(),
}


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "float"
    if isinstance(value, float):
        return "float"
    return "text" if isinstance(value, str) else "json"


def _batches(
    rows: Iterator[Row], names: Sequence[str], kinds: dict[str, str], schema: Schema
) -> Iterator[RecordBatch]:
    columns = {key: kind for key, kind in kinds.items() if key not in names}
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_A_BATCH:
            yield _batch(batch, names, columns, schema)
            batch = []
    if batch:
        yield _batch(batch, names, columns, schema)


def _batch(rows: list[Row], names: Sequence[str], columns: dict[str, str], schema: Schema) -> RecordBatch:
    place: dict[str, list[Any]] = {"_step": [r.step for r in rows], "_timestamp": [r.time for r in rows]}
    arrays = [Array(place[name], type=_TYPES["int" if name == "_step" else "float"]) for name in names]
    for key, kind in columns.items():
        values = [_as(kind, row.values[key]) if key in row.values else None for row in rows]
        arrays.append(Array(values, type=_TYPES[kind]))
    return RecordBatch.from_arrays(arrays, schema=schema)


def _as(kind: str, value: object) -> object:
    """Return `value` as the column wants it; one that changed its type between the two readings is a null."""
    if value is None:
        return None
    if kind == "json":
        return _encode(value)
    if kind == "float":
        return float(value) if isinstance(value, (int, float)) else None
    return value if _kind_of(value) == kind else None


def _stream(schema: Schema, batches: Iterator[RecordBatch]) -> Iterator[bytes]:
    """Yield an IPC stream piece by piece: the schema, each batch, the end.

    The writer makes whole streams only, so each batch is written as one of its own, and freed of the schema
    before it and the end mark behind it.
    """
    empty = io.BytesIO()
    write_ipc_stream(_reader(schema, []), empty)
    end = empty.getvalue()[-8:]
    head = empty.getvalue()[:-8]
    yield head
    for batch in batches:
        whole = io.BytesIO()
        write_ipc_stream(_reader(schema, [batch]), whole)
        yield whole.getvalue()[len(head) : -8]
    yield end


def _reader(schema: Schema, batches: list[RecordBatch]) -> RecordBatchReader:
    return RecordBatchReader.from_batches(schema, batches)
