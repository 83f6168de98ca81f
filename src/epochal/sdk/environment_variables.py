"""Settings from the environment: `EPOCHAL_<NAME>`, and the stock client's `WANDB_<NAME>` where that is unset.

Two exceptions, so that no secret goes to the wrong server: an address and a key are only ever taken from
our own variables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from epochal.errors import UsageError
from epochal.sdk.settings import SETTINGS, Settings, setting_name
from epochal.sdk.terminal import terminal

OWN_PREFIX = "EPOCHAL_"
FOREIGN_PREFIX = "WANDB_"
NEVER_FOREIGN = frozenset({"base_url", "api_key"})
# A folder that was downloaded must not decide where a key from the environment is sent.
NEVER_FROM_FOLDERS = NEVER_FOREIGN

# Variables whose name is not that of their setting.
_NAMES = {
    "NAME": "run_name",
    "NOTES": "run_notes",
    "TAGS": "run_tags",
    "JOB_TYPE": "run_job_type",
    "DIR": "root_dir",
    "DISABLE_STATS": "x_disable_stats",
    "LABEL": "x_label",
}


def settings_from_environment(environ: Mapping[str, str]) -> Settings:
    """Return what `environ` sets; a value that cannot be read is left out with one warning."""
    settings = Settings()
    # Foreign ones first, so that our own replace them.
    for prefix in (FOREIGN_PREFIX, OWN_PREFIX):
        for variable, name, value in _named(environ, prefix):
            if prefix == FOREIGN_PREFIX and name in NEVER_FOREIGN:
                continue
            try:
                settings.update({name: SETTINGS[name].checked(value)})
            except UsageError as error:
                terminal.warn_once(("variable", variable), f"{variable} is ignored: {error}")
    return settings


def _named(environ: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str, str]]:
    for variable, value in environ.items():
        # An empty variable is how shells write "not set".
        if not variable.startswith(prefix) or value == "":
            continue
        rest = variable[len(prefix) :]
        name = _NAMES.get(rest) or setting_name(rest.lower())
        if name is not None:
            yield variable, name, value


def settings_from_file(path: Path, without: Set[str] = frozenset()) -> Settings:
    """Return what the settings file at `path` sets: lines of `name = value`; others are skipped.

    Settings named in `without` are left out with one warning.

    A file that is not there sets nothing; a line that cannot be read is left out with one warning.
    """
    settings = Settings()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return settings
    for line in lines:
        name, equals, value = line.partition("=")
        name = setting_name(name.strip()) or ""
        if not equals or not name or line.lstrip().startswith(("#", ";")):
            continue
        if name in without:
            terminal.warn_once(
                ("settings file", path, name),
                f"{path}: {name} is ignored here; set it in $EPOCHAL_HOME/settings",
            )
            continue
        try:
            settings.update({name: SETTINGS[name].checked(value.strip())})
        except UsageError as error:
            terminal.warn_once(("settings file", path, name), f"{path}: {error}")
    return settings
