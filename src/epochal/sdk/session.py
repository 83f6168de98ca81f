"""The files of one `init()`: the run's folder, this process's run log in it, and where no files can be.

A forked child writes a run log of its own in the same folder; nothing of the parent's is touched by it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from epochal._version import __version__
from epochal.base.home import home
from epochal.ids import generate_id
from epochal.runlog.folder import SUFFIX, announce, default_runs_folder, new_run_folder, sessions_of
from epochal.runlog.format import Header, WriterKind
from epochal.runlog.writer import RunLogWriter
from epochal.sdk import sidecar_process
from epochal.sdk.settings import Settings
from epochal.sdk.summary import SummaryBefore, SummaryOfFolders, SummaryState, Tree
from epochal.sdk.terminal import terminal

BYTES_PER_QUEUED_ROW = 6_711
MIN_BUFFER_BYTES = 1 << 20


class Log(Protocol):
    """Where records go."""

    lost_rows: int

    def append(self, payload: bytes) -> None:
        """Take one encoded record."""

    def repeat(self, after_bytes: int) -> None:
        """Write a checkpoint, if the last one is more than `after_bytes` behind."""

    def flush(self, timeout_s: float = ...) -> bool:
        """Wait until nothing is held back."""

    def close(self, timeout_s: float = ..., refuse: Callable[[bytes], object] | None = ...) -> bool:
        """Take nothing any more; `refuse` raises what a later `append` is to raise."""

    def abandon(self) -> None:
        """Let go of everything in a forked child."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which run a session belongs to, and since when."""

    run_id: str
    project: str
    entity: str | None
    mode: str
    start_time: float
    start_step: int = 0
    resumed: bool = False
    label: str | None = None
    is_step_unknown: bool = False  # of the first row: the server has to say what the run's next step is


class Session:
    """A session whose run log is on the disk.

    Args:
        identity: of the run.
        folder: of this session.
        max_buffer_bytes: that rows may take in memory while the disk refuses or is slow.
    """

    is_recorded = True

    def __init__(self, identity: Identity, folder: Path, max_buffer_bytes: int) -> None:
        self.identity = identity
        self.folder = folder
        self.files = folder / "files"
        self._max_buffer_bytes = max_buffer_bytes
        self._summary: SummaryOfFolders | None = None
        self._summary_before = SummaryBefore()
        self._lock = threading.Lock()  # of the summary's reading, which remembers how far it got

    def open_log(self, kind: WriterKind, checkpoint: Callable[[], bytes]) -> RunLogWriter:
        """Create a run log for this process.

        Args:
            kind: of the writer.
            checkpoint: returns the record that repeats what the run log says so far.

        Raises:
            OSError: it cannot be created.
        """
        writer = generate_id()
        i = self.identity
        header = Header(
            run_id=i.run_id,
            project=i.project,
            entity=i.entity,
            writer=writer,
            kind=kind,
            start_time=i.start_time,
            start_step=i.start_step,
            pid=os.getpid(),
            host=os.uname().nodename,
            sdk_version=__version__,
            mode=i.mode,
            resumed=i.resumed,
            label=i.label,
        )
        return RunLogWriter(
            self.folder / f"{writer}{SUFFIX}",
            header,
            on_trouble=terminal.warn,
            on_pause=sidecar_process.check,
            checkpoint=checkpoint,
            max_buffer_bytes=self._max_buffer_bytes,
        )

    def summary(self) -> Tree:
        """Return the run's summary of now, earlier sessions included."""
        with self._lock:
            return self._summary_so_far().tree()

    def n_unread_summary_bytes(self) -> int:
        """Return how many bytes of run logs `summary` would read."""
        with self._lock:
            return self._summary_so_far().n_unread_bytes()

    def go_on_from(self, before: SummaryBefore) -> None:
        """Begin the summary with what is known of earlier sessions that are not on this machine."""
        self._summary_before = before

    def forget(self) -> None:
        """In a forked child: another thread of the parent may have been reading."""
        self._lock = threading.Lock()
        self._summary = None

    def _summary_so_far(self) -> SummaryOfFolders:
        if self._summary is None:
            earlier = sessions_of(self.folder.parent, self.identity.run_id) if self.identity.resumed else []
            folders = [*(f for f in earlier if f != self.folder), self.folder]
            self._summary = SummaryOfFolders(folders, self._summary_before)
        return self._summary


class UnrecordedSession:
    """The session of a disabled run: nothing is kept but the summary, in memory."""

    is_recorded = False

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.folder = temporary_folder()
        self.files = self.folder
        self._log = SummaryLog()

    def open_log(self, kind: WriterKind, checkpoint: Callable[[], bytes]) -> Log:
        """Return the log that only folds the summary."""
        del kind, checkpoint
        return self._log

    def summary(self) -> Tree:
        """Return the run's summary of now."""
        return self._log.tree()

    def n_unread_summary_bytes(self) -> int:
        """The summary is in memory."""
        return 0

    def go_on_from(self, before: SummaryBefore) -> None:
        """Nothing is gone on with."""

    def forget(self) -> None:
        """In a forked child: the log itself is told."""


class SummaryLog:
    """Takes records as a run log does, and keeps their summary only."""

    def __init__(self) -> None:
        self.lost_rows = 0
        self._state = SummaryState()
        self._lock = threading.Lock()

    def append(self, payload: bytes) -> None:
        """Fold one record."""
        record: Sequence[Any] = _decode(payload)
        with self._lock:
            self._state.add([record])

    def repeat(self, after_bytes: int) -> None:
        """Nobody reads it from a place in the middle."""

    def tree(self) -> Tree:
        """Return the summary of now."""
        with self._lock:
            return self._state.tree()

    def flush(self, timeout_s: float = 0.0) -> bool:
        """Nothing is held back."""
        del timeout_s
        return True

    def close(self, timeout_s: float = 0.0, refuse: object = None) -> bool:
        """Nothing is open."""
        del timeout_s, refuse
        return True

    def abandon(self) -> None:
        """In a forked child: go on from what the parent had, with a lock that nobody holds."""
        self._lock = threading.Lock()


_decode = msgspec.msgpack.Decoder().decode


def runs_folder(settings: Settings) -> Path:
    """Return where the folders of runs go, as the settings say."""
    if settings.root_dir:
        return Path(settings.root_dir).expanduser().absolute() / "epochal"
    return default_runs_folder(home(os.environ))


def create(identity: Identity, settings: Settings, folder: Path) -> Session:
    """Create the folder of a session below the runs folder `folder`.

    Where that cannot be written to, a folder for temporary files is taken with a warning: the script goes on.

    Raises:
        OSError: neither can be written to.
    """
    try:
        made = new_run_folder(folder, identity.run_id, mode=identity.mode, now=identity.start_time)
    except OSError as error:
        instead = temporary_folder() / "epochal"
        terminal.warn(f"{folder} cannot be written to ({error}); the run is kept in {instead} instead.")
        folder = instead
        made = new_run_folder(folder, identity.run_id, mode=identity.mode, now=identity.start_time)
    announce(home(os.environ), folder)
    return Session(identity, made, buffer_bytes(settings))


def temporary_folder() -> Path:
    """Return the folder for temporary files."""
    import tempfile  # not at the top: it is slow to import and hardly ever needed

    return Path(tempfile.gettempdir())


def buffer_bytes(settings: Settings) -> int:
    """Return how much memory waiting rows may take."""
    return max(MIN_BUFFER_BYTES, settings.x_internal_queue_size * BYTES_PER_QUEUED_ROW)


AnySession = Session | UnrecordedSession
