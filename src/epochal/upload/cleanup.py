"""Deletes run folders whose run is over and whose every byte a server confirmed; only ever when asked to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from epochal.errors import RunLogError
from epochal.runlog.folder import SUFFIX
from epochal.runlog.reader import RunLogReader
from epochal.upload.client import Client, Offsets
from epochal.upload.note import read_note, run_log_sizes

DAY_S = 86_400.0


class Rules(NamedTuple):
    """Which of the folders that a server has in full may go."""

    min_age_s: float = 0.0  # since the server confirmed the last of it
    keep_bytes: int = 0  # the newest folders stay, as many as fit


def clean_up(
    folders: Iterable[Path], client: Client, server: str, rules: Rules, now: float
) -> tuple[list[Path], int]:
    """Delete folders, oldest confirmation first; return those, and how many bytes they took.

    The server is asked once more about each, right before it goes.

    Raises:
        CommError: the server cannot be asked.
    """
    confirmed = sorted(
        (note.time, folder)
        for folder in folders
        if (note := read_note(folder)) is not None and note.server == server and not note.n_lost_bytes
    )
    left = sum(_n_bytes(folder) for _, folder in confirmed)
    deleted: list[Path] = []
    n_deleted = 0
    for at, folder in confirmed:
        if now - at < rules.min_age_s or left <= rules.keep_bytes:
            continue
        n_bytes = _n_bytes(folder)
        if _has_nothing_else(folder) and _is_confirmed(folder, client.offsets):
            shutil.rmtree(folder)
            deleted.append(folder)
            left, n_deleted = left - n_bytes, n_deleted + n_bytes
    return deleted, n_deleted


def _has_nothing_else(folder: Path) -> bool:
    """Whether there are no files of the user's in it, which are not sent yet."""
    files = folder / "files"
    return not files.is_dir() or not any(files.iterdir())


def _is_confirmed(folder: Path, offsets: Callable[[str | None, str, str], Offsets]) -> bool:
    """Ask the server whether the run is over and every byte of every run log is there."""
    for name, size in run_log_sizes(folder):
        try:
            with RunLogReader(folder / name) as reader:
                header = reader.header
        except (OSError, RunLogError):
            return False
        known = offsets(header.entity, header.project, header.run_id)
        if not known.ended or known.writers.get(header.writer, 0) < size:
            return False
    return any(name.endswith(SUFFIX) for name, _ in run_log_sizes(folder))


def _n_bytes(folder: Path) -> int:
    return sum(size for _, size in run_log_sizes(folder))
