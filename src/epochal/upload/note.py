"""The note beside a run's logs that says how far a server has them: `upload.json`.

It spares `epochal status` and `epochal sync` a question per run.  It is no state that sending needs: where
it is missing or old, the server is asked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from epochal.runlog.folder import SUFFIX
from epochal.upload.outgoing_folder import OutgoingFolder

FILE_NAME = "upload.json"


class SentLog(msgspec.Struct, frozen=True):
    """How far one run log was sent."""

    offset: int  # bytes that the server has
    size: int  # bytes of the file when everything that could be sent was


class UploadNote(msgspec.Struct, frozen=True):
    """What `upload.json` says."""

    server: str
    entity: str
    time: float  # Unix seconds
    logs: dict[str, SentLog]
    n_lost_bytes: int = 0  # damaged bytes among what was sent


def read_note(folder: Path) -> UploadNote | None:
    """Return the note of a run's folder, or None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=UploadNote)
    except (OSError, msgspec.MsgspecError):
        return None


def write_note(folder: OutgoingFolder, server: str, now: float) -> None:
    """Leave the note; a folder that cannot be written to goes without."""
    lost = sum(loss.n_bytes for log in folder.logs for loss in log.losses)
    before = read_note(folder.path)
    if before is not None and before.server == server:
        lost = max(lost, before.n_lost_bytes)
    logs = {
        log.path.name: SentLog(log.offset or 0, log.seen_size if log.why_stopped is None else 0)
        for log in folder.logs
    }
    data = msgspec.json.encode(UploadNote(server, folder.entity, now, logs, lost))
    path = folder.path / FILE_NAME
    with contextlib.suppress(OSError):
        beside = path.with_name(f"{FILE_NAME}.{os.getpid()}")
        beside.write_bytes(data)
        beside.replace(path)


def is_all_sent(folder: Path, server: str) -> bool:
    """Whether the note says that `server` has everything that the folder's run logs hold now."""
    note = read_note(folder)
    if note is None or note.server != server:
        return False
    sizes = run_log_sizes(folder)
    return bool(sizes) and all(name in note.logs and note.logs[name].size == size for name, size in sizes)


def run_log_sizes(folder: Path) -> list[tuple[str, int]]:
    """Return name and size of every run log in `folder`; nothing if it cannot be looked at."""
    found: Iterable[os.DirEntry[str]] = ()
    try:
        with os.scandir(folder) as found:
            return [(entry.name, entry.stat().st_size) for entry in found if entry.name.endswith(SUFFIX)]
    except OSError:
        return []
