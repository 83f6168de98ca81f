"""Which step a row gets: the rules of the stock client, except that no row is ever refused.

The whole state is one number, the current step: of the row that is open, or of the next one.
"""

from __future__ import annotations

import contextlib
from operator import index

MAX_STEP = 2**63 - 1


def place(current: int, step: int | None, commit: bool | None) -> tuple[int, int]:
    """Return the step that a row is written at, and the current step from then on.

    A row without a step goes to the current one and ends it, unless `commit` is False.  A later step
    becomes the current one and stays open, unless `commit` is True.  An earlier step is written where
    it belongs and moves nothing.
    """
    if step is None:
        return current, current if commit is False else current + 1
    if step < current:
        return step, current
    return step, step + 1 if commit else step


def as_step(value: object) -> int:
    """Return what a caller gave as `step` as an integer; negative ones too.

    Raises:
        TypeError: it is no integer, nor a float that is one.
        ValueError: it has more than 64 bits.
    """
    try:
        step = index(value)  # type: ignore[arg-type]
    except TypeError:
        step = _integral(value)
    if abs(step) > MAX_STEP:
        raise ValueError(f"a step has at most 64 bits; {step} has more")
    return step


def _integral(value: object) -> int:
    number = None
    if not isinstance(value, (str, bytes)):
        with contextlib.suppress(TypeError, ValueError):
            number = float(value)  # type: ignore[arg-type]
    if number is None or not number.is_integer():
        raise TypeError(f"step is an integer, not {value!r} of type {type(value).__name__}")
    return int(number)
