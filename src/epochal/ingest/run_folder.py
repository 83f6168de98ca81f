"""One run folder that is being followed: its run logs, and how often it is worth a look."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from epochal.errors import BlockError, DeletedRunError, RunLogError
from epochal.ids import WriterId
from epochal.ingest.accept import Ingest
from epochal.ingest.run_log_file import RunLogFile
from epochal.runlog.folder import SUFFIX
from epochal.runlog.format import Header, WriterKind
from epochal.runlog.reader import IncompleteRunLogError
from epochal.store.metadata import LossRecord
from epochal.wire.block import Block

# After its last growth a folder is looked at ever less often: (seconds since then, seconds between looks).
# The sidecar of a living run writes every 10 s, so nothing that lives leaves the first line.
LOOKS_S = ((60.0, 0.0), (3600.0, 1.0), (86_400.0, 10.0), (float("inf"), 60.0))
DONE_LOOKS_S = 120.0
# A folder whose time is this fresh may have got another file within the same tick of the file system's clock.
FRESH_S = 2.0
# A run without a sidecar is over when its trainer said so and this much time has passed.
SETTLED_AFTER_S = 60.0
_BACK_OFF_S = (1.0, 5.0, 30.0, 60.0)

_log = logging.getLogger(__name__)


class RunFolder:
    """Follows the run logs in the folder at `path`.  Not thread-safe.

    Args:
        path: of the folder.
        finished: how much was read of run logs that were read to their end, by path.
    """

    def __init__(self, path: Path, finished: Mapping[str, int]) -> None:
        self.path = path
        self.is_done = False  # read to the end, and ended; it may still come back to life
        self._finished = finished
        self._files: dict[str, RunLogFile] = {}
        self._unreadable: dict[str, int] = {}  # file name: its size when it was found so
        self._untold: list[LossRecord] = []
        self._complained: set[str] = set()
        self._changed_ns = -1
        self._grew_at = 0.0  # Unix seconds
        self._n_failures = 0
        self._is_new = True

    @property
    def files(self) -> Iterable[RunLogFile]:
        """The run logs in it that are known."""
        return self._files.values()

    def look(self, now: float) -> list[RunLogFile]:
        """Return the run logs that have more to read.

        Raises:
            FileNotFoundError: the folder is gone.
            OSError: it cannot be looked at.
        """
        self._look_for_files(now)
        grown = [file for name, file in list(self._files.items()) if self._has_grown(name, file)]
        if self._is_new:
            # What is found at the start may have ended long ago.
            self._grew_at = max((min(now, f.modified_at) for f in self._files.values()), default=now)
            # An empty one has only just been made: its first run log comes within the millisecond.
            is_known = all(str(f.path) in self._finished for f in self._files.values())
            self.is_done = bool(self._files) and not grown and is_known
            self._is_new = False
        elif grown:
            self._grew_at = now
        self.is_done = self.is_done and not grown
        return grown

    def read(self, file: RunLogFile, ingest: Ingest, max_bytes: int) -> Block | None:
        """Return the next block of `file`; a file that cannot be used is put on record and left alone.

        Raises:
            OSError: it cannot be read now.
        """
        try:
            return file.read(ingest.progress, max_bytes)
        except IncompleteRunLogError:
            return None
        except (RunLogError, BlockError) as error:
            self._set_aside(file, str(error))
            return None

    def tell_losses(self, ingest: Ingest) -> None:
        """Put unreadable files on record with the run of a file beside them: they cannot say whose."""
        if not self._untold:
            return
        header = next((f.header for f in self._files.values() if f.is_taken_in), None)
        if header is not None:
            for loss in self._untold:
                ingest.report_loss(header, loss)
            self._untold.clear()

    def is_over(self, now: float) -> bool:
        """Return whether all was read and the run has ended, which was not so before."""
        files = self._readable()
        if self.is_done or not files or any(f.header is None for f in files):
            return False
        sidecars = [f for f in files if _is(f, "sidecar")]
        trainers = [f for f in files if _is(f, "primary")]
        if sidecars:
            # Any: one that was killed says nothing, and the one that took its place says it all.
            has_ended = any(f.has_ended for f in sidecars)
        else:
            has_ended = any(f.has_ended for f in trainers) and now - self._grew_at > SETTLED_AFTER_S
        # The end may have been read from one file after the last rows came to another that was read before.
        return has_ended and not self._has_unread()

    def done(self) -> list[tuple[Header, Path]]:
        """Rest until something grows; return the run logs that need not be opened again."""
        self.is_done = True
        self.rest()
        return [(f.header, f.path) for f in self._readable() if f.header is not None]

    def rest(self) -> None:
        """Close all files; what grows is opened again."""
        for file in self._files.values():
            file.close()

    def begin_again(self) -> None:
        """Read again what was not accepted."""
        for file in self._files.values():
            file.begin_again()

    def next_look(self, now: float) -> float:
        """Return when (Unix seconds) the folder is to be looked at again."""
        if self._n_failures:
            return now + _BACK_OFF_S[min(self._n_failures, len(_BACK_OFF_S)) - 1]
        if self.is_done:
            return now + DONE_LOOKS_S
        quiet_s = now - self._grew_at
        return now + next(every for until, every in LOOKS_S if quiet_s <= until)

    def is_lively(self, now: float) -> bool:
        """Return whether it is looked at so often that its files had better stay open."""
        return not self._n_failures and now - self._grew_at <= LOOKS_S[0][0]

    def failed(self, error: Exception) -> None:
        """Take note of trouble that may pass: it is logged once, and tried again later and later.

        A run that was deleted is left alone, unless it grows.
        """
        self.begin_again()
        self._n_failures += 1
        if isinstance(error, DeletedRunError):
            self._unreadable |= {name: f.path.stat().st_size for name, f in self._files.items()}
            self._complain(f"{self.path} is left alone: {error}")
            return
        self._complain(f"{self.path} cannot be taken in: {error}; trying again")

    def succeeded(self) -> None:
        """Take note that the trouble is over."""
        self._n_failures = 0

    def _has_unread(self) -> bool:
        try:
            return any(file.look() for file in self._readable())
        except OSError:
            return True  # The next look tells.

    def _look_for_files(self, now: float) -> None:
        changed_ns = self.path.stat().st_mtime_ns
        if changed_ns == self._changed_ns and now - changed_ns / 1e9 > FRESH_S:
            return
        with os.scandir(self.path) as entries:
            names = sorted(e.name for e in entries if e.name.endswith(SUFFIX))
        for name in self._files.keys() - set(names):
            self._files.pop(name).close()
        for name in names:
            if name not in self._files:
                path = self.path / name
                self._files[name] = RunLogFile(path, self._finished.get(str(path), 0))
        self._changed_ns = changed_ns

    def _has_grown(self, name: str, file: RunLogFile) -> bool:
        try:
            if name in self._unreadable:
                if file.path.stat().st_size == self._unreadable[name]:
                    return False
                del self._unreadable[name]
            return file.look()
        except FileNotFoundError:
            self._changed_ns = -1
            self._files.pop(name).close()
            return False

    def _set_aside(self, file: RunLogFile, why: str) -> None:
        size = file.path.stat().st_size
        self._unreadable[file.path.name] = size
        if self._complain(why):
            self._untold.append(LossRecord(WriterId(file.path.stem), 0, size, why.splitlines()[0]))

    def _readable(self) -> list[RunLogFile]:
        return [file for name, file in self._files.items() if name not in self._unreadable]

    def _complain(self, what: str) -> bool:
        if what in self._complained:
            return False
        self._complained.add(what)
        _log.warning("%s", what)
        return True


def _is(file: RunLogFile, kind: WriterKind) -> bool:
    return file.header is not None and file.header.kind == kind
