"""Regular expressions that somebody typed, matched against many texts in bounded time.

A pattern can be made to take for ever on one text.  The clock that stops it costs more than most searches do
(measured: 2.1 us a text instead of 0.4), so it runs only for patterns that need it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import numpy as np
import regex
from numpy.typing import NDArray

from epochal.errors import UsageError

MAX_PATTERN_CHARACTERS = 500
SEARCH_TIMEOUT_S = 1.0  # for all texts of one request
# Beyond so many steps on one text, it could take longer than somebody waits.
_MAX_STEPS = 2_000_000
_LOOK_EVERY = 256  # texts

# Whatever repeats a group, looks around or refers back can take exponential time.
_HARD = re.compile(r"\)[*+?{]|\(\?(?!:)|\\[1-9gkpPXRK]|\(\*")
_REPEAT = re.compile(r"[*+{]")


def compile_pattern(pattern: str, *, ignore_case: bool) -> regex.Pattern[str]:
    """Return a compiled pattern.

    Raises:
        UsageError: it is too long, or not a regular expression.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise UsageError(f"a search has at most {MAX_PATTERN_CHARACTERS} characters, not {len(pattern)}")
    try:
        return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    except (regex.error, RecursionError, OverflowError) as error:
        raise UsageError(f"/{pattern}/ is not a regular expression: {error}") from error


def search_pattern(search: str | None) -> regex.Pattern[str] | None:
    """Return the pattern of a search like /regex/, or None for a search for plain text.

    Raises:
        UsageError: it is too long, or not a regular expression.
    """
    if search is None:
        return None
    if len(search) > MAX_PATTERN_CHARACTERS:
        raise UsageError(f"a search has at most {MAX_PATTERN_CHARACTERS} characters, not {len(search)}")
    if len(search) < 3 or not (search.startswith("/") and search.endswith("/")):
        return None
    return compile_pattern(search[1:-1], ignore_case=True)


class Deadline:
    """The time that all patterns of one request have together."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SEARCH_TIMEOUT_S

    def left_s(self, pattern: regex.Pattern[str]) -> float:
        """Return the seconds that are left, more than 0.

        Raises:
            UsageError: none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise UsageError(
                f"searching for /{pattern.pattern}/ takes over {SEARCH_TIMEOUT_S:g} s: use a simpler one"
            )
        return left

    def matches(self, pattern: regex.Pattern[str], text: str) -> bool:
        """Return whether the pattern is found in `text`.

        Raises:
            UsageError: the time is over.
        """
        left = self.left_s(pattern)
        try:
            found = pattern.search(text, timeout=left)
        except TimeoutError:
            self._end = 0.0
            self.left_s(pattern)
            raise
        return found is not None

    def match_all(self, pattern: regex.Pattern[str], texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return for every text whether the pattern is found in it, shape (len(texts),).

        Raises:
            UsageError: the time is over.
        """
        if not is_quick(pattern.pattern, max(map(len, texts), default=0)):
            return np.fromiter((self.matches(pattern, text) for text in texts), np.bool_, len(texts))
        search = pattern.search
        found: list[bool] = []
        for start in range(0, len(texts), _LOOK_EVERY):
            self.left_s(pattern)
            found += [search(text) is not None for text in texts[start : start + _LOOK_EVERY]]
        return np.array(found, np.bool_)


class Matcher:
    """Matches many texts with one pattern, within a time for all of them.

    Args:
        pattern: from `search_pattern`.
    """

    def __init__(self, pattern: regex.Pattern[str]) -> None:
        self._pattern = pattern
        self._deadline = Deadline()

    def matches(self, text: str) -> bool:
        """Return whether the pattern is found in `text`.

        Raises:
            UsageError: the time is over.
        """
        return self._deadline.matches(self._pattern, text)


def is_quick(pattern: str, n_characters: int) -> bool:
    """Return whether a search in a text of so many characters ends soon, whatever the text is."""
    if _HARD.search(pattern):
        return False
    # Each repeat may try every length, from every start.
    n_repeats = len(_REPEAT.findall(pattern))
    steps: int = max(2, n_characters) ** (n_repeats + 1) * 2 ** pattern.count("?")
    return steps <= _MAX_STEPS
