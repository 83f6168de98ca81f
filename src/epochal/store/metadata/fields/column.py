"""One field of all runs of a project, as arrays.

What runs say under one name need not be of one type, so a column has the kind of every cell beside its
number or its text.  Texts are kept once each and cells hold their places: a predicate looks at each text
once, however many runs have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epochal.store.metadata.fields.cells import MAX_TEXT, Kind, cell

_HAS_NUMBER = (Kind.BOOL, Kind.NUMBER)
_HAS_TEXT = (Kind.TEXT, Kind.LIST)


class Cells(NamedTuple):
    """Values of one field.  Every array has shape (n,)."""

    kinds: NDArray[np.uint8]
    numbers: NDArray[np.float64] | None  # of the cells with a number, in place; None if there are none
    codes: NDArray[np.int32] | None  # places in `texts` of the cells with a text; None if there are none
    texts: list[str]


class Texts:
    """Texts by number, each once.  It only grows, so that columns of several moments share one."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self._codes: dict[str, int] = {}
        self.n_characters = 0

    def codes(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return the numbers of `texts`; those that are new get one."""
        known, items = self._codes, self.items
        for text in texts:
            if text not in known:
                known[text] = len(items)
                items.append(text)
                self.n_characters += len(text)
        return np.fromiter((known[text] for text in texts), np.int32, len(texts))


class Column:
    """One field of n runs; never changes.

    Attributes:
        kinds: `Kind` of each cell.
        numbers: of cells of the kinds BOOL (0 or 1) and NUMBER; NaN in the others.
        codes: of cells of the kinds TEXT and LIST (as JSON), places in `texts`; -1 in the others.
        texts: every text that occurs, and perhaps some that do not.
    """

    def __init__(
        self,
        kinds: NDArray[np.uint8],
        numbers: NDArray[np.float64] | None,
        codes: NDArray[np.int32] | None,
        texts: Texts,
        older: Column | None = None,
    ) -> None:
        self.kinds = kinds
        self._numbers = numbers
        self._codes = codes
        self._texts = texts
        self.n_texts = len(texts.items)
        self._sorted: list[str] | None = None
        self._ranks: NDArray[np.int32] | None = None
        # Of an earlier moment: the order of the first of the texts.
        self._sorted_before: list[str] = []
        if older is not None and older._texts is texts:
            self._sorted_before = older._sorted or older._sorted_before

    def __len__(self) -> int:
        return self.kinds.size

    @property
    def n_bytes(self) -> int:
        """Roughly what it takes in memory."""
        arrays = [array.nbytes for array in (self.kinds, self._numbers, self._codes) if array is not None]
        # A text's object, its entry in a list and one in a dict; again for its place in the order.
        return sum(arrays) + self._texts.n_characters + 180 * self.n_texts

    @property
    def has_numbers(self) -> bool:
        """Whether any cell holds a number."""
        return self._numbers is not None

    @property
    def has_texts(self) -> bool:
        """Whether any cell holds a text or a list."""
        return self._codes is not None

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The numbers, NaN where there is none."""
        return np.full(len(self), np.nan) if self._numbers is None else self._numbers

    @property
    def codes(self) -> NDArray[np.int32]:
        """The places of the texts, -1 where there is none."""
        return np.full(len(self), -1, np.int32) if self._codes is None else self._codes

    @property
    def texts(self) -> list[str]:
        """The texts by place."""
        return self._texts.items[: self.n_texts]

    def text_at(self, place: int) -> str:
        """Return the text, or the list as JSON, of one cell that has one."""
        return self._texts.items[int(self.codes[place])]

    def rank_texts(self) -> NDArray[np.int32]:
        """Return the place of each text among all of them in order of their code points, shape (n_texts,)."""
        if self._ranks is None:
            place = {text: rank for rank, text in enumerate(self.sorted_texts())}
            self._ranks = np.fromiter((place[text] for text in self.texts), np.int32, self.n_texts)
        return self._ranks

    def sorted_texts(self) -> list[str]:
        """Return the texts in order of their code points."""
        if self._sorted is None:
            done, self._sorted_before = self._sorted_before, []
            # Nearly in order already, which the sort takes advantage of.
            self._sorted = sorted([*done, *self._texts.items[len(done) : self.n_texts]])
        return self._sorted

    def changed(self, n_runs: int, slots: NDArray[np.int64], values: Sequence[Any]) -> Column:
        """Return the column for `n_runs` with other values at `slots`; itself if they are no others.

        Args:
            n_runs: not fewer than before; what is not named is missing.
            slots: shape (k,), each once.
            values: k of them, as a user logged them, or MISSING.
        """
        cells = encode_cells(values)
        builder = ColumnBuilder(n_runs, self)
        builder.put(slots, cells)
        if n_runs == len(self) and builder.is_like(self, slots):
            return self
        return builder.column(self)


class ColumnBuilder:
    """Puts a column together from pieces.

    Args:
        n_runs: cells of the column; missing until they are put.
        start: a column to begin with, of as many runs or fewer.
    """

    def __init__(self, n_runs: int, start: Column | None = None) -> None:
        self._kinds = np.zeros(n_runs, np.uint8)
        self._numbers: NDArray[np.float64] | None = None
        self._codes: NDArray[np.int32] | None = None
        self._texts = Texts()
        if start is None:
            return
        self._kinds[: len(start)] = start.kinds
        if start.has_numbers:
            self._numbers = _padded(start.numbers, n_runs, np.nan)
        if start._codes is not None:
            if start.n_texts > 2 * n_runs + 1000:
                # Mostly texts that no run has any more.
                used, places = np.unique(start._codes, return_inverse=True)
                renewed = self._texts.codes([start._texts.items[i] for i in used.tolist() if i >= 0])
                start_codes = (np.append(np.int32(-1), renewed) if used[0] < 0 else renewed)[places]
            else:
                self._texts, start_codes = start._texts, start._codes
            self._codes = _padded(start_codes, n_runs, -1)

    def put(self, slots: NDArray[np.int64] | slice, cells: Cells) -> None:
        """Set the cells at `slots`."""
        self._kinds[slots] = cells.kinds
        if cells.numbers is not None:
            if self._numbers is None:
                self._numbers = np.full(self._kinds.size, np.nan)
            self._numbers[slots] = cells.numbers
        elif self._numbers is not None:
            self._numbers[slots] = np.nan
        if cells.codes is not None:
            if self._codes is None:
                self._codes = np.full(self._kinds.size, -1, np.int32)
            # The last one stands for -1, which is the last place of an array.
            places = np.append(self._texts.codes(cells.texts), np.int32(-1))
            self._codes[slots] = places[cells.codes]
        elif self._codes is not None:
            self._codes[slots] = -1

    def is_like(self, other: Column, slots: NDArray[np.int64]) -> bool:
        """Return whether the cells at `slots` are those of `other`, which has as many runs."""
        return (
            bool((self._kinds[slots] == other.kinds[slots]).all())
            and _same(self._numbers, other._numbers, slots)
            and self._texts is other._texts
            and _same(self._codes, other._codes, slots)
        )

    def column(self, older: Column | None = None) -> Column:
        """Return the column.

        Args:
            older: of an earlier moment; what it knows of the order of its texts is used again.
        """
        return Column(self._kinds, self._numbers, self._codes, self._texts, older)


def encode_cells(values: Sequence[Any]) -> Cells:
    """Return values as a user logged them, or MISSING, as cells."""
    types = set(map(type, values))
    try:
        if types <= {float, int}:
            return Cells(np.full(len(values), Kind.NUMBER, np.uint8), np.array(values, np.float64), None, [])
    except OverflowError:
        pass  # an integer beyond all floats
    if types == {str}:
        texts = Texts()
        codes = texts.codes([text[:MAX_TEXT] for text in values])
        return Cells(np.full(len(values), Kind.TEXT, np.uint8), None, codes, texts.items)
    return _encode_mixed(values)


def _encode_mixed(values: Sequence[Any]) -> Cells:
    cells = [cell(value) for value in values]
    kinds = np.array([kind for kind, _, _ in cells], np.uint8)
    numbers = codes = None
    if np.isin(kinds, _HAS_NUMBER).any():
        numbers = np.array([x if kind in _HAS_NUMBER else np.nan for kind, x, _ in cells])
    texts = Texts()
    has_text = np.isin(kinds, _HAS_TEXT)
    if has_text.any():
        codes = np.full(len(values), -1, np.int32)
        codes[has_text] = texts.codes([text for kind, _, text in cells if kind in _HAS_TEXT])
    return Cells(kinds, numbers, codes, texts.items)


def _padded(array: NDArray[Any], n: int, filling: float) -> NDArray[Any]:
    result = np.full(n, filling, array.dtype)
    result[: array.size] = array
    return result


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None, slots: NDArray[np.int64]) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a[slots], b[slots], equal_nan=a.dtype.kind == "f")
