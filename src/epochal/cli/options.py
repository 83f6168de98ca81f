"""Command-line options made from the declared settings."""

from __future__ import annotations

import argparse
import dataclasses
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from epochal.server.settings import ServerSettings, Setting, settings

_GROUP_TITLES = {"network": "on a network", "limits": "limits"}


def add_options(parser: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    """Add an option for every setting of a server but those named in `without`."""
    groups: dict[str, argparse.ArgumentParser | argparse._ArgumentGroup] = {"main": parser}
    for setting in settings():
        if setting.name in without:
            continue
        group = setting.about.group
        if group not in groups:
            groups[group] = parser.add_argument_group(_GROUP_TITLES[group])
        kind, repeats = _type_of(setting)
        groups[group].add_argument(
            option_name(setting),
            dest=setting.name,
            type=kind,
            metavar=setting.about.unit,
            # A repeated option begins from nothing: appending to the default would change the declaration.
            default=None if repeats else setting.default,
            action="append" if repeats else "store",
            help=f"{setting.about.help} (default: {default_text(setting)})".replace("%", "%%"),
        )


def settings_from(parsed: argparse.Namespace) -> ServerSettings:
    """Return the settings that the command line gave."""
    given: dict[str, Any] = {}
    for setting in settings():
        value = getattr(parsed, setting.name, None)
        if value is not None:
            given[setting.name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(ServerSettings(), **given)


def option_name(setting: Setting) -> str:
    """Return the option of a setting: `max_body_bytes` is `--max-body-bytes`."""
    return f"--{setting.name.replace('_', '-')}"


def default_text(setting: Setting) -> str:
    """Return the default as help shows it."""
    default = setting.default
    return setting.about.default or (f"{default:g}" if isinstance(default, float) else str(default))


def _type_of(setting: Setting) -> tuple[type, bool]:
    """Return the type of one value, and whether the option may be repeated."""
    hint = get_type_hints(ServerSettings)[setting.name]
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    if isinstance(hint, types.UnionType):
        return next(kind for kind in get_args(hint) if kind is not type(None)), False
    return (Path if hint is Path else hint), False
