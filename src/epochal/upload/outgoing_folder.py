"""The run logs of one session's folder on their way to a server."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Set
from pathlib import Path

from epochal.runlog.folder import SUFFIX
from epochal.upload.outgoing_log import OutgoingLog

# A folder whose time is this fresh may have got another file within the same tick of the file system's clock.
_FRESH_S = 2.0


class OutgoingFolder:
    """The folder at `path`.  Not thread-safe.

    Args:
        path: of a session of a run.
        only: names of the run logs to send; None for all.
        clock: Unix seconds.

    Attributes:
        entity: where the server put it; empty until it said so.
    """

    def __init__(
        self, path: Path, *, only: Set[str] | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self.only = only
        self.entity = ""
        self._clock = clock
        self._logs: dict[str, OutgoingLog] = {}
        self._changed_ns = -1

    @property
    def logs(self) -> Iterable[OutgoingLog]:
        """Those that were found, by name."""
        return self._logs.values()

    @property
    def has_more(self) -> bool:
        """Whether there may be something to send, as of the last look."""
        return any(log.has_more for log in self._logs.values())

    @property
    def n_sent_bytes(self) -> int:
        """How much of it is on the server."""
        return sum(min(log.size, log.offset or 0) for log in self._logs.values())

    @property
    def is_asked(self) -> bool:
        """Whether the server said of every run log that can be sent how far it has it."""
        known = [log for log in self._logs.values() if log.why_stopped is None and log.header is not None]
        return bool(known) and all(log.offset is not None for log in known)

    @property
    def n_left_bytes(self) -> int:
        """How much can still be sent."""
        return sum(log.n_left_bytes for log in self._logs.values() if log.has_more)

    @property
    def why_stopped(self) -> str | None:
        """Why a part of it is not sent any more; None while all is well."""
        return next((log.why_stopped for log in self._logs.values() if log.why_stopped), None)

    def look(self) -> None:
        """Look for new run logs and new ends of those that are known.

        Raises:
            FileNotFoundError: the folder is gone.
            OSError: it cannot be looked at.
        """
        changed_ns = self.path.stat().st_mtime_ns
        if changed_ns != self._changed_ns or self._clock() - changed_ns / 1e9 <= _FRESH_S:
            self._look_for_files()
            self._changed_ns = changed_ns
        for name, log in list(self._logs.items()):
            try:
                log.look()
            except FileNotFoundError:
                log.rest()
                del self._logs[name]

    def look_quietly(self) -> None:
        """Look as `look` does; what cannot be looked at now is left as it is."""
        with contextlib.suppress(OSError):
            self.look()

    def rest(self) -> None:
        """Give all file handles back."""
        for log in self._logs.values():
            log.rest()

    def _look_for_files(self) -> None:
        with os.scandir(self.path) as entries:
            # Regular files: opening a pipe of that name would wait for ever.
            names = sorted(e.name for e in entries if e.name.endswith(SUFFIX) and e.is_file())
        for name in names:
            if name not in self._logs and (self.only is None or name in self.only):
                self._logs[name] = OutgoingLog(self.path / name)
