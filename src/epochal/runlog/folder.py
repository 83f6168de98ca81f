"""Where run logs lie: the folder of one run, and the folders that hold such folders.

`docs/formats/run-log.md` describes both.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

SUFFIX = ".runlog"
PREFIXES = ("run-", "offline-run-")


def default_runs_folder(home: Path) -> Path:
    """Return where runs go when nobody named a folder."""
    return home / "runs"


def new_run_folder(runs_folder: Path, run_id: str, *, mode: str, now: float) -> Path:
    """Create and return an empty folder for a session of `run_id` that begins at `now` (Unix seconds).

    Raises:
        OSError: it cannot be created.
    """
    prefix = "offline-run-" if mode == "offline" else "run-"
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
    runs_folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(10_000):
        # A run resumed within the same second gets a number: two sessions never share a folder.
        extra = f".{attempt}" if attempt else ""
        folder = runs_folder / f"{prefix}{stamp}{extra}-{run_id}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"no free name for a session of {run_id} in {runs_folder}")


def sessions_of(runs_folder: Path, run_id: str) -> list[Path]:
    """Return the folders of all sessions of `run_id`, oldest first."""
    try:
        names = [e.name for e in os.scandir(runs_folder) if e.name.endswith(f"-{run_id}")]
    except OSError:
        return []
    # The stamp's length is fixed, so what follows it is the id: `a-b` does not match the run `b`.
    wanted = [n for n in names if n.startswith(PREFIXES) and _run_id_in(n) == run_id]
    return [runs_folder / n for n in sorted(wanted, key=lambda n: n.removeprefix("offline-"))]


def announce(home: Path, runs_folder: Path) -> None:
    """Leave a note in `home` that runs are in `runs_folder`, so that the local server finds them.

    Best effort: a home that cannot be written to costs the discovery, not the run.
    """
    target = str(runs_folder.absolute())
    if target == str(default_runs_folder(home).absolute()):
        return
    import hashlib  # loads a cryptographic library: milliseconds of every init() that does not need it

    note = home / "folders" / hashlib.sha256(os.fsencode(target)).hexdigest()[:16]
    with contextlib.suppress(OSError):
        if not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(target, encoding="utf-8", errors="surrogateescape")


def runs_folders(home: Path) -> list[Path]:
    """Return the default runs folder and every announced one, whether they exist or not."""
    folders = [default_runs_folder(home)]
    with contextlib.suppress(OSError):
        for note in sorted((home / "folders").iterdir()):
            with contextlib.suppress(OSError):
                folders.append(Path(note.read_text(encoding="utf-8", errors="surrogateescape")))
    return list(dict.fromkeys(folders))


def _run_id_in(name: str) -> str:
    stamp, _, run_id = name.removeprefix("offline-").removeprefix("run-").partition("-")
    return run_id if stamp else ""
