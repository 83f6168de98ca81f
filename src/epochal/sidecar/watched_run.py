"""One run under the sidecar's care: its run logs put on the disk, and what the trainer cannot say itself."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psutil

from epochal.errors import RunLogError
from epochal.ids import generate_id
from epochal.runlog.folder import SUFFIX
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import RunLogReader
from epochal.runlog.writer import RunLogWriter
from epochal.sidecar.console_files import MAX_BYTES_AT_END, ConsoleFiles
from epochal.sidecar.end_state import Exit, end_state
from epochal.sidecar.log_tail import LogTail
from epochal.sidecar.messages import SMALLEST_INTERVAL_S, RunSettings
from epochal.sidecar.system.nvidia import NvidiaGpus
from epochal.sidecar.system.sampler import Sampler
from epochal.sidecar.trainer import End

HEARTBEAT_EVERY_S = 10.0
SYNC_EVERY_S = 1.0
# Sampling may take a twentieth of one core at most, whatever interval was asked for.
MAX_SAMPLING_SHARE = 0.05
_OWN_PREFIX = "sidecar-"
_WANTED = {RecordType.ATTRIBUTES, RecordType.EXIT}

Clock = Callable[[], float]


class WatchedRun:
    """The folder of one session of a run.

    Args:
        folder: with the trainer's run log in it.
        settings: as the trainer sent them.
        trainer_pid: whose process tree is sampled.
        clock: seconds that only go forward; what is due must not depend on who sets the time.

    Raises:
        OSError: the folder cannot be written to, or has no run log of the trainer in it.
    """

    def __init__(self, folder: Path, settings: RunSettings, trainer_pid: int, clock: Clock) -> None:
        self.folder = folder
        self.settings = settings
        self.closing_at: float | None = None  # when the trainer said that it is done
        self.at_exit = False  # … while its interpreter was ending
        self.has_provenance = False
        self._clock = clock
        self._tails: dict[str, LogTail] = {}
        self._is_preempting = False
        self._recorded: Exit | None = None
        primary = _primary_header(folder)
        self._console = ConsoleFiles(settings.console_files, folder)
        self._writer = _new_writer(folder, primary)
        label = primary.label if primary.mode == "shared" else None
        self._sampler = self._new_sampler(trainer_pid, label)
        now = clock()
        self._next_heartbeat = now
        self._next_sync = now
        self._next_sample = now if self._sampler is not None else float("inf")
        _sync_folder(folder)

    def next_due(self) -> float:
        """Return when `tick` has something to do again, by the clock."""
        return min(self._next_heartbeat, self._next_sync, self._next_sample)

    def tick(self, gpus: NvidiaGpus | None) -> None:
        """Do what is due."""
        now = self._clock()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_EVERY_S
            self._writer.record(RecordType.HEARTBEAT)
        if now >= self._next_sample:
            self._take_sample(now, gpus)
        if now >= self._next_sync:
            self._next_sync = now + SYNC_EVERY_S
            with contextlib.suppress(OSError):
                self._console.advance(self._print)
            self._follow()
            self._sync()

    def add_metadata(self, metadata: Mapping[str, object]) -> None:
        """Record `metadata`, unless the settings say that none is wanted."""
        if not self.settings.disable_meta and metadata:
            self._writer.record(RecordType.METADATA, metadata)

    def end(self, process_end: End | None) -> None:
        """Record how the run ended, put everything on the disk and close; then the object is done.

        Args:
            process_end: how the trainer's process ended, None while it lives.
        """
        self._follow()
        if self._recorded is None:
            self._look_again()
        found = end_state(
            self._recorded, process_end, is_preempting=self._is_preempting, at_exit=self.at_exit
        )
        with contextlib.suppress(OSError):
            self._console.advance(self._print, MAX_BYTES_AT_END)
        self._console.close()
        if self.settings.ends_run:
            self._writer.record(RecordType.EXIT, found)
        self._sync()
        self._writer.flush(2.0)
        with contextlib.suppress(OSError):
            self._writer.sync()
        self._writer.close(1.0)
        for tail in self._tails.values():
            tail.close()

    def _print(self, stream: str, text: str, read_to: Mapping[str, int]) -> None:
        self._writer.record(RecordType.CONSOLE, stream, text, read_to)

    def _take_sample(self, now: float, gpus: NvidiaGpus | None) -> None:
        assert self._sampler is not None
        values = self._sampler.sample(now, gpus)
        if values:
            self._writer.record(RecordType.SYSTEM, values)
        cost_s = max(0.0, self._clock() - now)
        interval_s = max(self.settings.sampling_interval, SMALLEST_INTERVAL_S)
        self._next_sample = now + max(interval_s, cost_s / MAX_SAMPLING_SHARE)

    def _new_sampler(self, pid: int, label: str | None) -> Sampler | None:
        if self.settings.disable_stats:
            return None
        try:
            return Sampler(pid, self.settings.disk_paths, label)
        except (OSError, psutil.Error):  # The trainer was faster than we.
            return None

    def _follow(self) -> None:
        """Read what the run logs have gained: the trainer's, and those of children that log."""
        for entry in os.scandir(self.folder):
            name = entry.name
            if name.endswith(SUFFIX) and not name.startswith(_OWN_PREFIX) and name not in self._tails:
                with contextlib.suppress(OSError):
                    self._tails[name] = LogTail(Path(entry.path), _WANTED)
        for tail in self._tails.values():
            # Of a file whose very beginning is damaged nothing is known; the others go on.
            with contextlib.suppress(OSError, RunLogError):
                self._take(tail.advance())

    def _look_again(self) -> None:
        for tail in self._tails.values():
            with contextlib.suppress(OSError, RunLogError):
                self._take(tail.last_records())

    def _take(self, records: list[list[object]]) -> None:
        for record in records:
            content = record[2] if len(record) > 2 else None
            if not isinstance(content, dict):
                continue
            if record[0] == RecordType.EXIT:
                with contextlib.suppress(msgspec.ValidationError):
                    self._recorded = msgspec.convert(content, Exit)
            elif "preempting" in content:
                self._is_preempting = bool(content["preempting"])

    def _sync(self) -> None:
        for tail in self._tails.values():
            # A disk that fails here has failed the trainer's own writes, which say so.
            with contextlib.suppress(OSError):
                tail.sync()


def _primary_header(folder: Path) -> Header:
    """Return the header of the trainer's run log in `folder`.

    Raises:
        FileNotFoundError: there is none that can be read.
    """
    headers = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if not path.name.startswith(_OWN_PREFIX):
            # Of a child that is just beginning its own; the trainer's is there before we are told of it.
            with contextlib.suppress(RunLogError), RunLogReader(path) as reader:
                headers.append(reader.header)
    if not headers:
        raise FileNotFoundError(f"no run log in {folder}")
    return next((h for h in headers if h.kind == "primary"), headers[0])


def _new_writer(folder: Path, primary: Header) -> RunLogWriter:
    writer = _OWN_PREFIX + generate_id()
    header = msgspec.structs.replace(
        primary,
        writer=writer,
        kind="sidecar",
        watches=primary.writer,
        start_time=time.time(),
        pid=os.getpid(),
    )
    return RunLogWriter(folder / f"{writer}{SUFFIX}", header)


def _sync_folder(folder: Path) -> None:
    """Without it a power cut can lose the names of files whose contents are on the disk."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
