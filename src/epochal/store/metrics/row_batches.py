"""Rows in columns: what an exact scan gives, a bounded number of values at a time.

A column holds only the values that were logged, so a thousand sparse keys cost what they logged and not
their number times the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

FLOAT, INT, BOOL, OTHER = 0, 1, 2, 3  # a value's kind; OTHER is any value that is no number

_decode = msgspec.msgpack.Decoder().decode


class Row(NamedTuple):
    """All that one step logged."""

    step: int
    time: float  # Unix seconds, of the last write to the step
    values: dict[str, object]


class RowColumn(NamedTuple):
    """The values that some rows have for one key.  Every array has shape (n_values,)."""

    key: str
    rows: NDArray[np.intp] | None  # places in the batch, ascending; None if every row has a value
    kinds: NDArray[np.uint8]
    words: NDArray[np.int64]  # the bits of a float64, an int64, 0 or 1; 0 for other values
    objects: NDArray[np.object_] | None  # msgpack of other values, b"" for numbers; None if all are numbers

    def values(self) -> list[object]:
        """Return the values as they were logged."""
        kinds, words = self.kinds, self.words
        is_float = kinds == FLOAT
        if is_float.all():
            return list(words.view(np.float64).tolist())
        if (kinds == INT).all():
            return list(words.tolist())
        values: list[object] = words.view(np.float64).tolist()
        for at in np.flatnonzero(~is_float).tolist():
            values[at] = self._not_float(at)
        return values

    def _not_float(self, at: int) -> object:
        if self.objects is not None and self.kinds[at] == OTHER:
            return _decode(self.objects[at])
        return bool(self.words[at]) if self.kinds[at] == BOOL else int(self.words[at])


class RowBatch(NamedTuple):
    """Rows that follow each other, by step.  Arrays have shape (n_rows,)."""

    steps: NDArray[np.int64]  # strictly ascending
    times: NDArray[np.float64]  # Unix seconds, of the last write to the step
    columns: list[RowColumn]  # of the keys that have a value in any of the rows

    def rows(self) -> Iterator[Row]:
        """Yield the rows one by one."""
        values = self.dicts([column.values() for column in self.columns])
        for step, time, row in zip(self.steps.tolist(), self.times.tolist(), values, strict=True):
            yield Row(step, time, row)

    def dicts(self, values: list[list[object]]) -> list[dict[str, object]]:
        """Return one dictionary a row, of the values that it has.

        Args:
            values: of each column, in its order.
        """
        dense = [i for i, column in enumerate(self.columns) if column.rows is None]
        names = [self.columns[i].key for i in dense]
        rows: list[dict[str, object]]
        if dense:
            rows = [
                dict(zip(names, row, strict=True)) for row in zip(*(values[i] for i in dense), strict=True)
            ]
        else:
            rows = [{} for _ in range(self.steps.size)]
        for column, column_values in zip(self.columns, values, strict=True):
            if column.rows is not None:
                for at, value in zip(column.rows.tolist(), column_values, strict=True):
                    rows[at][column.key] = value
        return rows
