"""The step metric that is filled in where a row lacks it.

It is part of each call of `log()` once a metric has a step metric, so what follows from the keys of a row is
kept: rows of a training loop have few sets of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from epochal.runlog.summary import merged_definition
from epochal.sdk.metric import Metric

MAX_KNOWN_KEYS = 100_000  # in all sets of keys that are remembered

_MISSING = object()
_NOTHING: dict[str, object] = {}
_PLAIN = frozenset({float, int, bool, str, type(None)})  # asking these whether they are a Mapping is slow


class _Plan(NamedTuple):
    """What follows from the keys of a row."""

    # Step metrics that are missing, each with the keys that ask for it, unless their value is a map.
    asked_by: list[tuple[str, list[str]]]
    # Keys whose value may be a map with something defined in it.
    may_hide: list[str]


class StepSync:
    """Adds the last known value of a step metric to rows that have its metrics but not itself."""

    def __init__(self) -> None:
        self._definitions: dict[str, dict[str, object]] = {}
        self._exact: dict[str, str | None] = {}
        self._globs: dict[str, str | None] = {}
        self._names: tuple[str, ...] = ()  # of the step metrics
        self._above: set[str] = set()  # `a` and `a.b`, where `a.b.c` is defined or is a step metric
        self._last: dict[str, object] = {}
        self._step_metric_of: dict[str, str | None] = {}
        self._plans: dict[tuple[object, ...], _Plan] = {}
        self._asks: dict[str, str] = {}  # step metric to a key that asked for it, which is looked at first
        self._n_known = 0

    def define(self, metric: Metric) -> None:
        """Take over a definition; it is merged with an earlier one of the name, unless it overwrites."""
        name = metric.name
        merged = merged_definition(self._definitions.get(name, {}), metric.to_record())
        self._definitions[name] = merged
        target = str(merged["step_metric"]) if merged.get("step_sync") and merged.get("step_metric") else None
        if name.endswith("*"):
            self._globs[name[:-1]] = target
        else:
            self._exact[name] = target
        targets = (*self._exact.values(), *self._globs.values())
        self._names = tuple(dict.fromkeys(target for target in targets if target is not None))
        self._above.update(_above(name), () if target is None else _above(target))
        self._forget_plans()

    def go_on_from(self, last: Mapping[str, object]) -> None:
        """Take over the values that step metrics had at the end of earlier sessions."""
        self._last.update(last)

    def last_values(self) -> Mapping[str, object]:
        """Return the newest value of each step metric."""
        return self._last

    @property
    def is_needed(self) -> bool:
        """Whether any metric is synchronised."""
        return bool(self._names)

    def fill(self, data: Mapping[str, object]) -> Mapping[str, object]:
        """Return `data`, with step metrics added where they are missing (0 if one was never logged)."""
        if type(data) is not dict:
            return self._fill_any(data)
        filled = None
        for name in self._names:
            value = data.get(name, _MISSING)
            if value is not _MISSING:
                self._last[name] = value
            elif _is_map(data.get(self._asks.get(name, _MISSING), _NOTHING)):
                return self._fill_by_plan(data)
            else:
                filled = data.copy() if filled is None else filled
                filled[name] = self._last.get(name, 0)
        return data if filled is None else filled

    def _fill_by_plan(self, data: dict[str, object]) -> Mapping[str, object]:
        """Do the same for a row without the keys that asked the last time."""
        for name in self._names:
            if name in data:
                self._last[name] = data[name]
        keys = tuple(data)
        plan = self._plans.get(keys) or self._new_plan(keys)
        for key in plan.may_hide:
            if _is_map(data[key]):
                return self._fill_any(data)
        filled: dict[str, object] | None = None
        for name, asking in plan.asked_by:
            witness = next((key for key in asking if not _is_map(data[key])), None)
            if witness is None:
                return self._fill_any(data)
            filled = data.copy() if filled is None else filled
            filled[name] = self._last.get(name, 0)
            if "." not in name:  # else it may be nested in another key
                self._asks[name] = witness
        return data if filled is None else filled

    def _fill_any(self, data: Mapping[str, object]) -> Mapping[str, object]:
        """Do the same for a row in which keys may be nested."""
        present, wanted = dict(_flat_keys(data)), set()
        for key in present:
            target = self._target(key)
            if target is not None:
                wanted.add(target)
        for name in self._names:
            if name in present:
                self._last[name] = present[name]
        missing = {name: self._last.get(name, 0) for name in wanted if name not in present}
        return {**data, **missing} if missing else data

    def _new_plan(self, keys: tuple[str, ...]) -> _Plan:
        asked_by: dict[str, list[str]] = {}
        may_hide = []
        for key in keys:
            name = f"{key}"
            target = self._target(name)
            if target is not None and target not in keys:
                asked_by.setdefault(target, []).append(key)
            # A glob need not be looked for: what matches `a.b` matches `a`, or is written out below it.
            if name in self._above or (name in self._exact and self._globs):
                may_hide.append(key)
        plan = _Plan(list(asked_by.items()), may_hide)
        if self._n_known > MAX_KNOWN_KEYS:
            self._forget_plans()
        self._plans[keys] = plan
        self._n_known += len(keys)
        return plan

    def _forget_plans(self) -> None:
        self._step_metric_of, self._plans, self._asks, self._n_known = {}, {}, {}, 0

    def _target(self, key: str) -> str | None:
        found = self._step_metric_of.get(key, _MISSING)
        if found is _MISSING:
            found = self._step_metric_of[key] = self._search(key)
        return found  # type: ignore[return-value]

    def _search(self, key: str) -> str | None:
        if key.startswith("_") or key in self._names:
            return self._exact.get(key)
        if key in self._exact:
            return self._exact[key]
        globs = [prefix for prefix in self._globs if key.startswith(prefix)]
        return self._globs[max(globs, key=len)] if globs else None


def _above(name: str) -> Iterator[str]:
    """Yield the maps that a dotted name may be nested in."""
    for at, character in enumerate(name):
        if character == ".":
            yield name[:at]


def _is_map(value: object) -> bool:
    return type(value) not in _PLAIN and isinstance(value, Mapping)


def _flat_keys(data: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
