"""Experiment tracking at full speed: `import epochal as wandb`.

Names are loaded when they are first used, so that the import itself costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochal._version import __version__ as __version__

if TYPE_CHECKING:
    from epochal import errors as errors
    from epochal.errors import AuthenticationError as AuthenticationError
    from epochal.errors import CommError as CommError
    from epochal.errors import ConfigError as ConfigError
    from epochal.errors import EpochalError
    from epochal.errors import UnsupportedError as UnsupportedError
    from epochal.errors import UsageError as UsageError
    from epochal.sdk.alert_level import AlertLevel as AlertLevel
    from epochal.sdk.api import alert as alert
    from epochal.sdk.api import define_metric as define_metric
    from epochal.sdk.api import finish as finish
    from epochal.sdk.api import log as log
    from epochal.sdk.api import mark_preempting as mark_preempting
    from epochal.sdk.api import save as save
    from epochal.sdk.attach import attach as attach
    from epochal.sdk.config import Config as Config
    from epochal.sdk.histogram import Histogram as Histogram
    from epochal.sdk.init import init as init
    from epochal.sdk.login import login as login
    from epochal.sdk.login import require as require
    from epochal.sdk.login import setup as setup
    from epochal.sdk.login import teardown as teardown
    from epochal.sdk.media.image import Image as Image
    from epochal.sdk.media.table import Table as Table
    from epochal.sdk.media.text import Html as Html
    from epochal.sdk.media.text import Plotly as Plotly
    from epochal.sdk.run import Run as Run
    from epochal.sdk.settings import Settings as Settings
    from epochal.sdk.summary import Summary
    from epochal.sdk.terminal import termerror as termerror
    from epochal.sdk.terminal import termlog as termlog
    from epochal.sdk.terminal import termwarn as termwarn

    Error = EpochalError
    run: Run | None
    config: Config
    summary: Summary

# Where each public name is: its module below `epochal`, and its name there if it is another one.
_WHERE: dict[str, tuple[str, str]] = {
    "Error": ("errors", "EpochalError"),
    "join": ("sdk.api", "finish"),
    "_attach": ("sdk.attach", "attach"),
    **{
        name: (module, name)
        for module, names in {
            "errors": "AuthenticationError CommError ConfigError UnsupportedError UsageError",
            "sdk.alert_level": "AlertLevel",
            "sdk.api": "alert define_metric finish log mark_preempting save",
            "sdk.attach": "attach",
            "sdk.config": "Config",
            "sdk.histogram": "Histogram",
            "sdk.init": "init",
            "sdk.login": "login require setup teardown",
            "sdk.media.image": "Image",
            "sdk.media.table": "Table",
            "sdk.media.text": "Html Plotly",
            "sdk.run": "Run",
            "sdk.settings": "Settings",
            "sdk.terminal": "termerror termlog termwarn",
        }.items()
        for name in names.split()
    },
}

__all__ = ["__version__", *sorted(n for n in _WHERE if not n.startswith("_")), "config", "run", "summary"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  of any public name
    if name == "run":
        return None  # while a run is live, the name is set
    if name in ("config", "summary"):
        from epochal.sdk.api import NoRun

        return NoRun(name)
    import importlib

    if name in _WHERE:
        module, original = _WHERE[name]
        value = getattr(importlib.import_module(f"epochal.{module}"), original)
    elif name == "errors":
        value = importlib.import_module("epochal.errors")
    elif name.startswith("__"):
        raise AttributeError(f"module 'epochal' has no attribute {name!r}")
    else:
        from epochal.sdk.later import module_name

        value = module_name(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
