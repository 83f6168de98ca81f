"""The blocks of a run that are not in chunks, read one at a time and only where steps are asked for.

A run can have any amount of such blocks, for instance after a restart in the middle of a burst of large
texts.  So what is kept of each is where its steps lie; its rows are decoded again by every window that they
are in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epochal.store.metrics.contract import Stream
from epochal.store.metrics.embedded.blocks import Table, encode_value
from epochal.store.metrics.embedded.points import OTHER, Points, concat, step_slice
from epochal.store.metrics.embedded.snapshot import RunRow, Snapshot
from epochal.wire.block import Column

Cut = slice | NDArray[np.bool_]  # of a table's rows, or of a column's values
Part = tuple[NDArray[np.integer], Points]  # points and their rows


class TailSpan(NamedTuple):
    """Where the rows of one block are."""

    block_no: int
    first_step: int
    last_step: int
    is_wanted: bool  # it has one of the keys asked for


class TailTable:
    """The rows of one block in one stream, to be cut out by steps."""

    def __init__(self, table: Table) -> None:
        self.table = table
        steps = table.steps
        self._is_ascending = bool((steps[1:] >= steps[:-1]).all())

    def rows(self, first_step: int, last_step: int) -> Points:
        """Return one point a row from `first_step` to `last_step`, without values, as they were written."""
        cut = self._cut(first_step, last_step)
        steps, times = self.table.steps[cut], self.table.times[cut]
        return Points(
            steps, times, np.zeros(steps.size, np.uint8), np.zeros(steps.size, np.int64), objects=None
        )

    def points(
        self, keys: Sequence[str] | None, is_asked: Callable[[str], bool], first_step: int, last_step: int
    ) -> Iterator[tuple[str, Points]]:
        """Yield the points of each key that has any in the range, as they were written.

        Args:
            keys: to look for; None for all.
            is_asked: says of a key whether to yield it.
            first_step: of the points.
            last_step: of the points, included.
        """
        cut = self._cut(first_step, last_step)
        parts: dict[str, list[Part]] = {}
        for key, part in itertools.chain(
            self._numbers(keys, is_asked, cut), self._others(keys, is_asked, cut)
        ):
            parts.setdefault(key, []).append(part)
        for key, of_key in parts.items():
            if len(of_key) == 1:
                yield key, of_key[0][1]
            else:
                in_order = np.argsort(np.concatenate([rows for rows, _ in of_key]), kind="stable")
                yield key, concat([points for _, points in of_key]).at(in_order)

    def _cut(self, first_step: int, last_step: int) -> Cut:
        steps = self.table.steps
        if self._is_ascending:
            return slice(*step_slice(steps, first_step, last_step))
        return (steps >= first_step) & (steps <= last_step)

    def _numbers(
        self, keys: Sequence[str] | None, is_asked: Callable[[str], bool], cut: Cut
    ) -> Iterator[tuple[str, Part]]:
        for sheet in self.table.sheets:
            names = sheet.keys.names if keys is None else [key for key in keys if key in sheet.keys.at]
            names = [name for name in names if is_asked(name)]
            rows, which = self._rows_of(sheet.rows, cut)
            if not names or not rows.size:
                continue
            steps, times = self.table.steps[rows], self.table.times[rows]
            # A view would keep the whole block in memory for a few of its values.
            words = sheet.words[:, which].copy() if keys is None else sheet.words
            kinds = {kind: np.full(rows.size, kind, np.uint8) for kind in set(sheet.kinds)}
            for name in names:
                place = sheet.keys.at[name]
                own = words[place] if keys is None else words[place, which].copy()
                yield name, (rows, Points(steps, times, kinds[sheet.kinds[place]], own, objects=None))

    def _others(
        self, keys: Sequence[str] | None, is_asked: Callable[[str], bool], cut: Cut
    ) -> Iterator[tuple[str, Part]]:
        for name in self.table.others if keys is None else keys:
            for column in self.table.others.get(name, []) if is_asked(name) else []:
                rows, which = self._rows_of(_indices(column), cut)
                if rows.size:
                    objects = _encoded(column.values, which)
                    none = np.zeros(rows.size, np.int64)
                    steps, times = self.table.steps[rows], self.table.times[rows]
                    yield (
                        name,
                        (rows, Points(steps, times, np.full(rows.size, OTHER, np.uint8), none, objects)),
                    )

    def _rows_of(self, indices: NDArray[np.uint32] | None, cut: Cut) -> tuple[NDArray[np.integer], Cut]:
        """Return the rows in `cut` among those at `indices`, and where they are among them."""
        if indices is None:
            return np.arange(self.table.steps.size)[cut], cut
        if not isinstance(cut, slice):
            is_in = cut[indices]
            return indices[is_in], is_in
        inside = slice(*np.searchsorted(indices, [cut.start, cut.stop]).tolist())
        return indices[inside], inside


def _indices(column: Column) -> NDArray[np.uint32] | None:
    return None if column.rows is None else np.frombuffer(column.rows, "<u4")


def _encoded(values: Sequence[object], which: Cut) -> NDArray[np.object_]:
    places = range(len(values))[which] if isinstance(which, slice) else np.flatnonzero(which).tolist()
    objects = np.empty(len(places), np.object_)
    objects[:] = [encode_value(values[at]) for at in places]
    return objects


def _has(table: Table, key: str) -> bool:
    return key in table.others or any(key in sheet.keys.at for sheet in table.sheets)


class TailBlocks:
    """What is known of a run's blocks while it is read, from one snapshot to the next.

    Args:
        stream: which of the run's rows.
        keys: that are asked for; None for all.
    """

    def __init__(self, stream: Stream, keys: Collection[str] | None) -> None:
        self._stream: Stream = stream
        self._keys = keys
        self._known: dict[int, TailSpan | None] = {}
        self._last: tuple[int, TailTable] | None = None

    def look(self, snapshot: Snapshot, run: RunRow) -> None:
        """Take note of the blocks that are in no chunk now."""
        numbers = snapshot.tail_numbers(run)
        known = self._known
        self._known = {no: known[no] if no in known else self._span(snapshot, no) for no in numbers}

    def spans(self) -> list[TailSpan]:
        """Return the blocks that have rows, in order of arrival."""
        return [span for span in self._known.values() if span is not None]

    def table(self, snapshot: Snapshot, block_no: int) -> TailTable:
        """Return the rows of a block.  The last one is kept: a large block is in several windows."""
        if self._last is None or self._last[0] != block_no:
            self._last = block_no, TailTable(snapshot.block(block_no).table(self._stream))
        return self._last[1]

    def _span(self, snapshot: Snapshot, block_no: int) -> TailSpan | None:
        table = snapshot.block(block_no).table(self._stream)
        if not table.steps.size:
            return None
        is_wanted = self._keys is None or any(_has(table, key) for key in self._keys)
        return TailSpan(block_no, int(table.steps.min()), int(table.steps.max()), is_wanted)
