"""`run.alert()`: a record in the run log, and no more than one of a title in its waiting time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta

from epochal.sdk.alert_level import AlertLevel

DEFAULT_WAIT_S = 60.0
MAX_TITLE = 64  # characters, as W&B has it; the rest is kept in the text
_MAX_TITLES = 1000  # remembered: a title made of a step number must not fill the memory


def alert_level(level: object) -> AlertLevel:
    """Return the level meant by a level or by its name, whatever the case.

    Raises:
        ValueError: there is no such level.
    """
    if level is None:
        return AlertLevel.INFO
    name = str(getattr(level, "value", level)).upper()
    name = "WARN" if name == "WARNING" else name
    if name not in AlertLevel.__members__:
        raise ValueError(f"The level of an alert is INFO, WARN or ERROR, not {level!r}")
    return AlertLevel[name]


def wait_seconds(wait_duration: object) -> float:
    """Return a waiting time in seconds, given as such or as a timedelta; 60 if none is given.

    Raises:
        ValueError: it is neither, negative, or not finite.
    """
    if wait_duration is None:
        return DEFAULT_WAIT_S
    if isinstance(wait_duration, timedelta):
        return max(0.0, wait_duration.total_seconds())
    is_number = isinstance(wait_duration, (int, float)) and not isinstance(wait_duration, bool)
    if not is_number or not math.isfinite(wait_duration) or wait_duration < 0:  # type: ignore[operator, arg-type]
        raise ValueError(f"wait_duration is a timedelta, or seconds from 0 on, not {wait_duration!r}")
    return float(wait_duration)  # type: ignore[arg-type]


class Throttle:
    """Lets one of a title through in its waiting time.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at: dict[str, float] = {}

    def lets_through(self, title: str, wait_s: float) -> bool:
        """Whether an alert of this title is due; if so, it counts as said now."""
        now = self._clock()
        said_at = self._said_at.get(title)
        if said_at is not None and now - said_at < wait_s:
            return False
        self._said_at.pop(title, None)
        while len(self._said_at) >= _MAX_TITLES:
            try:
                del self._said_at[next(iter(self._said_at))]
            except (KeyError, RuntimeError, StopIteration):  # another thread was quicker
                break
        self._said_at[title] = now
        return True


def fitting(title: object, text: object) -> tuple[str, str]:
    """Return title and text as texts, a title that is too long cut and kept whole in the text."""
    whole, body = _text(title), "" if text is None else _text(text)
    if len(whole) <= MAX_TITLE:
        return whole, body
    return whole[: MAX_TITLE - 1] + "…", f"{whole}\n{body}" if body else whole


def _text(value: object) -> str:
    """Return `value` as a text that can be written: half of a character becomes a question mark."""
    return str(value).encode("utf-8", "replace").decode()
