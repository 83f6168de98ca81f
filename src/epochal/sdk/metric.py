"""`define_metric`: what a metric key means, and the step metric that is filled in where a row lacks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from epochal.errors import EpochalError
from epochal.runlog.summary import SUMMARY_WORDS

_MISSING = object()


class Metric:
    """What `define_metric` returns: the definition as it was understood."""

    def __init__(self, definition: Mapping[str, object]) -> None:
        self._definition = dict(definition)

    @property
    def name(self) -> str:
        """The key, or the glob."""
        return str(self._definition["name"])

    @property
    def step_metric(self) -> str | None:
        """The metric used as x axis in place of the step."""
        value = self._definition["step_metric"]
        return None if value is None else str(value)

    @property
    def step_sync(self) -> bool | None:
        """Whether the step metric's last value is added to rows that lack it."""
        return self._definition["step_sync"]  # type: ignore[return-value]

    @property
    def hidden(self) -> bool | None:
        """Whether it gets no panel of its own."""
        return self._definition["hidden"]  # type: ignore[return-value]

    @property
    def summary(self) -> tuple[str, ...] | None:
        """The rules of its summary."""
        words = self._definition["summary"]
        return None if words is None else tuple(words)  # type: ignore[arg-type]

    @property
    def goal(self) -> str | None:
        """`minimize` or `maximize`."""
        value = self._definition["goal"]
        return None if value is None else str(value)

    def to_record(self) -> dict[str, object]:
        """Return the map that goes into the run log."""
        return dict(self._definition)


def define(
    name: str,
    step_metric: str | Metric | None = None,
    step_sync: bool | None = None,
    hidden: bool | None = None,
    summary: str | None = None,
    goal: str | None = None,
    overwrite: bool | None = None,
) -> Metric:
    """Return the definition, checked.

    Raises:
        EpochalError: an empty name, a `*` that is not at its end, a summary word or a goal that does not
            exist, or a glob as step metric.
    """
    step_name = step_metric.name if isinstance(step_metric, Metric) else step_metric
    if not isinstance(name, str) or not name:
        raise EpochalError(f"define_metric needs the name of a metric, not {name!r}")
    if "*" in name[:-1]:
        raise EpochalError(f"in define_metric({name!r}) the * can only be the last character")
    if step_name is not None and (not isinstance(step_name, str) or not step_name or "*" in step_name):
        raise EpochalError(f"the step metric of {name!r} is the name of one metric, not {step_name!r}")
    if goal is not None and goal not in ("minimize", "maximize"):
        raise EpochalError(f"the goal of {name!r} is 'minimize' or 'maximize', not {goal!r}")
    return Metric(
        {
            "name": _unescaped(name),
            "step_metric": None if step_name is None else _unescaped(step_name),
            "step_sync": step_name is not None if step_sync is None else bool(step_sync),
            "hidden": hidden,
            "summary": _summary_words(name, summary),
            "goal": goal,
            "overwrite": bool(overwrite),
        }
    )


def _unescaped(name: str) -> str:
    r"""Return a name without `\.`: keys are flat here, so a dot in a name needs no mark."""
    return name.replace("\\.", ".")


def _summary_words(name: str, summary: object) -> list[str] | None:
    if summary is None:
        return None
    parts = summary.split(",") if isinstance(summary, str) else list(summary)  # type: ignore[call-overload]
    words = [str(word).strip() for word in parts]
    unknown = [word for word in words if word not in SUMMARY_WORDS]
    if unknown:
        raise EpochalError(
            f"the summary of {name!r} cannot be {', '.join(map(repr, unknown))}; "
            f"it is made of {', '.join(sorted(SUMMARY_WORDS))}"
        )
    return words


class StepSync:
    """Adds the last known value of a step metric to rows that have its metrics but not itself."""

    def __init__(self) -> None:
        self._exact: dict[str, str | None] = {}
        self._globs: dict[str, str | None] = {}
        self._last: dict[str, object] = {}
        self._step_metric_of: dict[str, str | None] = {}

    def define(self, metric: Metric) -> None:
        """Take over a definition."""
        target = metric.step_metric if metric.step_sync else None
        if metric.name.endswith("*"):
            self._globs[metric.name[:-1]] = target
        else:
            self._exact[metric.name] = target
        self._step_metric_of = {}

    def go_on_from(self, last: Mapping[str, object]) -> None:
        """Take over the values that step metrics had at the end of earlier sessions."""
        self._last.update(last)

    def last_values(self) -> Mapping[str, object]:
        """Return the newest value of each step metric."""
        return self._last

    @property
    def is_needed(self) -> bool:
        """Whether any metric is synchronised."""
        return any(self._exact.values()) or any(self._globs.values())

    def fill(self, data: Mapping[str, object]) -> Mapping[str, object]:
        """Return `data`, with step metrics added where they are missing (0 if one was never logged)."""
        present, wanted = dict(_flat_keys(data)), set()
        for key in present:
            target = self._target(key)
            if target is not None:
                wanted.add(target)
        for name in self._names():
            if name in present:
                self._last[name] = present[name]
        missing = {name: self._last.get(name, 0) for name in wanted if name not in present}
        return {**data, **missing} if missing else data

    def _names(self) -> set[str]:
        return {name for name in (*self._exact.values(), *self._globs.values()) if name is not None}

    def _target(self, key: str) -> str | None:
        found = self._step_metric_of.get(key, _MISSING)
        if found is _MISSING:
            found = self._step_metric_of[key] = self._search(key)
        return found  # type: ignore[return-value]

    def _search(self, key: str) -> str | None:
        if key.startswith("_") or key in self._names():
            return self._exact.get(key)
        if key in self._exact:
            return self._exact[key]
        globs = [prefix for prefix in self._globs if key.startswith(prefix)]
        return self._globs[max(globs, key=len)] if globs else None


def _flat_keys(data: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
