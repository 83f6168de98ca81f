"""Which keys there are, of what type, and how many points each has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, cast

import msgspec

from epochal.ids import RunId
from epochal.store.metrics.contract import KeyInfo, Stream
from epochal.store.metrics.embedded.chunks import ROWS
from epochal.store.metrics.embedded.points import OTHER, Points
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot

KeyType = Literal["number", "histogram", "media", "text", "other"]

# A key that was logged with several types is shown as the first of these.
_RANK: dict[KeyType, int] = {"number": 0, "histogram": 1, "media": 2, "text": 3, "other": 4}


class KeyStats(msgspec.Struct):
    """What is known of one key so far."""

    type: KeyType
    count: int
    first_step: int
    last_step: int
    runs: set[int]

    def merge(self, other: KeyStats) -> None:
        """Add what `other` knows."""
        self.type = min(self.type, other.type, key=_RANK.__getitem__)
        self.count += other.count
        self.first_step = min(self.first_step, other.first_step)
        self.last_step = max(self.last_step, other.last_step)
        self.runs |= other.runs


def list_keys(snapshot: Snapshot, runs: Sequence[RunId] | None, stream: Stream) -> list[KeyInfo]:
    """Return the keys of `runs` together; see `contract.MetricStore.keys`."""
    if runs is None:
        runs = snapshot.run_ids()
    found: dict[str, KeyStats] = {}
    for run_id in dict.fromkeys(runs):
        run = snapshot.run(run_id)
        if run is not None:
            _gather(found, _of_run(snapshot, run, stream))
    return [
        KeyInfo(
            key=key,
            type=stats.type,
            count=stats.count,
            n_runs=len(stats.runs),
            first_step=stats.first_step,
            last_step=stats.last_step,
        )
        for key, stats in sorted(found.items())
    ]


def type_of(value: object) -> KeyType:
    """Return the type of a value that is no number."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict) and "_type" in value:
        return "histogram" if value["_type"] == "histogram" else "media"
    return "other"


def better_type(known: str, new: KeyType) -> KeyType:
    """Return which of two types a key is shown as; the known one may be empty."""
    known_rank = _RANK.get(cast("KeyType", known))
    return new if known_rank is None or _RANK[new] < known_rank else cast("KeyType", known)


def type_of_points(points: Points) -> KeyType:
    """Return the type of points, of which there is at least one."""
    if (points.kinds != OTHER).any():
        return "number"
    return min({type_of(value) for value in points.values()}, key=_RANK.__getitem__)


def _gather(found: dict[str, KeyStats], more: Iterable[tuple[str, KeyStats]]) -> None:
    for key, stats in more:
        if key in found:
            found[key].merge(stats)
        else:
            found[key] = stats


def _of_run(snapshot: Snapshot, run: RunRow, stream: Stream) -> Iterator[tuple[str, KeyStats]]:
    """Yield what chunks and blocks know of each key; a key may come several times."""
    series = snapshot.chunks.series_of_run(run.run_no, STREAM_NUMBERS[stream])
    through: dict[str, int] = {}
    for (kind, key), row in series.items():
        if kind != ROWS:
            through[key] = max(through.get(key, 0), row.through)
            if row.n_points and row.first_step is not None and row.last_step is not None:
                key_type = cast("KeyType", row.type)
                yield key, KeyStats(key_type, row.n_points, row.first_step, row.last_step, {run.run_no})
    for block_no, block in snapshot.numbered_tail(run):
        table = block.table(stream)
        for key in table.keys():  # noqa: SIM118  not a dict
            points = table.points(key) if block_no > through.get(key, 0) else ()
            if points:
                steps = points.steps
                yield (
                    key,
                    KeyStats(
                        type_of_points(points), len(points), int(steps.min()), int(steps.max()), {run.run_no}
                    ),
                )
