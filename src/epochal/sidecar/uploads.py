"""Sends the runs under the sidecar's care to a server, from a thread of its own.

Nothing waits for it but a finish() that wants to, for as long as that wants to.  The libraries are loaded in
the thread, and only where there is a server: a sidecar without one stays as small and starts as fast as ever.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from epochal.sidecar.messages import RunSettings

if TYPE_CHECKING:
    from epochal.upload.outgoing_folder import OutgoingFolder
    from epochal.upload.sender import Sender

# After the job, a sidecar goes on for as long as the server takes something at least this often, …
PATIENCE_S = 8.0
# … and this long at most: what is left is on the disk, for `epochal sync`.
MAX_AFTER_END_S = 600.0
# A server that stumbles is not worth a line on somebody's terminal.
TROUBLE_AFTER_S = 5.0
TELL_EVERY_S = 0.2
AFTER_FAULT_S = 5.0
LEAVE_S = 1.0

Clock = Callable[[], float]
Tell = Callable[[bytes], None]


class Server(NamedTuple):
    """Where runs are sent."""

    base_url: str
    api_key: str
    max_bytes_per_s: float


class UploadState(msgspec.Struct, frozen=True):
    """What the trainer is told of one run, as a line of JSON."""

    upload: str  # folder of the run
    sent: int  # bytes that the server has
    left: int  # bytes that can still be sent
    entity: str  # where the server put it; empty until it said so
    done: bool = False  # after `close`: everything is there
    why: str | None = None  # … it is not
    final: bool = False  # … and it will not be, by this sidecar


class Uploads:
    """The runs of one sidecar on their way.

    Args:
        clock: seconds that only go forward.
        tell: sends bytes to the trainer; called from threads of this object.
    """

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._threads: dict[Server, _Thread] = {}

    def open(self, folder: str, settings: RunSettings) -> None:
        """Begin to send the run in `folder`, if its settings name a server."""
        if settings.base_url and settings.api_key:
            server = Server(settings.base_url, settings.api_key, settings.upload_bytes_per_s)
            if server not in self._threads:
                self._threads[server] = _Thread(server, self._clock, self._tell)
            self._threads[server].add(folder)

    def close(self, folder: str, *, is_last: bool) -> None:
        """Tell the trainer from now on how far the run is; forget it when all is sent and `is_last`."""
        for thread in self._threads.values():
            thread.close(folder, is_last=is_last)

    def is_busy(self) -> bool:
        """Whether there is something left to send that may yet be sent."""
        return any(thread.is_busy() for thread in self._threads.values())

    def drain(self) -> None:
        """Wait until everything is sent or the server has taken nothing for a while, and leave notes."""
        while self.is_busy():
            time.sleep(0.05)
        for thread in self._threads.values():
            thread.leave()


class _Upload:
    """One run on its way.  `outgoing` is touched by the thread that sends, and by nobody else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed_at: float | None = None
        self.is_last = False  # nothing more will be written to it
        self.is_done = False  # everything was sent, after it was closed
        self.told: UploadState | None = None

    @functools.cached_property
    def outgoing(self) -> OutgoingFolder:
        """Made late: its libraries are not loaded before they are needed."""
        from epochal.upload.outgoing_folder import OutgoingFolder

        return OutgoingFolder(self.path)


class _Thread:
    """Everything on its way to one server."""

    def __init__(self, server: Server, clock: Clock, tell: Tell) -> None:
        self._server = server
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._uploads: dict[str, _Upload] = {}
        self._sender: Sender | None = None
        self._told_at = 0.0
        self._noted: set[str] = set()  # faults
        self._is_leaving = False
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)
        self._thread.start()

    def add(self, folder: str) -> None:
        with self._lock:
            self._uploads[folder] = _Upload(Path(folder))
        self._wake.set()

    def close(self, folder: str, *, is_last: bool) -> None:
        with self._lock:
            upload = self._uploads.get(folder)
            if upload is None:
                return
            upload.closed_at = self._clock()
            upload.is_last = is_last
            upload.is_done = False
        self._wake.set()

    def is_busy(self) -> bool:
        now = self._clock()
        sender = self._sender
        if not self._thread.is_alive():
            return False
        if sender is not None and sender.trouble is not None and sender.trouble.is_final:
            return False
        with self._lock:
            closed = [
                u.closed_at for u in self._uploads.values() if u.closed_at is not None and not u.is_done
            ]
        if not closed or now - max(closed) > MAX_AFTER_END_S:
            return False
        progress_at = sender.progress_at if sender is not None else 0.0
        return now - max(*closed, progress_at) < PATIENCE_S

    def leave(self) -> None:
        """Leave notes of what is not sent; waits for the request in progress no longer than it must."""
        self._is_leaving = True
        self._wake.set()
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        from epochal.upload.client import Client
        from epochal.upload.sender import POLL_S, Sender

        client = Client(self._server.base_url, self._server.api_key)
        sender = Sender(client, max_bytes_per_s=self._server.max_bytes_per_s, clock=self._clock)
        self._sender = sender
        while not self._is_leaving:
            try:
                wait_s = self._round(sender)
                self._report(sender)
            except Exception:  # noqa: BLE001  nobody else would see it
                import traceback  # 3 ms of every start, for what hardly ever happens

                self._begin_again(traceback.format_exc())
                wait_s = AFTER_FAULT_S
            self._wake.wait(wait_s if wait_s == AFTER_FAULT_S else min(wait_s, POLL_S))
            self._wake.clear()
        with self._lock:
            for upload in self._uploads.values():
                self._leave_note(upload)

    def _round(self, sender: Sender) -> float:
        """Look at every run, and send once."""
        with self._lock:
            uploads = list(self._uploads.values())
            closed = {upload: upload.closed_at for upload in uploads if upload.closed_at is not None}
        sender.hurry(bool(closed))
        for upload in uploads:
            self._look(upload)
        wait_s = sender.step([upload.outgoing for upload in uploads])
        with self._lock:
            for upload, closed_at in closed.items():
                # One that was closed again since it was looked at is looked at again first.
                upload.is_done = upload.closed_at == closed_at and not upload.outgoing.has_more
        return wait_s

    def _look(self, upload: _Upload) -> None:
        try:
            upload.outgoing.look()
        except FileNotFoundError:
            with self._lock:
                self._uploads.pop(str(upload.path), None)  # Somebody deleted the run.
        except OSError:
            return  # The next look may be luckier.

    def _begin_again(self, text: str) -> None:
        """After a fault of our own: note it beside the runs, and forget all that is in memory."""
        with self._lock:
            for folder, upload in self._uploads.items():
                if text not in self._noted:
                    with (
                        contextlib.suppress(OSError),
                        (upload.path / "sidecar-errors.txt").open("a") as notes,
                    ):
                        notes.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
                fresh = _Upload(upload.path)
                fresh.closed_at, fresh.is_last = upload.closed_at, upload.is_last
                self._uploads[folder] = fresh
        self._noted.add(text)

    def _report(self, sender: Sender) -> None:
        now = self._clock()
        is_time = now - self._told_at >= TELL_EVERY_S
        with self._lock:
            for folder, upload in list(self._uploads.items()):
                state = self._state(folder, upload, sender, now)
                if state != upload.told and (state.done or is_time or state.final):
                    upload.told, self._told_at = state, now
                    self._tell(msgspec.json.encode(state) + b"\n")
                if upload.is_done and upload.is_last:
                    del self._uploads[folder]
                    self._leave_note(upload)

    def _state(self, folder: str, upload: _Upload, sender: Sender, now: float) -> UploadState:
        outgoing, trouble = upload.outgoing, sender.trouble
        is_long = trouble is not None and (now - trouble.since >= TROUBLE_AFTER_S or trouble.is_final)
        why = trouble.why if trouble is not None and (is_long or upload.closed_at) else outgoing.why_stopped
        is_closed = upload.closed_at is not None
        return UploadState(
            upload=folder,
            # While nobody waits, only what is worth a line is told.
            sent=outgoing.n_sent_bytes if is_closed else 0,
            left=outgoing.n_left_bytes if is_closed else 0,
            entity=outgoing.entity,
            done=upload.is_done,
            why=why,
            final=(trouble is not None and trouble.is_final)
            or (outgoing.why_stopped is not None and not outgoing.has_more),
        )

    def _leave_note(self, upload: _Upload) -> None:
        from epochal.upload.note import write_note

        write_note(upload.outgoing, self._server.base_url, time.time())
        upload.outgoing.rest()
