"""The metric keys of a project or of some runs, as a person would sort them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.query.patterns import Matcher, search_pattern
from epochal.store.metrics.contract import KeyInfo, MetricStore, Stream

MAX_KEYS_A_PAGE = 10_000
_DIGITS = re.compile(r"([0-9]+)")


class KeyPage(NamedTuple):
    """Neighbouring keys of a list.  The cursor of a key is the key itself."""

    n_total: int
    keys: list[KeyInfo]
    has_next: bool


def list_keys(
    store: MetricStore,
    runs: Sequence[RunId] | None = None,
    *,
    stream: Stream = "history",
    search: str | None = None,
    first: int = 1000,
    after: str | None = None,
) -> KeyPage:
    """Return a page of keys in natural order.

    Args:
        store: of the project.
        runs: only keys of these; None for all.
        stream: which of a run's two streams.
        search: keeps the keys that have this text, or match this /regex/, whatever the case.
        first: at most so many.
        after: the key to go on behind; it need not exist.

    Raises:
        UsageError: an argument cannot be.
    """
    if not 1 <= first <= MAX_KEYS_A_PAGE:
        raise UsageError(f"a page of keys has 1 to {MAX_KEYS_A_PAGE} entries, not {first}")
    found = _matching(store.keys(runs, stream=stream), search)
    ordered = sorted((natural_order(key.key), i) for i, key in enumerate(found))
    start = 0 if after is None else bisect_right(ordered, natural_order(after), key=itemgetter(0))
    page = [found[i] for _, i in ordered[start : start + first]]
    return KeyPage(len(found), page, start + first < len(found))


def natural_order(key: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return what to sort by so that numbers inside names count as numbers: layer.2 before layer.10.

    Case matters only between names that differ in nothing else.
    """
    parts = _DIGITS.split(key.casefold())
    # Every second part is a number.  Without leading zeros more digits are a larger number, so none is
    # converted: a name of a million digits would take for ever.
    places = tuple(
        (0, len(digits := part.lstrip("0")), digits) if i % 2 else (1, 0, part)
        for i, part in enumerate(parts)
        if part
    )
    return places, key


def _matching(keys: list[KeyInfo], search: str | None) -> list[KeyInfo]:
    if not search:
        return keys
    pattern = search_pattern(search)
    if pattern is None:
        text = search.casefold()
        return [key for key in keys if text in key.key.casefold()]
    matcher = Matcher(pattern)
    return [key for key in keys if matcher.matches(key.key)]
