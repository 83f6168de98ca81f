"""One value per key for the whole run, as its definitions say.

The one implementation of summary rules: the SDK folds its own run log with it when a script reads
`run.summary`, the server folds blocks.  Keys are flat; `loss.min` is what
`define_metric("loss", summary="min")` gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

OPERATIONS = ("min", "max", "mean", "last", "first", "best")
_PLAIN_WORDS = frozenset({"none", "copy"})
SUMMARY_WORDS = frozenset(OPERATIONS) | _PLAIN_WORDS


def merged_definition(old: Mapping[str, object], definition: Mapping[str, object]) -> dict[str, object]:
    """Return what is defined of a metric by `old` and a later define_metric call, which may overwrite."""
    said = {k: v for k, v in definition.items() if v is not None and k != "overwrite"}
    return said if definition.get("overwrite") else {**old, **said}


class SummaryFold:
    """The state of a run's summary.  Feed it values in the order in which they were logged."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, object]] = {}
        self._values: dict[str, object] = {}
        self._numbers: dict[str, list[float]] = {}  # key → [n, sum, min, max, first, last]
        self._rules: dict[str, tuple[frozenset[str], str]] = {}

    def define(self, definition: Mapping[str, object]) -> None:
        """Add what one define_metric call said.

        It is merged with an earlier one of the name, unless it overwrites.
        """
        name = definition.get("name")
        if not isinstance(name, str) or not name:
            return
        self.definitions[name] = merged_definition(self.definitions.get(name, {}), definition)
        self._rules.clear()

    def definition_of(self, key: str) -> dict[str, object] | None:
        """Return the definition that holds for `key`: the exact one, else the longest glob."""
        exact = self.definitions.get(key)
        if exact is not None or key.startswith("_"):
            return exact
        globs = [n for n in self.definitions if n.endswith("*") and key.startswith(n[:-1])]
        return self.definitions[max(globs, key=len)] if globs else None

    def __len__(self) -> int:
        """Return how many keys it holds."""
        return len(self._values) + len(self._numbers)

    def wants_every_value(self, key: str) -> bool:
        """Return whether `add` must see all values of `key`, and not only the last one."""
        return not self._rule(key)[0].isdisjoint(OPERATIONS)

    def add(self, key: str, values: Sequence[object]) -> None:
        """Fold values of `key`, oldest first."""
        words, _ = self._rule(key)
        if not words:
            self._values[key] = values[-1]
            return
        if "none" in words:
            self._values.pop(key, None)
            return
        if "copy" in words or not self._add_numbers(key, values):
            self._values[key] = values[-1]
        else:
            self._values.pop(key, None)

    def add_last(self, last: Mapping[str, object]) -> None:
        """Fold the last value of many keys at once; nothing may be defined."""
        assert not self.definitions, "a definition may want every value"
        self._values.update(last)

    def set(self, path: Sequence[str], value: object) -> None:
        """Take an explicit `summary[...] = value`; it holds until the key is logged again."""
        key = ".".join(path)
        self.delete(path)
        if isinstance(value, dict) and "_type" not in value:
            for name, part in value.items():
                self.set([*path, str(name)], part)
        else:
            self._values[key] = value

    def delete(self, path: Sequence[str]) -> None:
        """Take an explicit `del summary[...]`, of the key and of everything below it."""
        key = ".".join(path)
        below = f"{key}."
        for state in (self._values, self._numbers):
            for name in [k for k in state if k == key or k.startswith(below)]:
                del state[name]

    def flat(self) -> dict[str, object]:
        """Return the summary with flat keys, in no particular order."""
        result = dict(self._values)
        for key, numbers in self._numbers.items():
            words, goal = self._rule(key)
            for word in OPERATIONS:
                if word in words:
                    result[f"{key}.{word}"] = _result(word, numbers, goal)
        return result

    def last(self, key: str) -> object:
        """Return the newest value of `key`, None if there is none."""
        numbers = self._numbers.get(key)
        return self._values.get(key) if numbers is None else numbers[5]

    def to_state(self) -> dict[str, object]:
        """Return the state as plain data, for `from_state`."""
        return {"definitions": self.definitions, "values": self._values, "numbers": self._numbers}

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> SummaryFold:
        """Return the fold that `to_state` described."""
        fold = cls()
        fold.definitions = dict(state["definitions"])  # type: ignore[call-overload]
        fold._values = dict(state["values"])  # type: ignore[call-overload]
        fold._numbers = dict(state["numbers"])  # type: ignore[call-overload]
        return fold

    def _rule(self, key: str) -> tuple[frozenset[str], str]:
        """Return the summary words of `key` (none at all: the last value), and its goal."""
        if not self.definitions:
            return frozenset(), ""
        rule = self._rules.get(key)
        if rule is None:
            definition = self.definition_of(key) or {}
            words = definition.get("summary")
            chosen = frozenset(words) & SUMMARY_WORDS if isinstance(words, (list, tuple)) else frozenset()
            rule = self._rules[key] = (chosen, str(definition.get("goal") or ""))
        return rule

    def _add_numbers(self, key: str, values: Sequence[object]) -> bool:
        """Fold into min, max, mean, first and last; return False if the values are not numbers.

        NaN is left out of min, max and mean, so that one bad step does not hide the best one; if there is
        nothing else they are NaN.
        """
        try:
            numbers = [float(v) for v in values]  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False
        good = [v for v in numbers if not math.isnan(v)]
        old = self._numbers.get(key) or [0.0, 0.0, math.inf, -math.inf, numbers[0], numbers[0]]
        self._numbers[key] = [
            old[0] + len(good),
            old[1] + math.fsum(_finite_or_all(good)),
            min(good, default=math.inf) if old[2] > min(good, default=math.inf) else old[2],
            max(good, default=-math.inf) if old[3] < max(good, default=-math.inf) else old[3],
            old[4],
            numbers[-1],
        ]
        return True


def _finite_or_all(values: list[float]) -> Iterable[float]:
    """Return what fsum can add: it refuses a mix of both infinities, whose sum is NaN."""
    return [math.nan] if math.inf in values and -math.inf in values else values


def _result(word: str, numbers: Sequence[float], goal: str) -> float:
    n, total, low, high, first, last = numbers
    if word == "first":
        return first
    if word == "last":
        return last
    if n == 0:
        return math.nan
    if word == "mean":
        return total / n
    if word == "best":
        word = "max" if goal.startswith("max") else "min"
    return low if word == "min" else high
