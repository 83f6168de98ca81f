"""One run, as a script holds it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from epochal.runlog.format import RecordType
from epochal.sdk import ending
from epochal.sdk.config import Config
from epochal.sdk.console_files import ConsoleFile
from epochal.sdk.later import LaterRunMethods
from epochal.sdk.run_facts import RunFacts
from epochal.sdk.said import Said
from epochal.sdk.session import AnySession
from epochal.sdk.settings import Settings
from epochal.sdk.summary import Summary
from epochal.sdk.terminal import terminal

if TYPE_CHECKING:
    from epochal.sdk.destination import Destination


class Run(LaterRunMethods, RunFacts):
    """A run.  Made by `init`, never by itself.

    Safe to use from several threads.  In a forked child it goes on as another writer of the same run;
    pickled, it attaches to the run in the process that loads it.
    """

    def __init__(
        self, session: AnySession, settings: Settings, attributes: dict[str, Any], *, is_primary: bool = True
    ) -> None:
        self._settings = settings
        self._is_foreign = False  # in a forked child
        self._began_here = False  # by init() in this process or the one it was forked from
        self._console_files: list[ConsoleFile] = []  # that the sidecar follows
        self._on_finish: list[Any] = []
        self._destination: Destination | None = None
        super().__init__(session, attributes, is_primary=is_primary)
        self._config = Config(self._record_config, bool(settings.allow_val_change))
        self._summary = Summary(session.summary, self._record_summary)

    # What is done with it

    def save(
        self,
        glob_str: str | os.PathLike[str] | None = None,
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        glob: bool = True,
    ) -> list[str]:
        """Put files into the run's folder and return their paths there.

        Args:
            glob_str: a path or a glob, expanded once, now.
            base_path: what of the path is not repeated below the run's folder; the file's own folder if None.
            policy: `live`, `now` or `end`; a file saved `live` or `end` is linked where that can be, so that
                what it holds at the end is what is kept.
            glob: False takes `glob_str` as the name of one file.
        """
        if glob_str is None or not self._session.is_recorded:
            return []
        from epochal.sdk import saved_files

        files = saved_files.save(self._session.files, Path(glob_str), base_path, policy, glob)
        for relative in files:
            self._record(RecordType.FILE, relative, policy)
        return [str(self._session.files / relative) for relative in files]

    def mark_preempting(self) -> None:
        """Say that this process is about to be taken away: a bad end is then `preempted`."""
        self._record_attributes({"preempting": True})

    def write_logs(self, text: str) -> None:
        """Add text to the console log."""
        self._record(RecordType.CONSOLE, "stdout", str(text))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything logged is in the file; return whether that was reached in time."""
        deadline = time.monotonic() + timeout_s
        n_late = self._wait_for_devices(timeout_s)
        return self._log.flush(max(0.0, deadline - time.monotonic())) and n_late == 0

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run.  A second call does nothing; in a forked child the run goes on in its parent.

        Args:
            exit_code: 0 for success, None for what can be seen of how the process is doing.
            quiet: print nothing.
        """
        if not self._is_finished:
            ending.finish(self, exit_code, bool(quiet))

    join = finish

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        ending.finish_with(self, error)

    def status(self) -> dict[str, object]:
        """Return what is known of the run's log: its file, its size in bytes, rows lost to a full disk."""
        log = self._log
        return {
            "path": str(getattr(log, "path", "")),
            "size": getattr(log, "size", 0),
            "lost_rows": log.lost_rows,
        }

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Show the run in a notebook's cell; return whether there was anything to show."""
        del hidden
        if self.url is None:
            return False
        display = sys.modules.get("IPython.display")
        if display is None:
            return False
        display.display(display.IFrame(self.url, "100%", height))
        return True

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """Return a frame with the run's page, for notebooks."""
        del hidden
        return (
            f'<iframe src="{self.url or ""}" style="border:none;width:100%;height:{int(height)}px"></iframe>'
        )

    # Other processes

    def _become_foreign(self) -> None:
        """In a forked child: let go of the parent's file and locks.  The first record opens a new log."""
        self._become_unplaced()
        self._said = Said()
        self._is_foreign = True
        self._console_files = []
        self._log.abandon()
        self._session.forget()
        self._append = self._append_first

    def _append_first(self, payload: bytes) -> None:
        """Open this process's own run log and write its first record."""
        with self._lock:
            if self._append == self._append_first:
                try:
                    self._log = self._session.open_log("secondary", self._checkpoint)
                except OSError as error:
                    terminal.error_once("child log", f"A child process cannot write to the run: {error}")
                    self._append = _drop
                    return
                self._append = self._log.append
        self._append(payload)

    def __reduce__(self) -> tuple[Any, ...]:
        from epochal.sdk.attach import attach_to, state_of

        return attach_to, (state_of(self),)

    def __copy__(self) -> Run:
        return self

    def __deepcopy__(self, memo: object) -> Run:
        return self

    def __repr__(self) -> str:
        state = "finished" if self._is_finished else "live"
        return f"<epochal.Run {self.path} ({state})>"

    # Private names of the stock client that frameworks use

    @property
    def _attach_id(self) -> str:
        return self.id

    @property
    def _init_pid(self) -> int:
        return os.getpid()

    def _label(self, *args: object, **kwargs: object) -> None:
        """Nothing: code is not labelled."""

    def _set_config_wandb(self, key: str, value: object) -> None:
        """Nothing: the stock client's telemetry."""


def _drop(payload: bytes) -> None:
    """Take a record and do nothing with it."""
