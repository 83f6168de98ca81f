"""The keys of a whole project: names kept in memory for searching, figures looked up for those shown.

Names and figures of what is in chunks come from the table `keys`.  What runs have in blocks beyond that is
added from the blocks; blocks of the same keys share these, so a run that logs ten thousand keys costs one
look at each.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast
from weakref import WeakSet

import msgspec

from epochal.errors import DamagedStoreError
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


class _Digest(msgspec.Struct, frozen=True):
    """What one block says of its keys, in few objects."""

    sheets: list[tuple[KeySet, KeyStats]]  # every key of the set has these figures
    others: list[tuple[str, KeyStats]]


class _Known(msgspec.Struct):
    """The names of one stream, and how they came to be known."""

    names: KeyNames
    last_key_no: int  # of the table
    in_blocks: set[str]  # those that the table did not have yet
    seen: WeakSet[KeySet]  # whose names are all known
    digests: dict[int, _Digest]  # of blocks that are in no chunk, by number


class KeyIndex:
    """Keeps the names of one file's keys, and what its newest blocks say of them.  Thread-safe."""

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
            known = self._of(stream)
            tail = _tail(snapshot, stream, known)
            new = [*_new_in_table(snapshot, stream, known), *_new_in_blocks(snapshot, stream, known, tail)]
            if new:
                known.names = known.names.with_names(new)
            return known.names

    def infos(self, snapshot: Snapshot, keys: Sequence[str], stream: Stream) -> list[KeyInfo]:
        """Return what is known of each of `keys`; see `contract.MetricStore.key_infos`."""
        if _has_deleted_runs(snapshot):
            wanted = set(keys)
            infos = {info.key: info for info in list_keys(snapshot, None, stream) if info.key in wanted}
            return [infos[key] for key in keys if key in infos]
        with self._lock:
            tail = _tail(snapshot, stream, self._of(stream))
        found = _in_table(snapshot, keys, stream)
        for run, digests in tail:
            _add_tail(found, snapshot, run, digests, keys, stream)
        return [_info(key, *found[key]) for key in keys if key in found]

    def forget(self) -> None:
        """Forget all names: some of them may be gone."""
        with self._lock:
            self._known.clear()

    def _of(self, stream: Stream) -> _Known:
        known = self._known.get(stream)
        if known is None:
            known = self._known[stream] = _Known(KeyNames.of([]), 0, set(), WeakSet(), {})
        return known


def _info(key: str, stats: KeyStats, n_runs: int) -> KeyInfo:
    return KeyInfo(
        key=key,
        type=stats.type,
        count=stats.count,
        n_runs=n_runs,
        first_step=stats.first_step,
        last_step=stats.last_step,
    )


_Found = dict[str, tuple[KeyStats, int]]  # figures, runs


def _has_deleted_runs(snapshot: Snapshot) -> bool:
    row = snapshot.connection.execute("SELECT 1 FROM runs WHERE run_id IS NULL LIMIT 1").fetchone()
    return row is not None


_Tail = list[tuple[RunRow, list[tuple[int, _Digest]]]]


def _tail(snapshot: Snapshot, stream: Stream, known: _Known) -> _Tail:
    """Return what blocks that are in no chunk say, run by run; each block is decoded once, and not kept."""
    tail: _Tail = []
    digests: dict[int, _Digest] = {}
    for (run_no,) in snapshot.connection.execute(_TAIL_RUNS).fetchall():
        run = snapshot.run_numbered(run_no)
        if run is None:
            continue
        numbers = snapshot.tail_numbers(run)
        # One damaged run must not take the project's list with it; its own queries tell of it.
        with contextlib.suppress(DamagedStoreError):
            for number in numbers:
                digests[number] = known.digests.get(number) or _digest(snapshot.block(number).table(stream))
        tail.append((run, [(number, digests[number]) for number in numbers if number in digests]))
    known.digests = digests
    return tail


def _digest(table: Table) -> _Digest:
    sheets = []
    for sheet in table.sheets:
        steps = table.steps[sheet_rows(table, sheet)]
        if steps.size:
            stats = KeyStats("number", steps.size, int(steps.min()), int(steps.max()), set())
            sheets.append((sheet.keys, stats))
    others = []
    for key in table.others:
        for _, points in table.other_points(key):
            if len(points):
                first, last = int(points.steps.min()), int(points.steps.max())
                others.append((key, KeyStats(type_of_points(points), len(points), first, last, set())))
    return _Digest(sheets, others)


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


def _new_in_blocks(snapshot: Snapshot, stream: Stream, known: _Known, tail: _Tail) -> list[str]:
    candidates: dict[str, None] = {}
    for digest in (digest for _, digests in tail for _, digest in digests):
        candidates.update(dict.fromkeys(key for key, _ in digest.others))
        for keys, _ in digest.sheets:
            if keys not in known.seen:
                known.seen.add(keys)
                candidates.update(dict.fromkeys(keys.names))
    names = [name for name in candidates if name not in known.in_blocks]
    in_table = _in_table(snapshot, names, stream) if names else {}
    new = [name for name in names if name not in in_table]
    known.in_blocks.update(new)
    return new


def _in_table(snapshot: Snapshot, keys: Sequence[str], stream: Stream) -> _Found:
    rows = _of_keys(
        snapshot,
        "SELECT key, type, n_points, n_runs, first_step, last_step FROM keys WHERE stream = ?",
        (STREAM_NUMBERS[stream],),
        keys,
    )
    return {
        key: (KeyStats(cast("KeyType", key_type), n_points, first_step, last_step, set()), n_runs)
        for key, key_type, n_points, n_runs, first_step, last_step in rows
    }


def _of_keys(
    snapshot: Snapshot, statement: str, values: tuple[int, ...], keys: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `statement`, which ends in a condition, whose key is one of `keys`."""
    execute = snapshot.connection.execute
    as_json = msgspec.json.encode([key for key in keys if "\0" not in key]).decode()
    of_json = statement + " AND key IN (SELECT value FROM json_each(?))"  # noqa: S608  (of constants only)
    yield from execute(of_json, (*values, as_json))
    # SQLite ends a text that comes as JSON at its first NUL.
    for key in (key for key in keys if "\0" in key):
        yield from execute(statement + " AND key = ?", (*values, key))


def _add_tail(
    found: _Found,
    snapshot: Snapshot,
    run: RunRow,
    digests: Sequence[tuple[int, _Digest]],
    keys: Sequence[str],
    stream: Stream,
) -> None:
    """Add what a run has in blocks beyond its chunks."""
    statement = "SELECT key, through, n_points FROM series WHERE run_no = ? AND stream = ? AND kind IN (1, 2)"
    rows = list(_of_keys(snapshot, statement, (run.run_no, STREAM_NUMBERS[stream]), keys))
    # A pass of the compactor has some keys in chunks before it has all.
    through: dict[str, int] = {}
    for key, number, _ in rows:
        if number > run.through:
            through[key] = max(number, through.get(key, 0))
    tail: dict[str, KeyStats] = {}
    for key, stats in _of_digests(digests, keys, through):
        if key in tail:
            tail[key].merge(stats)
        else:
            tail[key] = _copy(stats)
    has_points = {key for key, _, n_points in rows if n_points}
    for key, stats in tail.items():
        if key in found:
            known, n_runs = found[key]
            known.merge(stats)
            found[key] = known, n_runs + (key not in has_points)
        else:
            found[key] = stats, 1


def _of_digests(
    digests: Sequence[tuple[int, _Digest]], keys: Sequence[str], through: dict[str, int]
) -> Iterator[tuple[str, KeyStats]]:
    """Yield what blocks say of `keys`; blocks of the same keys are taken together where that is right."""
    together: dict[int, tuple[KeySet, KeyStats]] = {}
    asked = set(keys)
    for number, digest in digests:
        for names, stats in digest.sheets:
            if through:
                yield from ((k, stats) for k in keys if k in names.at and number > through.get(k, 0))
            elif id(names) in together:
                together[id(names)][1].merge(stats)
            else:
                together[id(names)] = names, _copy(stats)
        yield from ((k, stats) for k, stats in digest.others if k in asked and number > through.get(k, 0))
    for names, stats in together.values():
        yield from ((key, stats) for key in keys if key in names.at)


def _copy(stats: KeyStats) -> KeyStats:
    return KeyStats(stats.type, stats.count, stats.first_step, stats.last_step, set())
