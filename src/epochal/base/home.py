"""Where Epochal keeps its files when nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str]) -> Path:
    """Return `$EPOCHAL_HOME`, or `~/.epochal`; an absolute path that need not exist."""
    named = environ.get("EPOCHAL_HOME")
    return Path(named).expanduser().absolute() if named else Path.home() / ".epochal"
