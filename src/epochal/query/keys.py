"""The metric keys of a project or of some runs, as a person would sort them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.query.patterns import SEARCH_TIMEOUT_S, Matcher, search_pattern
from epochal.store.metrics.contract import KeyInfo, MetricStore, Stream
from epochal.store.metrics.key_names import KeyNames, natural_order

MAX_KEYS_A_PAGE = 10_000
_KEPT_SEARCHES = 16
# Patterns that find the same in a text of many lines as in each of the lines, once nothing in them matches a
# newline: what looks beyond one, or keeps the search from going back, is not among them.
_STAYS_IN_LINE = re.compile(
    r"(?:[^\x00-\x1f\\\[\](){}*+?|]|\\[dwbDWsS./\-_\[\](){}*+?|^$]"
    r"|\[\^?(?:[^\x00-\x1f\\\[\]&|~^]|\\[dw./\-_\[\]])+\]|\((?!\?)|\(\?:|\)|\|"
    r"|(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??(?![+*?{]))*"
)
_MATCHES_NEWLINE = re.compile(r"\\.|\[\^")
_WITHOUT_NEWLINE = {"[^": r"[^\n", r"\D": r"[^\d\n]", r"\W": r"[^\w\n]", r"\s": r"[^\S\n]"}


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
    if runs is None:
        return _of_project(store, stream, search, first, after)
    found = _matching(store.keys(runs, stream=stream), search)
    ordered = sorted((natural_order(key.key), i) for i, key in enumerate(found))
    start = 0 if after is None else bisect_right(ordered, natural_order(after), key=itemgetter(0))
    page = [found[i] for _, i in ordered[start : start + first]]
    return KeyPage(len(found), page, start + first < len(found))


def _of_project(
    store: MetricStore, stream: Stream, search: str | None, first: int, after: str | None
) -> KeyPage:
    names = store.key_names(stream=stream)
    places = _places(names, search) if search else np.arange(len(names))
    start = 0 if after is None else int(np.searchsorted(places, names.place_behind(after)))
    page = [names.name(at) for at in places[start : start + first].tolist()]
    return KeyPage(places.size, store.key_infos(page, stream=stream), start + first < places.size)


def _places(names: KeyNames, search: str) -> NDArray[np.int64]:
    """Return where the names are that match, remembered for the next page."""
    found = names.found.get(search)
    if found is None:
        pattern = search_pattern(search)
        found = names.with_text(search) if pattern is None else _places_of_pattern(names, pattern)
        if len(names.found) >= _KEPT_SEARCHES:
            names.found.clear()
        names.found[search] = found
    return found


def _places_of_pattern(names: KeyNames, pattern: regex.Pattern[str]) -> NDArray[np.int64]:
    if names.has_lines_inside or not _STAYS_IN_LINE.fullmatch(pattern.pattern):
        matcher = Matcher(pattern)
        return np.array([at for at, name in enumerate(names) if matcher.matches(name)], np.int64)
    in_line = _MATCHES_NEWLINE.sub(lambda m: _WITHOUT_NEWLINE.get(m[0], m[0]), pattern.pattern)
    # The rest of the line too, so that a name is found once.
    in_lines = regex.compile(f"(?:{in_line}).*", regex.IGNORECASE | regex.MULTILINE)
    try:
        found = in_lines.finditer(names.lines(), timeout=SEARCH_TIMEOUT_S)
        offsets = np.fromiter((match.start() for match in found), np.int64)
    except TimeoutError as error:
        raise UsageError(
            f"searching for /{pattern.pattern}/ takes over {SEARCH_TIMEOUT_S:g} s: use a simpler one"
        ) from error
    return np.unique(names.places_of(offsets[offsets < len(names.lines())]))


def _matching(keys: list[KeyInfo], search: str | None) -> list[KeyInfo]:
    if not search:
        return keys
    pattern = search_pattern(search)
    if pattern is None:
        text = search.casefold()
        return [key for key in keys if text in key.key.casefold()]
    matcher = Matcher(pattern)
    return [key for key in keys if matcher.matches(key.key)]
