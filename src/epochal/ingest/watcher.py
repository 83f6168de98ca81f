"""Follows the run logs of this machine, so that its runs are seen live with nothing to configure.

It polls, because that works on every file system: new run folders show in the time of the folder that holds
them, and a run log that grew shows in its size.  Runs that live are looked at four times a second, runs that
ended hardly ever, so that ten thousand of them cost nothing.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from epochal.ingest.accept import Ingest, Wanted
from epochal.ingest.run_folder import FRESH_S, RunFolder
from epochal.ingest.run_log_file import RunLogFile
from epochal.runlog.folder import PREFIXES
from epochal.wire.block import Block

POLL_S = 0.25
# A round reads at most so much, a file at most so much of it: decoded frames take ten times the memory.
MAX_ROUND_BYTES = 16 << 20
MAX_FILE_BYTES = 2 << 20
MAX_FOLDERS_PER_ROUND = 400
MAX_OPEN_FOLDERS = 64
_RESCAN_S = 30.0
_LIST_S = 1.0
_FAILURE_PAUSE_S = 1.0

_log = logging.getLogger(__name__)


class _Read(NamedTuple):
    folder: RunFolder
    file: RunLogFile
    block: Block


class Watcher:
    """Feeds `ingest` with whatever is written below the runs folders, in a thread of its own.

    Args:
        ingest: takes the blocks.
        folders: returns the runs folders; asked again every second, so that new ones are found.
        finished: run logs that need not be opened again, with how much of each was read
            (`Metadata.writers.finished_paths()`).
        clock: Unix seconds.
    """

    def __init__(
        self,
        ingest: Ingest,
        folders: Callable[[], Iterable[Path]],
        finished: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ingest = ingest
        self._folders = folders
        self._finished = finished or {}
        self._clock = clock
        self._runs_folders: dict[Path, _RunsFolder] = {}
        self._listed_at = float("-inf")
        self._due: list[tuple[float, int, RunFolder]] = []  # a heap by the time of the next look
        self._order = itertools.count()
        self._open: dict[RunFolder, None] = {}  # those that may have open files, opened last last
        self._backlog: dict[RunLogFile, RunFolder] = {}  # in the order in which they will be read
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; what was read is stored on return."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for folder in self._open:
            folder.rest()

    def poll(self) -> bool:
        """Do one round: look, read, store.  Return whether there is more to do at once."""
        now = self._clock()
        self._find_folders(now)
        looked_at, is_all_seen = self._look(now)
        reads = self._read()
        if reads:
            self._store(reads)
        self._settle({**looked_at, **{read.folder: None for read in reads}}, now)
        return bool(self._backlog) or not is_all_seen

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                is_more = self.poll()
            except Exception:  # noqa: BLE001  one bad round must not end the watching
                _log.exception("watching the run logs failed; going on")
                self._stop.wait(_FAILURE_PAUSE_S)
                continue
            if not is_more:
                self._stop.wait(max(0.0, POLL_S - (time.monotonic() - began)))

    def _find_folders(self, now: float) -> None:
        if now - self._listed_at >= _LIST_S or now < self._listed_at:
            self._listed_at = now
            for path in self._folders():
                self._runs_folders.setdefault(path, _RunsFolder(path))
        for runs_folder in self._runs_folders.values():
            for path in runs_folder.new_folders(now):
                self._schedule(RunFolder(path, self._finished), now)

    def _schedule(self, folder: RunFolder, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._order), folder))

    def _look(self, now: float) -> tuple[dict[RunFolder, None], bool]:
        """Look at the folders that are due; return them, and whether those were all."""
        looked_at: dict[RunFolder, None] = {}
        later: list[tuple[RunFolder, float]] = []
        while self._due and self._due[0][0] <= now and len(looked_at) < MAX_FOLDERS_PER_ROUND:
            folder = heapq.heappop(self._due)[2]
            looked_at[folder] = None
            try:
                for file in folder.look(now):
                    self._backlog.setdefault(file, folder)
            except FileNotFoundError:
                self._drop(folder)
                continue
            except OSError as error:
                folder.failed(error)
            later.append((folder, folder.next_look(now)))
        is_all_seen = not self._due or self._due[0][0] > now
        for folder, at in later:
            self._schedule(folder, at)
        return looked_at, is_all_seen

    def _drop(self, folder: RunFolder) -> None:
        folder.rest()
        self._open.pop(folder, None)
        self._backlog = {file: of for file, of in self._backlog.items() if of is not folder}
        runs_folder = self._runs_folders.get(folder.path.parent)
        if runs_folder is not None:
            runs_folder.forget(folder.path.name)

    def _read(self) -> list[_Read]:
        """Read from as many files as a round may; those with more to read go to the end of the queue."""
        reads: list[_Read] = []
        n_bytes = 0
        for file, folder in list(self._backlog.items()):
            if n_bytes >= MAX_ROUND_BYTES:
                break
            del self._backlog[file]
            n_bytes += min(file.n_waiting_bytes, MAX_FILE_BYTES)
            self._open.pop(folder, None)
            self._open[folder] = None
            try:
                block = folder.read(file, self._ingest, MAX_FILE_BYTES)
            except Exception as error:  # noqa: BLE001  of the file system or of a store: the run log stays
                folder.failed(error)
                continue
            if block is not None:
                reads.append(_Read(folder, file, block))
        return reads

    def _store(self, reads: Sequence[_Read]) -> None:
        try:
            wanted = self._ingest.accept([read.block for read in reads])
        except Exception:  # noqa: BLE001  found out below whose fault it is
            self._store_apart(reads)
        else:
            self._advance(reads, wanted)

    def _store_apart(self, reads: Sequence[_Read]) -> None:
        """Store folder by folder, so that one that cannot be stored does not hold the others up."""
        by_folder: dict[RunFolder, list[_Read]] = {}
        for read in reads:
            by_folder.setdefault(read.folder, []).append(read)
        for folder, of_folder in by_folder.items():
            try:
                wanted = self._ingest.accept([read.block for read in of_folder])
            except Exception as error:  # noqa: BLE001  as above
                folder.failed(error)
            else:
                self._advance(of_folder, wanted)

    def _advance(self, reads: Iterable[_Read], wanted: Wanted) -> None:
        for folder, file, block in reads:
            folder.succeeded()
            if wanted[block.run_id, block.writer] == block.end_offset:
                file.accepted()
                if file.n_waiting_bytes:
                    self._backlog[file] = folder
            else:
                file.begin_again()

    def _settle(self, folders: Iterable[RunFolder], now: float) -> None:
        """Finish the runs that are over, and close the files of what is quiet."""
        over = [f for f in folders if not self._has_backlog(f) and f.is_over(now)]
        if over:
            # Together, because it is one transaction.  If it fails, they are looked at again after a restart.
            self._ingest.finish([run_log for folder in over for run_log in folder.done()])
        for folder in folders:
            folder.tell_losses(self._ingest)
            if folder in self._open and (folder.is_done or not folder.is_lively(now)):
                del self._open[folder]
                folder.rest()
        while len(self._open) > MAX_OPEN_FOLDERS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.rest()

    def _has_backlog(self, folder: RunFolder) -> bool:
        return any(file in self._backlog for file in folder.files)


class _RunsFolder:
    """A folder of run folders."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[str] = set()
        self._changed_ns = -1
        self._scanned_at = float("-inf")
        self._is_complained = False

    def new_folders(self, now: float) -> list[Path]:
        """Return the run folders that were not returned before, oldest first."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
            is_same = changed_ns == self._changed_ns and now - changed_ns / 1e9 > FRESH_S
            # Now and then in any case: some file systems tell late that a folder changed.
            if is_same and 0 <= now - self._scanned_at < _RESCAN_S:
                return []
            names = self._scan()
        except FileNotFoundError:
            return []
        except OSError as error:
            self._complain(error)
            return []
        self._changed_ns, self._scanned_at = changed_ns, now
        new = names - self._known
        self._known = names
        return [self._path / name for name in sorted(new, key=_session_order)]

    def forget(self, name: str) -> None:
        """Return the folder of that name again if it is there again."""
        self._known.discard(name)

    def _scan(self) -> set[str]:
        with os.scandir(self._path) as entries:
            return {e.name for e in entries if e.name.startswith(PREFIXES) and e.is_dir()}

    def _complain(self, error: OSError) -> None:
        if not self._is_complained:
            self._is_complained = True
            _log.warning("%s cannot be read: %s; its runs are not seen", self._path, error.strerror)


def _session_order(name: str) -> str:
    """Sessions of a run are taken in as they happened, offline or not."""
    return name.removeprefix("offline-")
