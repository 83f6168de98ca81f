"""Sends run folders of this machine to a server, several at once: the work of `epochal sync`.

Safe to stop at any moment and to run on several machines at once: the server says where each run log goes on.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from epochal.errors import AuthenticationError, UsageError
from epochal.runlog.folder import PREFIXES, SUFFIX
from epochal.upload.note import is_all_sent, write_note
from epochal.upload.outgoing_folder import OutgoingFolder
from epochal.upload.outgoing_log import torn_bytes
from epochal.upload.sender import Sender

MAX_DEPTH = 4  # how deep below a given folder run folders are looked for
BATCH = 8  # run folders whose blocks may share a request
_LONGEST_WAIT_S = 1.0  # so that a stop is soon seen

MakeSender = Callable[[], Sender]


class LostPart(msgspec.Struct, frozen=True):
    """Bytes of a run log that nobody can give back."""

    file: str
    offset: int
    n_bytes: int
    why: str


class RunReport(msgspec.Struct, frozen=True):
    """What became of one run folder."""

    folder: str
    run: str | None  # None: not even a header could be read
    project: str | None
    entity: str | None
    n_rows: int  # that were sent now
    n_bytes: int  # of run logs, that were sent now
    n_left_bytes: int  # that can still be sent
    n_torn_bytes: int  # at the ends of files, no whole record: of a process that was killed, or still writes
    lost: list[LostPart]
    why_left: str | None  # why something is left, or cannot be sent at all

    @property
    def is_sent(self) -> bool:
        """Whether the server has all that can be read."""
        return self.n_left_bytes == 0 and self.why_left is None


class Sync:
    """Sends folders, in worker threads that each have a connection of their own.

    Args:
        make_sender: makes what a worker sends with.
        server: its address, for the notes.
        n_workers: how many work at once.
        patience_s: a server that takes nothing for so long is given up.
        clock: Unix seconds.

    Attributes:
        trouble: why nothing is being taken now; None while all is well.
    """

    def __init__(
        self,
        make_sender: MakeSender,
        server: str,
        *,
        n_workers: int = 4,
        patience_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.trouble: str | None = None
        self._make_sender = make_sender
        self._server = server
        self._n_workers = n_workers
        self._patience_s = patience_s
        self._clock = clock
        self._stop = threading.Event()
        self._refused: AuthenticationError | None = None
        self._idle_senders: queue.SimpleQueue[Sender] = queue.SimpleQueue()

    def send(self, folders: Sequence[OutgoingFolder], tell: Callable[[], None] = lambda: None) -> None:
        """Send what the folders hold now; returns when that is done, given up, or stopped.

        Args:
            folders: that were not looked at yet, or since they were last sent.
            tell: called in the caller's thread about five times a second.

        Raises:
            AuthenticationError: the server does not accept the key.
        """
        work: queue.SimpleQueue[list[OutgoingFolder]] = queue.SimpleQueue()
        n = max(1, min(BATCH, -(-len(folders) // self._n_workers)))
        for at in range(0, len(folders), n):
            work.put(list(folders[at : at + n]))
        threads = [
            threading.Thread(target=self._work, args=(work,), name="sync", daemon=True)
            for _ in range(min(self._n_workers, work.qsize()))
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.2 / len(threads))
                tell()
        except BaseException:
            self.stop()  # Ctrl-C: what was acknowledged is there, and the rest is sent the next time.
            raise
        if self._refused is not None:
            raise self._refused

    def stop(self) -> None:
        """End soon; what is not sent yet is left."""
        self._stop.set()

    def _work(self, work: queue.SimpleQueue[list[OutgoingFolder]]) -> None:
        try:
            sender = self._idle_senders.get_nowait()
        except queue.Empty:
            sender = self._make_sender()
        while not self._stop.is_set():
            try:
                batch = work.get_nowait()
            except queue.Empty:
                break
            self._send_batch(sender, batch)
        self._idle_senders.put(sender)

    def _send_batch(self, sender: Sender, batch: Sequence[OutgoingFolder]) -> None:
        sender.hurry(True)
        for folder in batch:
            folder.look_quietly()
        given_up_at = time.monotonic() + self._patience_s
        n_sent = sender.n_acknowledged_bytes
        while any(folder.has_more for folder in batch) and not self._stop.is_set():
            wait_s = sender.step(batch)
            if sender.trouble is not None and sender.trouble.is_final:
                self._refused = AuthenticationError(sender.trouble.why)
                self.stop()
            self.trouble = sender.trouble.why if sender.trouble is not None else None
            if sender.n_acknowledged_bytes != n_sent:
                n_sent, given_up_at = sender.n_acknowledged_bytes, time.monotonic() + self._patience_s
            if time.monotonic() > given_up_at:
                break
            if any(folder.has_more for folder in batch):
                self._stop.wait(min(wait_s, _LONGEST_WAIT_S))
        for folder in batch:
            folder.rest()
            if folder.is_asked:
                write_note(folder, self._server, self._clock())


def report_of(folder: OutgoingFolder, trouble: str | None) -> RunReport:
    """Return what became of `folder`, which was sent or tried; `trouble` is why the server takes nothing."""
    logs = list(folder.logs)
    header = next((log.header for log in logs if log.header is not None), None)
    n_left = folder.n_left_bytes
    return RunReport(
        folder=str(folder.path),
        run=None if header is None else header.run_id,
        project=None if header is None else header.project,
        entity=folder.entity or (None if header is None else header.entity),
        n_rows=sum(log.n_rows for log in logs),
        n_bytes=sum(log.n_sent_bytes for log in logs),
        n_left_bytes=n_left,
        n_torn_bytes=sum(torn_bytes(log) for log in logs),
        lost=[LostPart(log.path.name, x.offset, x.n_bytes, x.reason) for log in logs for x in log.losses],
        why_left=folder.why_stopped or ((trouble or "it was stopped") if n_left else None),
    )


def find_folders(given: Iterable[Path]) -> list[OutgoingFolder]:
    """Return the run folders at and below the paths in `given`, those that began first, first.

    A run log that is given itself is sent alone.

    Raises:
        UsageError: a path is not there.
    """
    found: dict[Path, set[str] | None] = {}
    for path in given:
        if path.is_file():
            only = found.setdefault(path.absolute().parent, set())
            if only is not None:
                only.add(path.name)
        elif path.is_dir():
            found.update(dict.fromkeys(_run_folders(path.absolute(), MAX_DEPTH)))
        else:
            raise UsageError(f"{path} is not there: name run folders, run logs, or a folder of runs")
    paths = sorted(found, key=lambda path: path.name.removeprefix("offline-"))
    return [OutgoingFolder(path, only=found[path]) for path in paths]


def is_worth_asking(folder: OutgoingFolder, server: str) -> bool:
    """Whether `folder` may hold what `server` does not have, by the note in it."""
    return folder.only is not None or not is_all_sent(folder.path, server)


def _run_folders(path: Path, depth: int) -> Iterator[Path]:
    below: list[Path] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and entry.is_file():
                    yield path
                    return
                # Links are not followed: they may lead anywhere, and round in circles.
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    below.append(Path(entry.path))
    except OSError:
        return  # Not ours to read; what is, is sent.
    if depth and not path.name.startswith(PREFIXES):
        for folder in below:
            yield from _run_folders(folder, depth - 1)
