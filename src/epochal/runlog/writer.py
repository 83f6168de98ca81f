"""Writes one run log: one `os.write` a frame, and nothing that could stop the training.

What `append` returned from is in the operating system's hands and survives a SIGKILL of this process.  Two
things make it buffer instead, and never block or raise: a file system that refuses (full, quota,
read-only), and one that is slow (a network file system with a bad day).  From then on a thread
writes, memory is bounded, and what did not fit is counted, not hidden.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import msgspec

from epochal.runlog.format import FRAME_HEADER, MAGIC, Header, RecordType, checksum, frame

DEFAULT_BUFFER_BYTES = 64 * 2**20
# A write above this is slow; so much slowness within the window means that the file system is, and not
# that the disk was flushing once (measured: single writes of up to 10 ms beside an fsync are normal).
SLOW_WRITE_S = 0.005
SLOW_BUDGET_S = 0.25
SLOW_WINDOW_S = 10.0
RETRY_EVERY_S = 0.5

_encoder = msgspec.msgpack.Encoder()


class RunLogWriter:
    """The append-only file of one writer.  Thread-safe; not to be used in a forked child.

    Args:
        path: of the file, which must not exist.
        header: goes into the first frame.
        on_trouble: called once with a sentence for the user when writing turns slow or impossible.
        max_buffer_bytes: held in memory at most while the file system refuses or is slow.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        *,
        on_trouble: Callable[[str], None] | None = None,
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    ) -> None:
        self.path = path
        self.lost_rows = 0
        # Re-entrant, because a signal handler or a finaliser may log in the middle of our own append.
        self._lock = threading.RLock()
        self._inside = False
        self._waiting: list[bytes] = []
        self._offset = 0  # where the next frame begins, counting what is still buffered
        self._buffer = bytearray()
        self._max_buffer_bytes = max_buffer_bytes
        self._buffering = False
        self._drainer: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = False
        self._slow_s = 0.0
        self._slow_since = 0.0
        self._on_trouble = on_trouble
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        first = _encoder.encode((RecordType.HEADER, header.start_time, header))
        self._put(MAGIC + frame(first, len(MAGIC)))

    @property
    def size(self) -> int:
        """Bytes of the file once all that was appended is written."""
        return self._offset

    def append(self, payload: bytes) -> None:
        """Write `payload`, an encoded record, as the next frame.

        Raises:
            Nothing of its own: what cannot be written waits in memory, and is counted in `lost_rows` if
            that is full.
        """
        with self._lock:
            if self._inside:
                self._waiting.append(payload)
                return
            self._inside = True
            try:
                offset = self._offset
                data = FRAME_HEADER.pack(len(payload), checksum(payload, offset)) + payload
                if self._buffering:
                    self._put_in_buffer(data)
                else:
                    began = perf_counter()
                    n = os.write(self._fd, data)
                    self._offset = offset + n
                    if n != len(data):
                        self._start_buffering(data[n:], "could not be written whole")
                    elif perf_counter() - began > SLOW_WRITE_S:
                        self._count_slow(perf_counter() - began)
            except OSError as error:
                self._refused(data, error)
            except BaseException:
                # Ctrl-C may land between the write and the count: the file knows better.
                self._recount()
                raise
            finally:
                self._inside = False
            if self._waiting:
                self._append_waiting()

    def record(self, record_type: RecordType, *items: object) -> None:
        """Append the record `[record_type, now, *items]`; for what is not on the hot path."""
        self.append(_encoder.encode((int(record_type), time.time(), *items)))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until nothing is buffered; return whether that was reached in `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while self._buffer:
            if time.monotonic() > deadline:
                return False
            self._wake.set()
            time.sleep(0.005)
        return True

    def sync(self) -> None:
        """Ask the operating system to put the file on the disk."""
        os.fsync(self._fd)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Write what is buffered and close; return whether everything is in the file."""
        with self._lock:
            if self._closed:
                return not self._buffer
        done = self.flush(timeout_s)
        with self._lock:
            self._closed = True
            self._wake.set()
            os.close(self._fd)
            self._fd = -1
        return done and self.lost_rows == 0

    def abandon(self) -> None:
        """Close the file descriptor in a forked child, touching nothing that a lock guards."""
        fd, self._fd = self._fd, -1
        self._closed = True
        if fd >= 0:
            os.close(fd)

    def _append_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for payload in waiting:
            self.append(payload)

    def _put(self, data: bytes) -> None:
        """Write bytes that are framed already; used for the first ones."""
        began = perf_counter()
        n = os.write(self._fd, data)
        self._offset += n
        if n != len(data):
            self._start_buffering(data[n:], "could not be written whole")
        self._count_slow(perf_counter() - began)

    def _refused(self, data: bytes, error: OSError) -> None:
        if error.errno == errno.EBADF and not self._closed and self._reopen():
            self._put(data)
            return
        self._start_buffering(data, os.strerror(error.errno) if error.errno else str(error))

    def _reopen(self) -> bool:
        """Open the file again: programs that become daemons close every descriptor they find."""
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            return False
        return True

    def _recount(self) -> None:
        try:
            self._offset = os.lseek(self._fd, 0, os.SEEK_END) + len(self._buffer)
        except OSError:
            self._closed = True

    def _count_slow(self, elapsed_s: float) -> None:
        now = perf_counter()
        if now - self._slow_since > SLOW_WINDOW_S:
            self._slow_since, self._slow_s = now, 0.0
        if elapsed_s > SLOW_WRITE_S:
            self._slow_s += elapsed_s
        if self._slow_s > SLOW_BUDGET_S and not self._buffering:
            self._start_buffering(b"", f"is slow ({elapsed_s * 1000:.0f} ms for one write)")

    def _start_buffering(self, data: bytes, why: str) -> None:
        """Keep `data` in memory from here on, and let a thread write."""
        if self._closed:
            self.lost_rows += 1
            return
        first_time = not self._buffering
        self._buffering = True
        self._buffer += data
        self._offset += len(data)
        if self._drainer is None:
            self._drainer = threading.Thread(target=self._drain_loop, name="epochal-run-log", daemon=True)
            self._drainer.start()
        if first_time and self._on_trouble is not None:
            self._on_trouble(
                f"The run log {self.path} {why}; training goes on, rows wait in memory "
                f"(up to {self._max_buffer_bytes >> 20} MiB) and are written when it takes them."
            )

    def _put_in_buffer(self, data: bytes) -> None:
        if self._closed or len(self._buffer) + len(data) > self._max_buffer_bytes:
            self.lost_rows += 1
            return
        self._buffer += data
        self._offset += len(data)
        if len(self._buffer) == len(data):
            self._wake.set()

    def _drain_loop(self) -> None:
        while not self._closed:
            self._wake.wait(RETRY_EVERY_S)
            self._wake.clear()
            while self._buffer and not self._closed:
                # Out of the lock: a write that takes a second must not hold log() up for as long.
                part = bytes(self._buffer[: 1 << 20])
                try:
                    n = os.write(self._fd, part)
                except OSError:
                    break
                with self._lock:
                    del self._buffer[:n]
