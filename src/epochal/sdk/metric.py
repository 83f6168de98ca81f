"""`define_metric`: what a metric key means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from epochal.errors import EpochalError
from epochal.runlog.summary import SUMMARY_WORDS
from epochal.sdk.arguments import say_unknown


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


class DefinesMetrics:
    """The part of a run that says what its metrics mean."""

    if TYPE_CHECKING:

        def _check_live(self, doing: str) -> None: ...
        def _record_definition(self, definition: dict[str, object]) -> None: ...
        def _synchronise(self, defined: Metric) -> None: ...

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
        **unknown: object,
    ) -> Metric:
        """Say what a metric means.

        Args:
            name: of the metric, or a glob with a trailing `*`.
            step_metric: the metric that is its x axis.
            step_sync: add the last value of `step_metric` to rows that lack it; on if there is one.
            hidden: no panel of its own.
            summary: `min`, `max`, `mean`, `last`, `first`, `best`, `copy` or `none`; several with commas.
            goal: `minimize` or `maximize`, for `best`.
            overwrite: replace an earlier definition in place of adding to it.

        Raises:
            EpochalError: the definition makes no sense.
            UsageError: the run is finished.
        """
        self._check_live("define_metric")
        say_unknown("define_metric", unknown)
        step_name = step_metric.name if isinstance(step_metric, Metric) else step_metric
        if not isinstance(name, str) or not name:
            raise EpochalError(f"define_metric needs the name of a metric, not {name!r}")
        if "*" in name[:-1]:
            raise EpochalError(f"in define_metric({name!r}) the * can only be the last character")
        if step_name is not None and (not isinstance(step_name, str) or not step_name or "*" in step_name):
            raise EpochalError(f"the step metric of {name!r} is the name of one metric, not {step_name!r}")
        if goal is not None and goal not in ("minimize", "maximize"):
            raise EpochalError(f"the goal of {name!r} is 'minimize' or 'maximize', not {goal!r}")
        defined = Metric(
            {
                "name": _unescaped(name),
                "step_metric": None if step_name is None else _unescaped(step_name),
                "step_sync": _is_synchronised(step_sync, step_name),
                "hidden": hidden,
                "summary": _summary_words(name, summary),
                "goal": goal,
                "overwrite": bool(overwrite),
            }
        )
        self._record_definition(defined.to_record())
        self._synchronise(defined)
        return defined


def _unescaped(name: str) -> str:
    r"""Return a name without `\.`: keys are flat here, so a dot in a name needs no mark."""
    return name.replace("\\.", ".")


def _is_synchronised(step_sync: object, step_name: str | None) -> bool | None:
    """Return what was said; a definition without a step metric says nothing about it."""
    if step_sync is not None:
        return bool(step_sync)
    return None if step_name is None else True


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
