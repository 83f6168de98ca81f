"""Answers as Arrow IPC streams.

Columns go from the query's arrays into the stream without touching single values.
Source: the Arrow columnar format, version 1.5, "Encapsulated message format".
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
from arro3.core import DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_ipc_stream

from epochal.store.metrics.contract import (
    Buckets,
    GroupAnswer,
    GroupBuckets,
    GroupInfo,
    MetricX,
    SeriesAnswer,
    XAxis,
)

_INT_COLUMNS = frozenset({"series", "n_runs", "n_points", "n_nan", "n_posinf", "n_neginf"})


class _SeriesHead(msgspec.Struct, frozen=True):
    run: str
    key: str
    n_points: int
    exact: bool
    last_step: int | None


class _QueryHead(msgspec.Struct, frozen=True):
    series: list[_SeriesHead]
    x: str | MetricX


class _Head(msgspec.Struct, frozen=True):
    queries: list[_QueryHead]


class _GroupQueryHead(msgspec.Struct, frozen=True):
    groups: list[GroupInfo]
    x: str | MetricX


class _GroupsHead(msgspec.Struct, frozen=True):
    queries: list[_GroupQueryHead]


def series_stream(axes: Sequence[XAxis], answers: Sequence[SeriesAnswer]) -> bytes:
    """Return the answer of POST /api/series: one record batch for each of `answers`, in order.

    Args:
        axes: the x axis of each query.
        answers: of each query.
    """
    head = _Head([_head(axis, answer) for axis, answer in zip(axes, answers, strict=True)])
    return _stream(Buckets._fields, msgspec.json.encode(head), [answer.buckets for answer in answers])


def groups_stream(axes: Sequence[XAxis], answers: Sequence[GroupAnswer]) -> bytes:
    """Return the answer of POST /api/series to queries for groups, in the same way."""
    head = _GroupsHead(
        [_GroupQueryHead(answer.infos, axis) for axis, answer in zip(axes, answers, strict=True)]
    )
    return _stream(GroupBuckets._fields, msgspec.json.encode(head), [answer.buckets for answer in answers])


def _stream(names: Sequence[str], head: bytes, batches: Sequence[Buckets | GroupBuckets]) -> bytes:
    schema = Schema(
        [Field(name, _type(name), nullable=False) for name in names], metadata={"epochal": head.decode()}
    )
    made = [RecordBatch.from_arrays(list(batch), schema=schema) for batch in batches]
    out = io.BytesIO()
    # Not compressed: browsers read the columns in place, and over loopback nothing is won by LZ4.
    write_ipc_stream(RecordBatchReader.from_batches(schema, made), out, compression=None)
    return out.getvalue()


def _head(axis: XAxis, answer: SeriesAnswer) -> _QueryHead:
    heads = [_SeriesHead(i.run, i.key, i.n_points, i.exact, i.last_step) for i in answer.infos]
    return _QueryHead(heads, axis)


def _type(name: str) -> DataType:
    return DataType.int32() if name in _INT_COLUMNS else DataType.float64()
