"""Chunks: pieces of one series, as rows of the file.

A chunk of level 0 holds points, one of a level above holds buckets.  Chunks of one level never overlap in
steps.  What keys that were logged together have in common, their steps and times, is an axis, stored once.
"""

# ruff: noqa: S608  (statements are put together from constants of this file only)

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.errors import DamagedStoreError
from epochal.store.metrics.embedded.cache import CachePart
from epochal.store.metrics.embedded.checksum import unseal
from epochal.store.metrics.embedded.codec import Array, pack, unpack
from epochal.store.metrics.embedded.points import OTHER, Points
from epochal.store.metrics.embedded.pyramid import Axis, Floats, Ints, Level, Stats

ROWS, NUMBERS, OTHERS = 0, 1, 2  # kinds of series

_HEAD = "chunk_no, is_sealed, first_step, last_step, n, axis_no, length(body), series_no, level"
_HEADS_A_PAGE = 256
_SERIES = (
    "series_no, through, type, n_points, first_step, last_step, min_time, max_time, is_time_sorted, top_level"
)
_NAMED = ", ".join(f"t.{column}" for column in ("run_no", "stream", "kind", "key", *_SERIES.split(", ")))


class ChunkSizes(msgspec.Struct, frozen=True):
    """How series are cut up."""

    points_a_chunk: int = 4096
    buckets_a_chunk: int = 1024
    points_a_bucket: int = 32  # of the first level
    buckets_a_bucket: int = 4  # of the levels above
    # Other values than numbers vary in size, so their chunks are full by bytes.
    other_chunk_bytes: int = 1 << 20
    # Small chunks of like size are merged when there are so many: each point is rewritten about once for
    # every factor of eight between what one compaction brings and a full chunk.
    merge_width: int = 8

    def min_other_bytes(self) -> int:
        """Return what another value counts at least, so that their chunks are bounded in number too."""
        return max(1, self.other_chunk_bytes // self.points_a_chunk)


class SeriesRow(NamedTuple):
    """A series, from the table of that name."""

    series_no: int
    through: int
    type: str
    n_points: int
    first_step: int | None
    last_step: int | None
    min_time: float | None
    max_time: float | None
    is_time_sorted: int
    top_level: int


class ChunkHead(NamedTuple):
    """A chunk without its body."""

    chunk_no: int
    is_sealed: int
    first_step: int
    last_step: int
    n: int
    axis_no: int
    n_bytes: int
    series_no: int
    level: int


class Chunks:
    """Reads chunks by one connection, in whatever transaction it is."""

    def __init__(self, connection: sqlite3.Connection, cache: CachePart, sizes: ChunkSizes) -> None:
        self.sizes = sizes
        self._execute = connection.execute
        self.cache = cache

    def series(self, run_no: int, stream: int, kind: int, key: str) -> SeriesRow | None:
        """Return the series, or None if nothing of it is in chunks."""
        return self._named(run_no, stream, (kind,), key).get(kind)

    def numbers_and_others(
        self, run_no: int, stream: int, key: str
    ) -> tuple[SeriesRow | None, SeriesRow | None]:
        """Return the series of a key's numbers and that of its other values, None if nothing is in chunks."""
        found = self._named(run_no, stream, (NUMBERS, OTHERS), key)
        return found.get(NUMBERS), found.get(OTHERS)

    def _named(self, run_no: int, stream: int, kinds: tuple[int, ...], key: str) -> dict[int, SeriesRow]:
        """Return the series of a key by kind.

        The index is asked for their numbers only, and every row says itself whose it is: a damaged index must
        not give one key's numbers to another.
        """
        places = ", ".join("?" * len(kinds))
        rows = self._execute(
            f"SELECT {_NAMED} FROM series AS found CROSS JOIN series AS t ON t.series_no = found.series_no "
            f"WHERE found.run_no = ? AND found.stream = ? AND found.kind IN ({places}) AND found.key = ?",
            (run_no, stream, *kinds, key),
        )
        found = {}
        for row in rows:
            series = SeriesRow(*row[4:])
            if (row[0], row[1], row[3]) != (run_no, stream, key) or row[2] not in kinds:
                raise DamagedStoreError(f"an index gives the series {series.series_no} to another key")
            found[row[2]] = series
        return found

    def series_of_run(self, run_no: int, stream: int) -> dict[tuple[int, str], SeriesRow]:
        """Return every series of a run by (kind, key)."""
        rows = self._execute(
            f"SELECT kind, key, {_SERIES} FROM series WHERE run_no = ? AND stream = ? ORDER BY series_no",
            (run_no, stream),
        )
        return {(kind, key): SeriesRow(*row) for kind, key, *row in rows}

    def heads(
        self, series_no: int, level: int, first_step: int = -(2**63), last_step: int = 2**63 - 1
    ) -> list[ChunkHead]:
        """Return the chunks that overlap the steps from `first_step` to `last_step`, in order."""
        if first_step == -(2**63):
            rows = self._execute(
                f"SELECT {_HEAD} FROM chunks WHERE series_no = ? AND level = ? AND first_step <= ? "
                "ORDER BY first_step",
                (series_no, level, last_step),
            )
        else:
            rows = self._execute(
                f"SELECT {_HEAD} FROM chunks WHERE series_no = ?1 AND level = ?2 AND first_step <= ?4 "
                "AND first_step >= ifnull((SELECT max(first_step) FROM chunks "
                "WHERE series_no = ?1 AND level = ?2 AND first_step <= ?3), ?3) ORDER BY first_step",
                (series_no, level, first_step, last_step),
            )
        # Not left to SQL: a damaged row must not look like a chunk that ends before.
        return [head for head in map(_sane, rows) if head.last_step >= first_step]

    def heads_from(self, series_no: int, first_step: int, last_step: int) -> Iterator[ChunkHead]:
        """Yield the chunks of points that overlap the steps, in order; looked up as they are asked for."""
        while True:
            rows = self._execute(
                f"SELECT {_HEAD} FROM chunks WHERE series_no = ?1 AND level = 0 AND first_step <= ?3 "
                "AND first_step >= ifnull((SELECT max(first_step) FROM chunks "
                "WHERE series_no = ?1 AND level = 0 AND first_step <= ?2), ?2) "
                "AND last_step >= ?2 ORDER BY first_step LIMIT ?4",
                (series_no, first_step, last_step, _HEADS_A_PAGE),
            ).fetchall()
            for row in rows:
                yield ChunkHead(*row)
            if len(rows) < _HEADS_A_PAGE:
                return
            first_step = rows[-1][3] + 1

    def owners(self, series_no: int, level: int, first_step: int, last_step: int) -> list[ChunkHead]:
        """Return the sealed chunks that own the steps: each up to where the next begins, the first one
        also what lies before it."""
        rows = self._execute(
            f"SELECT {_HEAD} FROM chunks WHERE series_no = ?1 AND level = ?2 AND is_sealed "
            "AND first_step >= ifnull((SELECT max(first_step) FROM chunks "
            "WHERE series_no = ?1 AND level = ?2 AND first_step <= ?3), ?3) "
            "AND first_step <= max(?4, (SELECT min(first_step) FROM chunks "
            "WHERE series_no = ?1 AND level = ?2)) ORDER BY first_step",
            (series_no, level, first_step, last_step),
        )
        return [ChunkHead(*row) for row in rows]

    def unsealed(self, series_no: int, level: int) -> list[ChunkHead]:
        """Return the chunks at the end of a level that may still be merged, in order."""
        heads: list[ChunkHead] = []
        for row in self._execute(
            f"SELECT {_HEAD} FROM chunks WHERE series_no = ? AND level = ? ORDER BY first_step DESC",
            (series_no, level),
        ):
            head = ChunkHead(*row)
            if head.is_sealed:
                break
            heads.append(head)
        return heads[::-1]

    def last_sealed_step(self, series_no: int, level: int) -> int | None:
        """Return the last step of the sealed chunks, which all others follow; None without any."""
        for is_sealed, last_step in self._execute(
            "SELECT is_sealed, last_step FROM chunks WHERE series_no = ? AND level = ? "
            "ORDER BY first_step DESC",
            (series_no, level),
        ):
            if is_sealed:
                return int(last_step)
        return None

    def last_step(self, series_no: int, level: int) -> int | None:
        """Return the last step that a level tells about, None if it is empty."""
        row = self._execute(
            "SELECT last_step FROM chunks WHERE series_no = ? AND level = ? ORDER BY first_step DESC LIMIT 1",
            (series_no, level),
        ).fetchone()
        return None if row is None else int(row[0])

    def chunk_start_before(self, series_no: int, step: int) -> int | None:
        """Return the first step of the last chunk of points that begins at `step` or before."""
        row = self._execute(
            "SELECT max(first_step) FROM chunks WHERE series_no = ? AND level = 0 AND first_step <= ?",
            (series_no, step),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def chunk_end_after(self, series_no: int, step: int) -> int | None:
        """Return the last step of the first chunk of points that ends at `step` or after."""
        heads = self._execute(
            "SELECT last_step FROM chunks WHERE series_no = ?1 AND level = 0 "
            "AND first_step >= ifnull((SELECT max(first_step) FROM chunks "
            "WHERE series_no = ?1 AND level = 0 AND first_step <= ?2), ?2) "
            "AND last_step >= ?2 ORDER BY first_step LIMIT 1",
            (series_no, step),
        ).fetchone()
        return None if heads is None else int(heads[0])

    def axis(self, head: ChunkHead, level: int) -> Axis:
        """Return the steps and times of a chunk."""

        def load() -> Axis:
            return decode_axis(self._axis_body(head), level)

        axis = self.cache.get(Axis, head.axis_no, load, _n_bytes)
        check_axis([head], axis.first_step, axis.last_step)
        return axis

    def points(self, head: ChunkHead) -> Points:
        """Return what a chunk of level 0 holds."""
        return self.cache.get(
            Points,
            head.chunk_no,
            lambda: decode_points(self.axis(head, 0), self._body(head)),
            _n_bytes,
        )

    def steps_of(self, head: ChunkHead) -> tuple[Ints, Ints]:
        """Return the first and the last steps of a chunk's buckets.  Nothing is kept."""
        first, last = unpack(self._axis_body(head), [0, 0 if head.level == 0 else 1])
        return cast("Ints", first), cast("Ints", last)

    def times_of(self, head: ChunkHead) -> tuple[Floats, Floats]:
        """Return the first and the last times of a chunk's buckets.  Nothing is kept."""
        (times,) = unpack(self._axis_body(head), [1 if head.level == 0 else 2])
        first, last = times.view(np.float64).reshape(-1, head.n)[[0, -1]]
        return first, last

    def values_of(self, head: ChunkHead) -> tuple[Floats, Ints, Ints | None]:
        """Return the buckets of a chunk of a higher level: first, last, low, high and mean, shape (5, n),
        how many points, and how many are NaN, inf and -inf, shape (3, n), None if none are.  Nothing is kept.
        """
        values, n_points, counts = unpack_stats(self._body(head))
        return values, n_points, counts if counts.any() else None

    def level(self, head: ChunkHead, level: int) -> Level:
        """Return what a chunk of a higher level holds."""
        return Level(self.axis(head, level), self.stats(head))

    def stats(self, head: ChunkHead) -> Stats:
        """Return the buckets of a chunk of a higher level."""
        return self.cache.get(Stats, head.chunk_no, lambda: decode_stats(self._body(head)), _n_bytes)

    def _axis_body(self, head: ChunkHead) -> bytes:
        row = self._execute("SELECT body FROM axes WHERE axis_no = ?", (head.axis_no,)).fetchone()
        return unseal(row and row[0], f"the axis {head.axis_no}")

    def read_axis(self, head: ChunkHead) -> Axis:
        """Return the steps and times of a chunk of points, for one use: not kept for others."""
        axis = decode_axis(self._axis_body(head), 0)
        check_axis([head], axis.first_step, axis.last_step)
        return axis

    def read_points(self, head: ChunkHead, axis: Axis) -> Points:
        """Return what a chunk of level 0 with the axis `axis` holds, for one use: not kept for others."""
        return decode_points(axis, self._body(head))

    def read_kinds(self, head: ChunkHead) -> NDArray[np.uint8]:
        """Return the kinds of the points of a chunk of level 0."""
        (kinds,) = unpack(self._body(head), [0])
        return kinds.view(np.uint8)

    def _body(self, head: ChunkHead) -> bytes:
        row = self._execute("SELECT body FROM chunks WHERE chunk_no = ?", (head.chunk_no,)).fetchone()
        return unseal(row and row[0], f"the chunk {head.chunk_no}", *sealed_columns(head))


def check_axis(heads: Sequence[ChunkHead], first_step: Ints, last_step: Ints) -> None:
    """Make sure that steps, of at least one bucket, can be those of neighbouring chunks.

    Raises:
        DamagedStoreError: they cannot.
    """
    expected = sum(head.n for head in heads), heads[0].first_step, heads[-1].last_step
    if (first_step.size, first_step[0], last_step[-1]) != expected:
        numbers = ", ".join(str(head.axis_no) for head in heads)
        raise DamagedStoreError(f"the axis {numbers} is not that of the chunk {heads[0].chunk_no}")


def _sane(row: tuple[int, ...]) -> ChunkHead:
    head = ChunkHead(*row)
    if not (isinstance(head.last_step, int) and head.first_step <= head.last_step):
        raise DamagedStoreError(f"the chunk {head.chunk_no} has a damaged row")
    return head


def sealed_columns(head: ChunkHead) -> tuple[int, ...]:
    """Return the columns of a chunk that the checksum of its body covers."""
    return (
        head.series_no,
        head.level,
        head.is_sealed,
        head.first_step,
        head.last_step,
        head.n,
        head.axis_no,
    )


def encode_axis(axis: Axis, level: int) -> bytes:
    """Return the bytes of an axis.  Times are stored as their bits, which rise with time."""
    if level == 0:
        return pack([axis.first_step, axis.first_time.view(np.int64)])
    times = np.concatenate([axis.first_time, axis.last_time]).view(np.int64)
    return pack([axis.first_step, axis.last_step, times])


def decode_axis(data: bytes, level: int) -> Axis:
    """Return the axis in `data`."""
    if level == 0:
        steps, times = unpack(data, [0, 1])
        seconds = times.view(np.float64)
        return Axis(cast("Ints", steps), cast("Ints", steps), seconds, seconds)
    first_step, last_step, times = unpack(data, [0, 1, 2])
    first_time, last_time = times.view(np.float64).reshape(2, -1)
    return Axis(cast("Ints", first_step), cast("Ints", last_step), first_time, last_time)


def encode_points(points: Points) -> bytes:
    """Return the body of a chunk of level 0: kinds, then numbers, or else lengths and msgpack."""
    if points.objects is not None:
        lengths = np.array([len(value) for value in points.objects], np.int64)
        joined = np.frombuffer(b"".join(points.objects), np.uint8)
        return pack([points.kinds, lengths, joined])
    values: Array = points.words if points.kinds.any() else points.words.view(np.float64)
    return pack([points.kinds, values])


def decode_points(axis: Axis, data: bytes) -> Points:
    """Return the points with the axis `axis` and the body `data`."""
    (kinds,) = unpack(data, [0])
    kind_codes = kinds.view(np.uint8)
    if kinds.size and kinds[0] == OTHER:
        lengths, joined = unpack(data, [1, 2])
        ends = np.cumsum(lengths).tolist()
        raw = joined.tobytes()
        objects = np.empty(len(ends), np.object_)
        objects[:] = [raw[b:e] for b, e in zip([0, *ends[:-1]], ends, strict=True)]
        words = np.zeros(len(ends), np.int64)
        return Points(axis.first_step, axis.first_time, kind_codes, words, objects)
    (values,) = unpack(data, [1])
    return Points(axis.first_step, axis.first_time, kind_codes, values.view(np.int64), objects=None)


def encode_stats(stats: Stats) -> bytes:
    """Return the body of a chunk of a higher level."""
    values = np.concatenate([stats.first, stats.last, stats.low, stats.high])
    counts = np.concatenate([stats.n_nan, stats.n_posinf, stats.n_neginf])
    # Means apart: the others are as precise as the points are, which may be far less than a double.
    return pack([values, stats.n_points, counts, stats.mean])


def decode_stats(data: bytes) -> Stats:
    """Return the buckets in `data`."""
    values, n_points, counts = unpack_stats(data)
    return Stats._make([*values, n_points, *counts])


def unpack_stats(data: bytes) -> tuple[Floats, Ints, Ints]:
    """Return the arrays of a chunk of a higher level.

    Returns:
        First, last, low, high and mean, shape (5, n); points, (n,); NaN, +inf and -inf counts, (3, n).
    """
    values, n_points, counts, *means = unpack(data, range(data[0]))
    # Bodies of version 1 have the means with the other values.
    joined = np.concatenate([values, *means]).reshape(5, -1)
    return cast("Floats", joined), cast("Ints", n_points), cast("Ints", counts.reshape(3, -1))


def _n_bytes(kept: Axis | Points | Stats) -> int:
    if isinstance(kept, Points):
        # Steps and times are the axis's; other values are Python objects.
        return 500 + 9 * len(kept) + sum(60 + len(value) for value in _objects(kept))
    return 500 + 8 * len(kept) * kept[0].size


def _objects(points: Points) -> list[bytes]:
    return [] if points.objects is None else list(points.objects)
