"""Writes docs/reference/settings.md from the list of settings: `python -m epochal.sdk.settings_page`."""

from __future__ import annotations

import sys

from epochal.sdk.environment_variables import NEVER_FOREIGN
from epochal.sdk.settings import ALIASES, SETTINGS

_HEAD = """\
# Settings

Given as `init(settings=Settings(name=value, …))` or as a dict, or as a variable: `EPOCHAL_` and the name in
capitals. Where that is unset, `WANDB_` and the name is read, except for `base_url` and `api_key`: a key for
another server must not reach yours. From weakest to strongest: defaults, `$EPOCHAL_HOME/settings`,
`epochal/settings` in the working directory (both with lines of `name = value`), variables,
`epochal.setup(…)`, `init(settings=…)`, the arguments of `init`.

Names that are not listed are accepted with one notice.

| Setting | Default | What it does |
| --- | --- | --- |
"""


def page() -> str:
    """Return the page."""
    lines = []
    for name, setting in SETTINGS.items():
        old = sorted(a for a, target in ALIASES.items() if target == name and a.startswith("_"))
        also = f" Also `{'`, `'.join(old)}`." if old else ""
        only = " Only from `EPOCHAL_…`." if name in NEVER_FOREIGN else ""
        is_said = setting.acts or setting.help_text.startswith("Accepted")
        idle = "" if is_said else " Accepted; not there yet."
        lines.append(f"| `{name}` | {_shown(setting.default)} | {setting.help_text}{idle}{only}{also} |")
    return _HEAD + "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    sys.stdout.write(page())
