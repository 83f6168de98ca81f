"""Names of the stock client that this version does not bring.

A script that uses one must neither stop nor believe that something was done.  So each says once what is
missing, and gives back an object that takes everything and is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from epochal.sdk.terminal import terminal
from epochal.sdk.values import Media

# Name at module level to what it does not do here.
MODULE_NAMES = {
    "Api": "reading runs back with Api()",
    "Artifact": "artifacts",
    "ArtifactTTL": "artifacts",
    "Audio": "audio",
    "Video": "video",
    "Object3D": "3-D objects",
    "box3d": "3-D objects",
    "Molecule": "molecules",
    "Bokeh": "Bokeh plots",
    "Graph": "model graphs",
    "Classes": "labels of image masks and boxes",
    "EvalTable": "evaluation tables",
    "JoinedTable": "joined tables",
    "PartitionedTable": "partitioned tables",
    "plot": "chart presets",
    "plot_table": "chart presets",
    "visualize": "chart presets",
    "sweep": "sweeps",
    "agent": "sweeps",
    "controller": "sweeps",
    "restore": "fetching files of runs",
    "watch": "watching gradients and parameters",
    "unwatch": "watching gradients and parameters",
    "log_artifact": "artifacts",
    "use_artifact": "artifacts",
    "log_model": "model artifacts",
    "use_model": "model artifacts",
    "link_model": "model artifacts",
    "link_artifact": "artifacts",
    "log_code": "saving code",
    "pin_config_keys": "pinned config keys",
    "sklearn": "the scikit-learn integration",
    "xgboost": "the XGBoost integration",
    "lightgbm": "the LightGBM integration",
    "catboost": "the CatBoost integration",
    "keras": "the Keras integration",
    "tensorflow": "the TensorFlow integration",
    "tensorboard": "the TensorBoard integration",
    "gym": "the gym integration",
    "sacred": "the Sacred integration",
    "jupyter": "the notebook integration",
    "apis": "reading runs back with Api()",
}


class Later(Media):
    """Stands for what is not there: takes every call and attribute, is false, and is empty."""

    def __init__(self, name: str, what: str, cause: str | None = None) -> None:
        self._later_name = name
        self._later_what = what
        self._later_cause = cause or name  # what was said once is not said again for every part of it

    def __call__(self, *args: object, **kwargs: object) -> Later:
        say_later(self._later_name, self._later_what, self._later_cause)
        return self

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever is asked for
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(f"{self._later_name}.{name}", self._later_what, self._later_cause)

    def __enter__(self) -> Later:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<{self._later_name}: not in this version of Epochal>"


class LaterType(type):
    """Makes classes whose instances are `Later`, so that isinstance() and subclassing work."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        say_later(cls.__name__, MODULE_NAMES[cls.__name__])
        instance: Any = object.__new__(cls)  # type: ignore[arg-type]
        Later.__init__(instance, cls.__name__, MODULE_NAMES[cls.__name__])
        return instance


def say_later(name: str, what: str, cause: str | None = None) -> None:
    """Say once that `name` does nothing."""
    terminal.warn_once(
        ("later", cause or name),
        f"{name} does nothing: {what} is not in this version of Epochal. Nothing was stored.",
    )


def module_name(name: str) -> object:
    """Return what stands for the module-level `name`.

    Raises:
        AttributeError: it is no name of the stock client.
    """
    if name not in MODULE_NAMES:
        raise AttributeError(f"module 'epochal' has no attribute {name!r}")
    if name[0].isupper():
        return LaterType(name, (Later,), {"__doc__": f"Not in this version: {MODULE_NAMES[name]}."})
    return Later(name, MODULE_NAMES[name])


class LaterRunMethods:
    """The methods of a run that this version does not bring."""

    def watch(self, models: object, *args: object, **kwargs: object) -> None:
        """Not in this version: log gradients and parameters."""
        say_later("run.watch", MODULE_NAMES["watch"])

    def unwatch(self, models: object = None) -> None:
        """Not in this version."""

    def restore(self, name: str, *args: object, **kwargs: object) -> None:
        """Not in this version: fetch a file of a run."""
        say_later("run.restore", MODULE_NAMES["restore"])

    def log_artifact(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.log_artifact")

    def use_artifact(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.use_artifact")

    def link_artifact(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.link_artifact")

    def upsert_artifact(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.upsert_artifact")

    def finish_artifact(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.finish_artifact")

    def log_model(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.log_model")

    def use_model(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.use_model")

    def link_model(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        return _artifact("run.link_model")

    def log_code(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Not in this version."""
        say_later("run.log_code", MODULE_NAMES["log_code"])

    def pin_config_keys(self, keys: object) -> None:
        """Not in this version: show some config keys first."""
        say_later("run.pin_config_keys", MODULE_NAMES["pin_config_keys"])


def _artifact(name: str) -> Later:
    say_later(name, "artifacts")
    return Later(name, "artifacts")
