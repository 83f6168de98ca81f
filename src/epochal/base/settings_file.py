"""Writes single lines of `$EPOCHAL_HOME/settings`, which is the user's: the other lines stay as they are."""

from __future__ import annotations

import contextlib
from pathlib import Path


def put(path: Path, name: str, value: str | None) -> None:
    """Have the file at `path` set `name` to `value`, or not set it at all.

    Raises:
        OSError: it cannot be read or written.
    """
    lines: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0].strip() != name]
    if value is not None:
        kept.append(f"{name} = {value}")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    beside.replace(path)
