"""Writes one run log: one `os.write` a frame, and nothing that could stop the training.

What `append` returned from is in the operating system's hands and survives a SIGKILL of this process.  Two
things make it buffer instead, and never block or raise: a file system that refuses (full, quota,
read-only), and one that is slow (a network file system with a bad day).  From then on a thread
writes, memory is bounded, and what did not fit is counted, not hidden.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import msgspec

from epochal.runlog.format import FRAME_HEADER, MAGIC, OFFSET_MASK, Header, RecordType, frame

DEFAULT_BUFFER_BYTES = 64 * 2**20
# A write above this is slow; so much slowness within the window means that the file system is, and not
# that the disk was flushing once (measured: single writes of up to 10 ms beside an fsync are normal).
SLOW_WRITE_S = 0.005
SLOW_BUDGET_S = 0.25
SLOW_WINDOW_S = 10.0
# From here on putting the header before the payload costs more than a list of two parts: the copy of 10,000
# scalars took as long as encoding them, most of it for memory that was given back and fetched again.
LARGE_PAYLOAD_BYTES = 16 * 2**10
RETRY_EVERY_S = 0.5
# Every write is timed at the beginning of a file and after a slow one, then one in so many bytes.
TIME_ALL_BYTES = 4096
TIME_EVERY_BYTES = 2048
HIGH_DESCRIPTOR = 512

_BUSY = -1
_HEADER_BYTES = FRAME_HEADER.size
# Looked up once: a global is found faster than an attribute of a module.
_pack, _crc32, _write, _writev = FRAME_HEADER.pack, zlib.crc32, os.write, os.writev
_encoder = msgspec.msgpack.Encoder()


class RunLogWriter:
    """The append-only file of one writer.  Thread-safe; not to be used in a forked child.

    Args:
        path: of the file, which must not exist.
        header: goes into the first frame.
        on_trouble: called once with a sentence for the user when writing turns slow or impossible.
        on_pause: called once in about `TIME_EVERY_BYTES`, for what is to be looked at now and then.
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
        on_pause: Callable[[], None] | None = None,
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    ) -> None:
        self.path = path
        self.lost_rows = 0
        # Re-entrant, because a signal handler or a finaliser may log in the middle of our own append.
        self._lock = threading.RLock()
        self._offset = 0  # where the next frame begins, counting what is still buffered; or _BUSY
        self._careful_from = 0  # from this offset on, append() takes the slower way
        self._waiting: list[bytes] = []
        self._buffer = bytearray()
        self._max_buffer_bytes = max_buffer_bytes
        self._buffering = False
        self._drainer: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = False
        self._slow_s = 0.0
        self._slow_since = 0.0
        self._on_trouble = on_trouble
        self._on_pause = on_pause
        self._is_slow = False
        self._identity = (0, 0)  # of the file, device and inode
        self._fd = -1
        self._open(os.O_CREAT | os.O_EXCL)
        self._offset = os.write(self._fd, MAGIC)
        if self._offset != len(MAGIC):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.append(_encoder.encode((RecordType.HEADER, header.start_time, header)))

    @property
    def size(self) -> int:
        """Bytes of the file once all that was appended is written."""
        with self._lock:
            return self._offset

    def append(self, payload: bytes) -> None:
        """Write `payload`, an encoded record, as the next frame.

        Raises nothing of its own: what cannot be written waits in memory, and is counted in `lost_rows` if
        that is full.

        This is the hot path; every line of it is measured by bench/sdk/overhead.py.
        """
        with self._lock:  # and not acquire(): Ctrl-C right after that would leave the lock taken for ever
            offset = self._offset
            if not 0 <= offset < self._careful_from:
                self._append_with_care(payload)
                return
            self._offset = _BUSY
            try:
                head = _pack(len(payload), _crc32(payload, offset & OFFSET_MASK))
                if len(payload) < LARGE_PAYLOAD_BYTES:
                    n = _write(self._fd, head + payload)
                else:
                    n = _writev(self._fd, (head, payload))
                self._offset = offset + n
                if n != len(payload) + _HEADER_BYTES:
                    self._finish_later(payload, offset, n)
            except BaseException as error:  # noqa: BLE001 - Ctrl-C is raised again, trouble is not
                self._failed(payload, offset, error)
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
        if self._is_ours():
            os.fsync(self._fd)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Write what is buffered and close; return whether everything is in the file."""
        with self._lock:
            if self._closed:
                return not self._buffer
        done = self.flush(timeout_s)
        with self._lock:
            self._closed = True
            self._careful_from = 0
            self._wake.set()
            if self._is_ours():
                os.close(self._fd)
            self._fd = -1
        return done and self.lost_rows == 0

    def abandon(self) -> None:
        """Close the file descriptor in a forked child, touching nothing that a lock guards."""
        is_ours = self._is_ours()
        fd, self._fd = self._fd, -1
        self._closed = True
        self._careful_from = 0
        if is_ours:
            os.close(fd)

    def _append_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for payload in waiting:
            self.append(payload)

    def _append_with_care(self, payload: bytes) -> None:
        """Append when something is different: nested in itself, closed, buffering, or a write to be timed."""
        offset = self._offset
        if offset == _BUSY:
            # A signal handler or a finaliser logs in the middle of our own append, which will write it.
            self._waiting.append(payload)
            return
        if self._closed:
            self.lost_rows += 1
            return
        if self._buffering:
            self._put_in_buffer(frame(payload, offset))
            return
        self._careful_from = sys.maxsize
        if self._on_pause is not None:
            self._on_pause()
        if not self._is_ours() and not self._reopen():
            self._start_buffering(frame(payload, offset), "was closed and cannot be opened again")
            return
        began = perf_counter()
        self.append(payload)
        self._count_slow(perf_counter() - began)
        if not self._buffering:
            fast = self._slow_s == 0.0 and offset > TIME_ALL_BYTES
            self._careful_from = self._offset + TIME_EVERY_BYTES if fast else 0

    def _failed(self, payload: bytes, offset: int, error: BaseException) -> None:
        if not isinstance(error, OSError):
            # Ctrl-C may land between the write and the count: the file knows better.
            self._recount(offset)
            raise error
        self._offset = offset
        if error.errno == errno.EBADF and not self._closed and self._reopen():
            self.append(payload)
            return
        why = os.strerror(error.errno) if error.errno else str(error)
        self._start_buffering(frame(payload, offset), f"cannot be written to ({why})")

    def _finish_later(self, payload: bytes, offset: int, n_written: int) -> None:
        """Keep what the file system did not take of a frame: a full disk may cut one anywhere."""
        self._start_buffering(frame(payload, offset)[n_written:], "could not be written whole (disk full?)")

    def _open(self, flags: int) -> None:
        """Open the file, under a number that nobody is likely to be given next.

        Programs that become daemons close every descriptor they find, and what they open then gets the lowest
        free numbers: had ours been one of them, rows would go into their files and connections.
        """
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o644)
        try:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, min(limit // 2, HIGH_DESCRIPTOR))
        except (OSError, ValueError):
            high = fd  # No number is free up there.
        if high != fd:
            os.close(fd)
        found = os.fstat(high)
        self._fd, self._identity = high, (found.st_dev, found.st_ino)

    def _reopen(self) -> bool:
        try:
            self._open(0)
        except OSError:
            return False
        return True

    def _is_ours(self) -> bool:
        """Tell whether the descriptor is still that of our file."""
        try:
            found = os.fstat(self._fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _recount(self, offset: int) -> None:
        try:
            self._offset = os.lseek(self._fd, 0, os.SEEK_END) + len(self._buffer)
        except OSError:
            self._offset = offset

    def _count_slow(self, elapsed_s: float) -> None:
        now = perf_counter()
        if now - self._slow_since > SLOW_WINDOW_S:
            self._slow_since, self._slow_s = now, 0.0
        if elapsed_s > SLOW_WRITE_S:
            self._slow_s += elapsed_s
        if self._slow_s > SLOW_BUDGET_S and not self._buffering:
            self._is_slow = True
            self._start_buffering(b"", f"is slow ({elapsed_s * 1000:.0f} ms for one write)")

    def _start_buffering(self, data: bytes, why: str) -> None:
        """Keep `data` in memory from here on, and let a thread write."""
        if self._closed:
            self.lost_rows += 1
            return
        first_time = not self._buffering
        self._buffering = True
        self._careful_from = 0
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
            if self._is_healed():
                return

    def _is_healed(self) -> bool:
        """Go back to writing at once when a file system that refused takes everything again."""
        with self._lock:
            if self._buffer or self._is_slow or self._closed:
                return False
            self._buffering = False
            self._drainer = None
            return True
