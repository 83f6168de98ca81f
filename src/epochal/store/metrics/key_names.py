"""The names of a project's keys in the order of people, to be searched as one text.

A million names as Python strings would take a hundred megabytes and a second to look through; joined, they
take their letters, and one pass over these finds all that have a text.
"""

from __future__ import annotations

import heapq
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]

_DIGITS = re.compile("[0-9]+")
# Ends, numbers and texts, in this order: a name comes before those that it begins.
_END, _NUMBER, _TEXT = "\0", "\1", "\2"
# Stands for a newline in a name.  Half a pair is no character, so no name that came as UTF-8 has it.
_NEWLINE = "\udc0a"


def natural_order(key: str) -> str:
    """Return what to sort by so that numbers inside names count as numbers: layer.2 before layer.10.

    Case matters only between names that differ in nothing else.
    """
    folded = key.casefold()
    parts = []
    at = 0
    for match in _DIGITS.finditer(folded):
        if match.start() > at:
            parts.append(_TEXT + folded[at : match.start()])
        # Without leading zeros more digits are a larger number, so none is converted: a name of a million
        # digits would take for ever.
        digits = match.group().lstrip("0")
        parts.append(f"{_NUMBER}{len(digits):08x}{digits}")
        at = match.end()
    if at < len(folded):
        parts.append(_TEXT + folded[at:])
    return "".join(parts) + _END + key


class KeyNames:
    """Names in natural order; never changed.

    Args:
        joined: the names, each with a newline behind it; those in a name are written as `_NEWLINE`.
        ends: of shape (n,), where the newlines are.
    """

    def __init__(self, joined: str, ends: Places) -> None:
        self._joined, self._ends = joined, ends
        folded = joined.casefold()
        # The same object where it is the same text, as most are.
        self._folded = joined if folded == joined else folded
        self._folded_bytes = np.frombuffer(self._folded.encode("utf-8", "surrogatepass"), np.uint8)
        self._line_ends: Places | None = None
        self.found: dict[str, Places] = {}  # by search, for the next page; kept small by who fills it

    @classmethod
    def of(cls, names: Iterable[str]) -> KeyNames:
        """Return `names`, in whatever order, which are all different."""
        return cls._of_sorted(sorted(names, key=natural_order))

    @classmethod
    def _of_sorted(cls, names: Sequence[str]) -> KeyNames:
        lines = [_on_one_line(name) for name in names]
        lengths = np.fromiter(map(len, lines), np.int64, len(lines))
        joined = "\n".join(lines) + "\n" if lines else ""
        return cls(joined, np.cumsum(lengths + 1) - 1)

    def __len__(self) -> int:
        return self._ends.size

    def __iter__(self) -> Iterator[str]:
        return (self.name(at) for at in range(len(self)))

    @property
    def has_lines_inside(self) -> bool:
        """Return whether any name has a newline, which `lines` does not show as such."""
        return _NEWLINE in self._joined

    @property
    def n_bytes(self) -> int:
        """Return about how many bytes it takes in memory."""
        texts = {id(text): len(text) for text in (self._joined, self._folded)}
        return sum(texts.values()) + self._folded_bytes.nbytes + 2 * self._ends.nbytes

    def name(self, at: int) -> str:
        """Return the name at a place."""
        begin = int(self._ends[at - 1]) + 1 if at else 0
        return self._joined[begin : int(self._ends[at])].replace(_NEWLINE, "\n")

    def place_behind(self, name: str) -> int:
        """Return the place of the first name behind `name`, which need not be there."""
        order = natural_order(name)
        place = bisect_left(range(len(self)), order, key=lambda at: natural_order(self.name(at)))
        return place + (place < len(self) and self.name(place) == name)

    def with_names(self, names: Iterable[str]) -> KeyNames:
        """Return these names and `names`, which are not among them."""
        new = sorted(names, key=natural_order)
        if len(new) * 20 > len(self):
            return self._of_sorted(list(heapq.merge(self, new, key=natural_order)))
        pieces, ends = [], self._ends
        places = [self.place_behind(name) for name in new]
        for (begin, end), name in zip(pairwise([0, *places]), new, strict=True):
            pieces += [self._joined[self._begin(begin) : self._begin(end)], _on_one_line(name), "\n"]
        pieces.append(self._joined[self._begin(places[-1] if places else 0) :])
        lengths = np.diff(ends, prepend=-1)
        lengths = np.insert(lengths, places, [len(_on_one_line(name)) + 1 for name in new])
        return KeyNames("".join(pieces), np.cumsum(lengths) - 1)

    def with_text(self, text: str) -> Places:
        """Return the places of the names that have `text`, whatever the case."""
        wanted = np.frombuffer(_on_one_line(text).casefold().encode("utf-8", "surrogatepass"), np.uint8)
        data = self._folded_bytes
        if not wanted.size:
            return np.arange(len(self))
        # The letter that is rarest in the first names leaves the fewest places to look at.
        sample = np.bincount(data[: 1 << 16], minlength=256)
        rarest = int(np.argmin(sample[wanted]))
        last = data.size - wanted.size + rarest + 1
        at = np.flatnonzero(data[rarest : max(rarest, last)] == wanted[rarest])
        for i in np.argsort(sample[wanted], kind="stable").tolist():
            at = at[data[at + i] == wanted[i]]
        return self._at_bytes(at)

    def lines(self) -> str:
        """Return the names, each with a newline behind it."""
        return self._joined

    def places_of(self, offsets: Places) -> Places:
        """Return the places of the names at offsets of `lines`."""
        return np.searchsorted(self._ends, offsets)

    def _begin(self, at: int) -> int:
        return int(self._ends[at - 1]) + 1 if at else 0

    def _at_bytes(self, at: Places) -> Places:
        """Return the places of the names at ascending offsets of the folded bytes."""
        ends = self._lines()
        if at.size <= ends.size // 4:
            return np.unique(np.searchsorted(ends, at))
        is_at = np.zeros(self._folded_bytes.size, np.bool_)
        is_at[at] = True
        return np.flatnonzero(np.logical_or.reduceat(is_at, np.append(0, ends[:-1] + 1)))

    def _lines(self) -> Places:
        """Return where the lines of the folded bytes end."""
        if self._line_ends is None:
            self._line_ends = np.flatnonzero(self._folded_bytes == ord("\n"))
        return self._line_ends


def _on_one_line(name: str) -> str:
    return name.replace("\n", _NEWLINE)
