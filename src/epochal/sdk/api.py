"""The module-level functions that mean the current run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epochal.errors import EpochalError
from epochal.sdk.metric import Metric
from epochal.sdk.process import process
from epochal.sdk.run import Run


class NoRun:
    """Stands for `epochal.config` and `epochal.summary` while there is no run."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattr__(self, key: str) -> Any:  # noqa: ANN401
        if key.startswith("__"):
            raise AttributeError(key)
        raise no_run(f"epochal.{object.__getattribute__(self, '_name')}.{key}")

    def __setattr__(self, key: str, value: object) -> None:
        raise no_run(f"epochal.{object.__getattribute__(self, '_name')}.{key}")

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        raise no_run(f"epochal.{object.__getattribute__(self, '_name')}[{key!r}]")

    __setitem__ = __setattr__

    def __repr__(self) -> str:
        return f"<epochal.{object.__getattribute__(self, '_name')}: no run yet>"


def no_run(what: str) -> EpochalError:
    """Return the error for `what` while there is no run."""
    return EpochalError(f"{what} needs a run: call epochal.init() first")


def current(what: str) -> Run:
    """Return the run that module-level names mean.

    Raises:
        EpochalError: there is none.
    """
    if process.current is None:
        raise no_run(what)
    return process.current


def log(
    data: Mapping[str, object],
    step: int | None = None,
    commit: bool | None = None,
    sync: bool | None = None,
) -> None:
    """Log a row to the current run: `Run.log`."""
    current("epochal.log()").log(data, step, commit, sync)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """Finish the current run, if there is one."""
    if process.current is not None:
        process.current.finish(exit_code, quiet)


def define_metric(name: str, *args: Any, **kwargs: Any) -> Metric:  # noqa: ANN401  those of Run.define_metric
    """Define a metric of the current run: `Run.define_metric`."""
    return current("epochal.define_metric()").define_metric(name, *args, **kwargs)


def save(*args: Any, **kwargs: Any) -> list[str]:  # noqa: ANN401  those of Run.save
    """Save files with the current run: `Run.save`."""
    return current("epochal.save()").save(*args, **kwargs)


def alert(title: str, text: str = "", level: object = None, wait_duration: object = None) -> None:
    """Call for attention from the current run: `Run.alert`."""
    current("epochal.alert()").alert(title, text, level, wait_duration)


def mark_preempting() -> None:
    """Say that this process is about to be taken away: `Run.mark_preempting`."""
    current("epochal.mark_preempting()").mark_preempting()
