"""What a metric store does, whatever engine is below it.

A store keeps the history of runs: series of numbers by (run, stream, key), other values by
(run, stream, key, step), and console lines.  It learns them from blocks and forgets nothing that it
acknowledged.  Every engine passes the same contract tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.errors import EpochalError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.key_names import KeyNames
from epochal.store.metrics.row_batches import Row, RowBatch
from epochal.wire.block import Block

__all__ = ["Row", "RowBatch"]

Stream = Literal["history", "system"]
# What holds every value of a key: "json" is any value as JSON text.
ColumnType = Literal["bool", "int", "float", "text", "json"]


class GapError(EpochalError):
    """A block does not begin where its writer's last one ended."""

    def __init__(self, run: RunId, writer: WriterId, wanted: int, got: int) -> None:
        super().__init__(
            f"The next block of writer {writer} of run {run} must begin at offset {wanted}, not {got}.\n"
            f"Nothing was stored: send the writer's frames from offset {wanted} on."
        )
        self.run, self.writer, self.wanted, self.got = run, writer, wanted, got


class RunGoneError(EpochalError):
    """A run was deleted, while it was read or before."""

    def __init__(self, run: RunId) -> None:
        super().__init__(f"The run {run} was deleted while it was read: what came of it is not complete.")
        self.run = run


# Of a value that is no number.
ValueType = Literal["text", "histogram", "media", "table", "other"]


class LoggedValue(NamedTuple):
    """A value that is no number, as it was logged."""

    step: int
    time: float  # Unix seconds, of the row that wrote it
    type: ValueType
    value: object


class ValueSteps(NamedTuple):
    """Where a key has values that are no numbers.  Arrays have shape (n,)."""

    steps: NDArray[np.int64]  # strictly ascending
    times: NDArray[np.float64]  # Unix seconds
    next_step: int | None  # where to go on; None if there are no more


class MetricX(msgspec.Struct, frozen=True):
    """Another metric of the same run and step as x axis."""

    key: str


XAxis = Literal["step", "time", "relative"] | MetricX


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One chart's worth of series: every key of every run."""

    runs: tuple[RunId, ...]
    keys: tuple[str, ...]
    stream: Stream = "history"
    x: XAxis = "step"
    x_range: tuple[float, float] | None = None  # in units of x, both ends included
    n_buckets: int = 1000


class SeriesInfo(msgspec.Struct, frozen=True):
    """What a series of an answer is."""

    run: RunId
    key: str
    n_points: int  # in the range asked for
    exact: bool  # every bucket is one raw point
    last_step: int | None  # of the whole series


class Buckets(NamedTuple):
    """Spans of neighbouring points, of all series of one query, by (series, x).

    Every array has shape (n,).
    """

    series: NDArray[np.int32]  # index into the answer's `infos`
    x: NDArray[np.float64]  # of the first point
    x_last: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    low: NDArray[np.float64]  # of the finite points; NaN if there are none
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    n_points: NDArray[np.int32]
    n_nan: NDArray[np.int32]
    n_posinf: NDArray[np.int32]
    n_neginf: NDArray[np.int32]


class SeriesAnswer(NamedTuple):
    infos: list[SeriesInfo]
    buckets: Buckets


class GroupQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One chart's worth of groups: every key of every group of runs."""

    groups: tuple[tuple[RunId, ...], ...]
    keys: tuple[str, ...]
    stream: Stream = "history"
    x: XAxis = "step"
    x_range: tuple[float, float] | None = None  # in units of x, both ends included
    n_buckets: int = 1000


class GroupInfo(msgspec.Struct, frozen=True):
    """What a line of a group is."""

    group: int  # index into the query's `groups`
    key: str
    n_runs: int  # that have a value somewhere in the range
    exact: bool  # every bucket is one x


class GroupBuckets(NamedTuple):
    """Cells of x and what the runs of a group have there, of all groups and keys of one query.

    Every array has shape (n,).  Statistics are over the runs' values: one a run, however often it logs.
    """

    series: NDArray[np.int32]  # index into the answer's `infos`
    x: NDArray[np.float64]  # where the cell begins
    x_last: NDArray[np.float64]  # where it ends; the same x if the answer is exact
    mean: NDArray[np.float64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]  # of all the runs' points, not of their values only
    high: NDArray[np.float64]
    std: NDArray[np.float64]  # of a sample: over n_runs - 1; NaN of one run
    stderr: NDArray[np.float64]  # std / sqrt(n_runs)
    n_runs: NDArray[np.int32]  # that have a value
    n_points: NDArray[np.int32]
    n_nan: NDArray[np.int32]
    n_posinf: NDArray[np.int32]
    n_neginf: NDArray[np.int32]


class GroupAnswer(NamedTuple):
    infos: list[GroupInfo]
    buckets: GroupBuckets


class KeyInfo(msgspec.Struct, frozen=True):
    """A key of one run, or of several runs together."""

    key: str
    type: Literal["number", "histogram", "media", "text", "other"]
    count: int  # points written; a step written twice counts twice until it is compacted
    n_runs: int
    first_step: int | None
    last_step: int | None


class ConsoleLine(msgspec.Struct, frozen=True, omit_defaults=True):
    sequence: int  # per run, counting from 0
    time: float
    stream: str
    text: str
    label: str | None = None  # of the writer, in a run of many


class RunCopy(Protocol):
    """A copy of a run in another store, being made.  Not thread-safe."""

    def catch_up(self, tell: Callable[[int], None] = ...) -> int:
        """Copy what was not copied yet, all of the run at first; return how many blocks of it there were.

        Args:
            tell: is called with the bytes that were copied since, now and then; what it raises ends the copy.

        Raises:
            RunGoneError: the run was deleted meanwhile.
        """

    def finish(self) -> None:
        """Copy what is left, and show the run in the target: all of it at once, durably, on return.

        No block of the run may be appended meanwhile.

        Raises:
            RunGoneError: the run was deleted meanwhile.
        """


class MetricStore(Protocol):
    """The history of the runs of one project."""

    def append(self, blocks: Sequence[Block]) -> None:
        """Store `blocks`; durable on return.

        A block that is there already is skipped.  Steps must be placed (`Block.unplaced` is None).  A
        writer's first block begins at offset 0: it covers the run log's magic and header too.

        Raises:
            GapError: a block does not begin where its writer's last one ended; nothing was stored.
            BlockError: a block's arrays do not fit together, its steps are not placed, or one is negative;
                nothing was stored.
            DeletedRunError: a block's run was deleted for good; nothing was stored.
        """

    def end_offset(self, run: RunId, writer: WriterId) -> int:
        """Return the offset at which the writer's next block must begin; 0 before the first."""

    def blocks_from(self, run: RunId, writer: WriterId, offset: int) -> Iterator[Block]:
        """Yield the stored blocks of a writer that begin at `offset` or later, in order.

        Blocks that end before a released offset (see `release`) may come back without rows and columns.
        """

    def release(self, run: RunId, writer: WriterId, offset: int) -> None:
        """Say that nobody will ask `blocks_from` for rows before `offset` again.

        Until then the rows of a block are kept beside the series made from them, so that metadata that
        lags after a crash can be brought up to date.
        """

    def read_series(self, query: SeriesQuery) -> SeriesAnswer:
        """Return the series of every key of every run of `query`, run by run, in the order asked for.

        A series with at most `n_buckets` points in range comes point by point.  Otherwise its points come in
        at most `n_buckets` buckets, those of one key on one grid for all runs of the query, whatever other
        keys it names; every bucket tells exactly about the points from its `x` to its `x_last`, no point is
        left out, and a bucket begins in the grid's cell that it stands for.  One point beyond each end of
        the range comes along; it does not count in `SeriesInfo.n_points`.  Points whose x is not finite have
        no place and are left out.

        In the stream `system` a point's step is its Unix time in whole microseconds.
        """

    def read_groups(self, query: GroupQuery) -> GroupAnswer:
        """Return every key of every group of `query`, group by group, in the order asked for.

        A key is cut in the same cells for all groups: `n_buckets` of equal width, or, where every run comes
        point by point and they have at most `n_buckets` different x together, those x and the ends of the
        range.  A run's value in a cell is the mean of its finite points there.  In a cell where it has none
        but that lies between two where it has one, it is on the straight line between their values, from
        middle to middle; the point beyond each end of the range, if it is finite, counts as such a cell.
        So runs that log at different rates weigh the same, and a run takes part only from its first point to
        its last.  A cell in which no run has a value is left out, unless it has points that are not finite.
        """

    def scan_rows(
        self,
        run: RunId,
        keys: Sequence[str] | None = None,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> Iterator[Row]:
        """Yield every row exactly, in step order, merged over writers: last write wins per (key, step).

        The rows of `scan_batches`, one by one.
        """

    def scan_batches(
        self,
        run: RunId,
        keys: Sequence[str] | None = None,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> Iterator[RowBatch]:
        """Yield every row exactly, in step order, in batches of bounded memory.

        Nothing of the store is held between two batches, however long the caller takes.  So each batch shows
        the run as it is when it is read: rows behind the last one that there was at the beginning are left
        out, a row that is written over meanwhile comes with its old values or with its new ones, and no row
        comes twice.

        Args:
            run: whose rows.
            keys: rows come with these only, and rows that have none of them are left out; None for all.
            stream: which of its rows.
            first_step: the first one to come, included.
            last_step: the last one to come, included.

        Raises:
            RunGoneError: the run was deleted between two batches.
        """

    def column_types(
        self, run: RunId, keys: Sequence[str] | None = None, *, stream: Stream = "history"
    ) -> dict[str, ColumnType]:
        """Return the narrowest type that holds every value of each key, in the order the keys came up.

        Whole numbers among others count as "float"; None goes with every type.  A value that was written over
        may still count.

        Args:
            run: whose keys.
            keys: these only, those that the run has; None for all.
            stream: which of its rows.
        """

    def value_steps(
        self,
        run: RunId,
        key: str,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
        limit: int = 1000,
    ) -> ValueSteps:
        """Return the first steps at which a key has values that are no numbers, without reading these.

        Args:
            run: whose key.
            key: of the values.
            stream: in which of the run's streams.
            first_step: the first one to come, included.
            last_step: the last one to come, included.
            limit: at most so many; there may be fewer with more to come, which `next_step` tells.
        """

    def values(
        self,
        run: RunId,
        key: str,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
        limit: int = 100,
        max_bytes: int = 4 << 20,
    ) -> tuple[list[LoggedValue], int | None]:
        """Return the first values of a key that are no numbers, and the step to go on from; None at the end.

        No number is read.

        Args:
            run: whose key.
            key: of the values.
            stream: in which of the run's streams.
            first_step: the first one to come, included.
            last_step: the last one to come, included.
            limit: at most so many; there may be fewer with more to come.
            max_bytes: at most so many of msgpack, unless the first value alone has more.
        """

    def keys(self, runs: Sequence[RunId] | None = None, *, stream: Stream = "history") -> list[KeyInfo]:
        """Return the keys of `runs` together, by key; None for all runs of the project."""

    def key_names(self, *, stream: Stream = "history") -> KeyNames:
        """Return the names of all keys that runs of the project have, to be searched."""

    def key_infos(self, keys: Sequence[str], *, stream: Stream = "history") -> list[KeyInfo]:
        """Return what all runs together have of each of `keys`, in their order; unknown ones are left out.

        After runs were deleted, the first and the last step may still be theirs, until none that has the key
        is left.
        """

    def console(
        self, run: RunId, *, after: int | None = None, before: int | None = None, limit: int = 1000
    ) -> tuple[list[ConsoleLine], int]:
        """Return at most `limit` lines in order, and how many there are in all.

        A line gets its sequence number when its first character is written and keeps it; the text of a line
        without an end yet may still grow.

        Args:
            after: the first lines whose sequence is higher.
            before: the last lines whose sequence is lower; with `after` too, the first ones between.
            limit: neither given, the newest ones.
        """

    def delete_run(self, run: RunId, *, for_good: bool = False) -> None:
        """Forget the run at once; its space comes back in the background.

        Args:
            run: which.
            for_good: blocks of it that come later, from a sender who does not know, are refused.  Otherwise
                they begin a new run of that id.
        """

    def copy_run(self, run: RunId, target: MetricStore) -> AbstractContextManager[RunCopy]:
        """Begin to copy all that there is of a run to `target`, another store of the same engine.

        Both are read and written as ever meanwhile.  `target` shows nothing of it before `RunCopy.finish`; if
        that is not called, or anything fails, what was copied goes away again, after a restart too.

        Args:
            run: which; it stays where it is.
            target: where there must be no run of that id.

        Raises:
            RunGoneError: there is no such run.
            UnsupportedError: the stores are of two engines.
        """

    def is_deleted(self, run: RunId) -> bool:
        """Return whether a run of this id was deleted for good."""

    def sizes(self, runs: Sequence[RunId] | None = None) -> dict[RunId, int]:
        """Return the bytes that each of `runs` takes, those that there are; None for all.

        What an engine needs to find them again (indexes, the rest of a page) is not in it: see `disk_bytes`.
        """

    def disk_bytes(self) -> int:
        """Return the bytes that the whole store takes on the disk now."""

    def close(self) -> None: ...
