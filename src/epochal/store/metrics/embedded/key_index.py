"""The keys of a whole project: names kept in memory for searching, figures looked up for those shown.

Names and figures of what is in chunks come from the table `keys`.  What runs have in blocks beyond that is
added from the blocks; blocks of the same keys share these, so a run that logs ten thousand keys costs one
look at each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import cast
from weakref import WeakSet

import msgspec

from epochal.store.metrics.contract import KeyInfo, Stream
from epochal.store.metrics.embedded.blocks import KeySet, Table, sheet_rows
from epochal.store.metrics.embedded.keys import KeyStats, KeyType, list_keys, type_of_points
from epochal.store.metrics.embedded.snapshot import STREAM_NUMBERS, RunRow, Snapshot
from epochal.store.metrics.key_names import KeyNames

# Runs with blocks that are in no chunk: by the index of such blocks, not run by run.
_TAIL_RUNS = """
    SELECT DISTINCT blocks.run_no FROM blocks INDEXED BY whole_blocks_of_run CROSS JOIN runs
    ON runs.run_no = blocks.run_no WHERE is_stripped = 0 AND block_no > runs.through AND run_id IS NOT NULL
"""


class _Known(msgspec.Struct):
    """The names of one stream, and how they came to be known."""

    names: KeyNames
    last_key_no: int  # of the table
    in_blocks: set[str]  # those that the table did not have yet
    seen: WeakSet[KeySet]  # whose names are all known


class KeyIndex:
    """Keeps the names of one file's keys.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Stream, _Known] = {}

    def names(self, snapshot: Snapshot, stream: Stream) -> KeyNames:
        """Return the names of all keys that any run has; see `contract.MetricStore.key_names`."""
        if _has_deleted_runs(snapshot):
            # Their series are still counted in the table.
            self.forget()
            return KeyNames.of(info.key for info in list_keys(snapshot, None, stream))
        with self._lock:
            known = self._known.get(stream)
            if known is None:
                known = self._known[stream] = _Known(KeyNames.of([]), 0, set(), WeakSet())
            new = [*_new_in_table(snapshot, stream, known), *_new_in_blocks(snapshot, stream, known)]
            if new:
                known.names = known.names.with_names(new)
            return known.names

    def forget(self) -> None:
        """Forget all names: some of them may be gone."""
        with self._lock:
            self._known.clear()


def key_infos(snapshot: Snapshot, keys: Sequence[str], stream: Stream) -> list[KeyInfo]:
    """Return what is known of each of `keys`; see `contract.MetricStore.key_infos`."""
    if _has_deleted_runs(snapshot):
        wanted = set(keys)
        infos = {info.key: info for info in list_keys(snapshot, None, stream) if info.key in wanted}
        return [infos[key] for key in keys if key in infos]
    found = _in_table(snapshot, keys, stream)
    for run in _tail_runs(snapshot):
        _add_tail(found, snapshot, run, keys, stream)
    return [
        KeyInfo(
            key=key,
            type=stats.type,
            count=stats.count,
            n_runs=n_runs,
            first_step=stats.first_step,
            last_step=stats.last_step,
        )
        for key in keys
        if key in found
        for stats, n_runs in [found[key]]
    ]


_Found = dict[str, tuple[KeyStats, int]]  # figures, runs


def _has_deleted_runs(snapshot: Snapshot) -> bool:
    row = snapshot.connection.execute("SELECT 1 FROM runs WHERE run_id IS NULL LIMIT 1").fetchone()
    return row is not None


def _tail_runs(snapshot: Snapshot) -> list[RunRow]:
    runs = [snapshot.run_numbered(run_no) for (run_no,) in snapshot.connection.execute(_TAIL_RUNS).fetchall()]
    return [run for run in runs if run is not None]


def _new_in_table(snapshot: Snapshot, stream: Stream, known: _Known) -> list[str]:
    rows = snapshot.connection.execute(
        "SELECT key_no, key FROM keys WHERE key_no > ? AND stream = ? ORDER BY key_no",
        (known.last_key_no, STREAM_NUMBERS[stream]),
    ).fetchall()
    if not rows:
        return []
    known.last_key_no = rows[-1][0]
    new = [key for _, key in rows if key not in known.in_blocks]
    known.in_blocks.difference_update([key for _, key in rows])
    return new


def _new_in_blocks(snapshot: Snapshot, stream: Stream, known: _Known) -> list[str]:
    candidates: dict[str, None] = {}
    for run in _tail_runs(snapshot):
        for _, block in snapshot.numbered_tail(run):
            table = block.table(stream)
            candidates.update(dict.fromkeys(table.others))
            for sheet in table.sheets:
                if sheet.keys not in known.seen:
                    known.seen.add(sheet.keys)
                    candidates.update(dict.fromkeys(sheet.keys.names))
    names = [name for name in candidates if name not in known.in_blocks]
    in_table = _in_table(snapshot, names, stream) if names else {}
    new = [name for name in names if name not in in_table]
    known.in_blocks.update(new)
    return new


def _in_table(snapshot: Snapshot, keys: Sequence[str], stream: Stream) -> _Found:
    rows = snapshot.connection.execute(
        "SELECT key, type, n_points, n_runs, first_step, last_step FROM keys "
        "WHERE stream = ? AND key IN (SELECT value FROM json_each(?))",
        (STREAM_NUMBERS[stream], msgspec.json.encode(list(keys)).decode()),
    )
    return {
        key: (KeyStats(cast("KeyType", key_type), n_points, first_step, last_step, set()), n_runs)
        for key, key_type, n_points, n_runs, first_step, last_step in rows
    }


def _add_tail(found: _Found, snapshot: Snapshot, run: RunRow, keys: Sequence[str], stream: Stream) -> None:
    """Add what a run has in blocks beyond its chunks."""
    tail: dict[str, KeyStats] = {}
    rows = snapshot.connection.execute(
        "SELECT key, max(through), max(n_points) FROM series WHERE run_no = ? AND stream = ? "
        "AND kind IN (1, 2) AND key IN (SELECT value FROM json_each(?)) GROUP BY key",
        (run.run_no, STREAM_NUMBERS[stream], msgspec.json.encode(list(keys)).decode()),
    ).fetchall()
    through = {key: number for key, number, _ in rows if number > run.through}
    for stats in _of_blocks(snapshot, run, keys, stream, through):
        key, new = stats
        if key in tail:
            tail[key].merge(new)
        else:
            tail[key] = new
    has_points = {key for key, _, n_points in rows if n_points}
    for key, new in tail.items():
        if key in found:
            known, n_runs = found[key]
            known.merge(new)
            found[key] = known, n_runs + (key not in has_points)
        else:
            found[key] = new, 1


def _of_blocks(
    snapshot: Snapshot, run: RunRow, keys: Sequence[str], stream: Stream, through: dict[str, int]
) -> Iterator[tuple[str, KeyStats]]:
    """Yield what blocks say of `keys`, those of the same keys together."""
    together: dict[int, tuple[KeySet, KeyStats]] = {}
    for block_no, block in snapshot.numbered_tail(run):
        table = block.table(stream)
        for sheet in table.sheets:
            steps = table.steps[sheet_rows(table, sheet)]
            if not steps.size:
                continue
            stats = KeyStats("number", steps.size, int(steps.min()), int(steps.max()), set())
            if through:
                yield from _of_each(sheet.keys, stats, keys, block_no, through)
            elif id(sheet.keys) in together:
                together[id(sheet.keys)][1].merge(stats)
            else:
                together[id(sheet.keys)] = sheet.keys, stats
        yield from _of_others(table, keys, block_no, through)
    for names, stats in together.values():
        yield from _of_each(names, stats, keys, 0, {})


def _of_each(
    names: KeySet, stats: KeyStats, keys: Iterable[str], block_no: int, through: dict[str, int]
) -> Iterator[tuple[str, KeyStats]]:
    for key in keys:
        # A pass of the compactor has some keys in chunks before it has all.
        if key in names.at and block_no > through.get(key, -1):
            yield key, KeyStats(stats.type, stats.count, stats.first_step, stats.last_step, set())


def _of_others(
    table: Table, keys: Iterable[str], block_no: int, through: dict[str, int]
) -> Iterator[tuple[str, KeyStats]]:
    for key in keys if table.others else ():
        if key in table.others and block_no > through.get(key, 0):
            for _, points in table.other_points(key):
                if len(points):
                    steps = points.steps
                    first, last = int(steps.min()), int(steps.max())
                    yield key, KeyStats(type_of_points(points), len(points), first, last, set())
