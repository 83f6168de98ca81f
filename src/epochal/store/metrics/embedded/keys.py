"""Which keys there are, of what type, and how many points each has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from epochal.ids import RunId
from epochal.store.metrics.contract import KeyInfo, Stream
from epochal.store.metrics.embedded.blocks import Table
from epochal.store.metrics.embedded.points import OTHER, Points
from epochal.store.metrics.embedded.snapshot import Snapshot

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
        runs = [
            RunId(row[0])
            for row in snapshot.connection.execute("SELECT run_id FROM runs WHERE run_id IS NOT NULL")
        ]
    found: dict[str, KeyStats] = {}
    for run_id in dict.fromkeys(runs):
        run = snapshot.run(run_id)
        if run is not None:
            for block in snapshot.tail(run):
                _gather(found, _of_table(block.table(stream), run.run_no))
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


def _of_table(table: Table, run_no: int) -> Iterable[tuple[str, KeyStats]]:
    for key in table.columns:
        points = table.points(key)
        if len(points):
            steps = points.steps
            yield (
                key,
                KeyStats(type_of_points(points), len(points), int(steps.min()), int(steps.max()), {run_no}),
            )
