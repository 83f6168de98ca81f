"""What a metric store does, whatever engine is below it.

A store keeps the history of runs: series of numbers by (run, stream, key), other values by
(run, stream, key, step), and console lines.  It learns them from blocks and forgets nothing that it
acknowledged.  Every engine passes the same contract tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from epochal.ids import RunId, WriterId
from epochal.wire.block import Block

Stream = Literal["history", "system"]


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


class KeyInfo(msgspec.Struct, frozen=True):
    """A key of one run, or of several runs together."""

    key: str
    type: Literal["number", "histogram", "media", "text", "other"]
    count: int  # points written; a step written twice counts twice until it is compacted
    n_runs: int
    first_step: int | None
    last_step: int | None


class Row(NamedTuple):
    """All that one step logged."""

    step: int
    time: float  # Unix seconds, of the last write to the step
    values: dict[str, object]


class ConsoleLine(msgspec.Struct, frozen=True):
    sequence: int  # per run, counting from 0
    time: float
    stream: str
    text: str


class MetricStore(Protocol):
    """The history of the runs of one project."""

    def append(self, blocks: Sequence[Block]) -> None:
        """Store `blocks`; durable on return.

        A block that is there already is skipped.  Steps must be placed (`Block.unplaced` is None).

        Raises:
            GapError: a block does not begin where its writer's last one ended; nothing was stored.
        """

    def end_offset(self, run: RunId, writer: WriterId) -> int:
        """Return the offset at which the writer's next block must begin; 0 before the first."""

    def blocks_from(self, run: RunId, writer: WriterId, offset: int) -> Iterator[Block]:
        """Yield the stored blocks of a writer that begin at `offset` or later, in order."""

    def read_series(self, query: SeriesQuery) -> SeriesAnswer: ...

    def scan_rows(
        self,
        run: RunId,
        keys: Sequence[str] | None = None,
        *,
        stream: Stream = "history",
        first_step: int | None = None,
        last_step: int | None = None,
    ) -> Iterator[Row]:
        """Yield every row exactly, in step order, merged over writers: last write wins per (key, step)."""

    def keys(self, runs: Sequence[RunId] | None = None, *, stream: Stream = "history") -> list[KeyInfo]: ...

    def console(
        self, run: RunId, *, after: int | None = None, before: int | None = None, limit: int = 1000
    ) -> tuple[list[ConsoleLine], int]:
        """Return at most `limit` lines, and how many there are in all.

        Without `after` and `before`: the newest ones.
        """

    def delete_run(self, run: RunId) -> None: ...

    def sizes(self) -> dict[RunId, int]:
        """Return the bytes that each run takes."""

    def close(self) -> None: ...
