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
from time import perf_counter, process_time
from types import CodeType, FrameType

import msgspec

from epochal.runlog.format import FRAME_HEADER, MAGIC, OFFSET_MASK, Header, RecordType, frame
from epochal.runlog.spill import Spill

DEFAULT_BUFFER_BYTES = 64 * 2**20
# A write above this is slow; so much slowness within the window means that the file system is, and not
# that the disk was flushing once (measured: single writes of up to 10 ms beside an fsync are normal).
SLOW_WRITE_S = 0.005
SLOW_BUDGET_S = 0.25
SLOW_WINDOW_S = 10.0
# From here on putting the header before the payload costs more than a list of two parts: the copy of 10,000
# scalars took as long as encoding them, most of it for memory that was given back and fetched again.
LARGE_PAYLOAD_BYTES = 16 * 2**10
# Every write is timed at the beginning of a file and after a slow one, then one in so many bytes.
TIME_ALL_BYTES = 4096
TIME_EVERY_BYTES = 2048
HIGH_DESCRIPTOR = 512
# So many bytes are read in about 10 ms, rows of five numbers on a slow machine.
CHECKPOINT_EVERY_BYTES = 256 * 2**10
# … and so many times its own size, so that a large config is no large part of a run log.
CHECKPOINT_EVERY_TIMES_ITS_SIZE = 16

_BUSY = -1
_CUT = "could not be written whole (disk full?)"
_HEADER_BYTES = FRAME_HEADER.size
# Looked up once: a global is found faster than an attribute of a module.
_pack, _crc32, _write, _writev = FRAME_HEADER.pack, zlib.crc32, os.write, os.writev
_encoder = msgspec.msgpack.Encoder()


class RunLogWriter:
    """The append-only file of one writer.  Thread-safe; not to be used in a forked child.

    Args:
        path: of the file, which must not exist.
        header: goes into the first frame.
        on_trouble: called with a sentence for the user when writing turns slow or impossible, and when the
            file is found deleted; once each.
        on_pause: called once in about `TIME_EVERY_BYTES`, for what is to be looked at now and then.
        checkpoint: returns the record that repeats what the file says so far; it is written now and then.
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
        checkpoint: Callable[[], bytes] | None = None,
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    ) -> None:
        self.path = path
        self.lost_rows = 0
        self._n_told = 0  # of the lost rows: those that the file itself tells of
        # Re-entrant, because a signal handler or a finaliser may log in the middle of our own append.
        self._lock = threading.RLock()
        self._offset = 0  # where the next frame begins, or _BUSY in the middle of a write
        self._careful_from = 0  # from this offset on, append() takes the slower way
        self._waiting: list[bytes] = []
        self._spill: Spill | None = None  # while the file system refuses or is slow
        self._max_buffer_bytes = max_buffer_bytes
        self._closed = False
        self._refuse: Callable[[bytes], object] | None = None
        self._slow_s = 0.0
        self._slow_since = 0.0
        self._on_trouble = on_trouble
        self._on_deleted = on_trouble
        self._on_pause = on_pause
        self._checkpoint = checkpoint
        self._checkpoint_at = 0  # the offset of the last one
        self._checkpoint_every = CHECKPOINT_EVERY_BYTES
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
        """Bytes that are in the file."""
        with self._lock:
            return self._offset if self._spill is None else self._spill.offset

    def append(self, payload: bytes) -> None:
        """Write `payload`, an encoded record, as the next frame.

        Raises nothing of its own: what cannot be written waits in memory, and is counted in `lost_rows` if
        that is full.  After `close` it raises what that was given to refuse it with.

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
                if n == len(payload) + _HEADER_BYTES:
                    self._offset = offset + n
                else:
                    self._start_spilling(_CUT, offset + n, rest=(head + payload)[n:])
            except BaseException as error:  # noqa: BLE001 - Ctrl-C is raised again, trouble is not
                self._failed(payload, offset, error)
            if self._waiting:
                self._write_waiting()

    def record(self, record_type: RecordType, *items: object) -> None:
        """Append the record `[record_type, now, *items]`; for what is not on the hot path."""
        self.append(_encoder.encode((int(record_type), time.time(), *items)))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until nothing is in memory only; return whether that was reached in `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            if self._waiting and not self._closed:
                self._write_waiting()
        while (spill := self._spill) is not None and not spill.is_empty():
            if time.monotonic() > deadline:
                return False
            spill.hurry()
            time.sleep(0.005)
        return True

    def repeat(self, after_bytes: int) -> None:
        """Write a checkpoint, if the last one is more than `after_bytes` behind."""
        with self._lock:
            self._repeat(after_bytes)

    def sync(self) -> None:
        """Ask the operating system to put the file on the disk."""
        if self._is_ours():
            os.fsync(self._fd)

    def close(self, timeout_s: float = 10.0, refuse: Callable[[bytes], object] | None = None) -> bool:
        """Write what is in memory and close; return whether everything is in the file.

        Args:
            timeout_s: how long that may take.
            refuse: called with each record that is appended later, by a thread that was about to when we
                closed; its exception is the caller's.  Without it such a record is counted as lost.
        """
        if self._closed:
            return self.lost_rows == 0
        deadline = time.monotonic() + timeout_s
        is_written = self.flush(timeout_s)
        if is_written and self._tell_losses():
            is_written = self.flush(max(0.0, deadline - time.monotonic()))
        with self._lock:
            is_ours = self._is_ours()
            self._closed = True
            self._refuse = refuse
            self._careful_from = 0
            if self._spill is not None:
                self._spill.stop()
            fd, self._fd = self._fd, -1
            if is_ours:
                os.close(fd)
        return is_written and self.lost_rows == 0

    def abandon(self) -> None:
        """Close the file descriptor in a forked child, touching nothing that a lock guards."""
        is_ours = self._is_ours()
        fd, self._fd = self._fd, -1
        self._closed = True
        self._careful_from = 0
        if is_ours:
            os.close(fd)

    def _append_with_care(self, payload: bytes) -> None:
        """Append when something is different: closed, spilling, nested in itself, or a write to be timed."""
        if self._closed:
            if self._refuse is not None:
                self._refuse(payload)
            self.lost_rows += 1
            return
        if self._spill is not None:
            self.lost_rows += not self._spill.put(payload)
            self._repeat(self._checkpoint_every)
            return
        if self._offset == _BUSY and self._n_running(_APPENDING) > 1:
            # A signal handler or a finaliser logs in the middle of our own append, which will write it.
            self._waiting.append(payload)
            return
        if not self._is_ours() and not self._reopen():
            self.lost_rows += 1  # Closed by the program, and gone: there is nowhere to write to.
            return
        if self._offset == _BUSY and not self._recount():
            self.lost_rows += 1
            return
        self._careful_from = sys.maxsize
        if self._on_pause is not None:
            self._on_pause()
        before = _Moment()
        self.append(payload)
        self._count_slow(before.waited_s())
        if self._spill is None:
            is_fast = self._slow_s == 0.0 and self._offset > TIME_ALL_BYTES
            self._careful_from = self._offset + TIME_EVERY_BYTES if is_fast else 0
        # Behind what it repeats: killed in between, the run goes on after its last row and not one further.
        self._repeat(self._checkpoint_every)

    def _repeat(self, after_bytes: int) -> None:
        spill = self._spill
        reach = self._offset if spill is None else spill.offset + spill.n_bytes
        if self._checkpoint is None or self._closed or reach - self._checkpoint_at <= after_bytes:
            return
        self._checkpoint_at = reach  # At once: writing it asks again.
        record = self._checkpoint()
        while spill is None and self._offset != reach:
            # A signal handler logged meanwhile, and the checkpoint must know of what is before it.
            reach, record = self._offset, self._checkpoint()
        self._checkpoint_every = max(CHECKPOINT_EVERY_BYTES, CHECKPOINT_EVERY_TIMES_ITS_SIZE * len(record))
        if spill is None:
            self.append(record)
        else:
            spill.put(record)

    def _n_running(self, codes: tuple[CodeType, ...]) -> int:
        """Return how many calls of `codes` on this object this thread is in the middle of.

        Asked of the stack, which cannot be wrong: any mark of our own could be left behind by Ctrl-C.
        """
        n = 0
        caller: FrameType | None = sys._getframe()
        while caller is not None:
            n += caller.f_code in codes and caller.f_locals["self"] is self
            caller = caller.f_back
        return n

    def _write_waiting(self) -> None:
        """Write what came nested in appends; those that come meanwhile are taken by the same loop."""
        if self._n_running(_WRITING_WAITING) > 1:
            return  # A handler that logs in the middle of that loop.
        while self._waiting:
            # Taken out afterwards: written twice, a row is still one row; not written, it is lost.
            payload = self._waiting[0]
            self._append_now(payload)
            if self._waiting and self._waiting[0] is payload:
                del self._waiting[0]

    def _append_now(self, payload: bytes) -> None:
        if self._spill is not None:
            self.lost_rows += not self._spill.put(payload)
            return
        if self._offset == _BUSY and not self._recount():
            self.lost_rows += 1
            return
        offset, self._offset = self._offset, _BUSY
        try:
            data = frame(payload, offset)
            n = os.write(self._fd, data)
            if n == len(data):
                self._offset = offset + n
            else:
                self._start_spilling(_CUT, offset + n, rest=data[n:])
        except BaseException as error:  # noqa: BLE001 - as in append
            self._failed(payload, offset, error)

    def _failed(self, payload: bytes, offset: int, error: BaseException) -> None:
        if not isinstance(error, OSError):
            # Ctrl-C may land between the write and the count: the file knows better.
            self._recount()
            raise error
        if error.errno == errno.EBADF and not self._closed and self._reopen():
            self._append_now(payload)
            return
        why = os.strerror(error.errno) if error.errno else str(error)
        self._start_spilling(f"cannot be written to ({why})", offset, record=payload)

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
        if (found.st_dev, found.st_ino) != self._identity:
            return False
        if found.st_nlink == 0 and self._on_deleted is not None:
            tell, self._on_deleted = self._on_deleted, None
            tell(
                f"The run log {self.path} was deleted while the run is live. Training goes on, but what is "
                "logged is lost, from its beginning on. To record it: finish the run and begin another."
            )
        return True

    def _recount(self) -> bool:
        """Take the end of the file as the place of the next frame; return False if it cannot be told."""
        try:
            self._offset = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError:
            return False
        return True

    def _count_slow(self, waited_s: float) -> None:
        now = perf_counter()
        if now - self._slow_since > SLOW_WINDOW_S:
            self._slow_since, self._slow_s = now, 0.0
        self._slow_s += waited_s
        if self._slow_s > SLOW_BUDGET_S and self._spill is None:
            self._is_slow = True
            offset, self._offset = self._offset, _BUSY
            self._start_spilling(f"is slow ({waited_s * 1000:.0f} ms for one write)", offset)

    def _start_spilling(
        self, why: str, offset: int, *, rest: bytes = b"", record: bytes | None = None
    ) -> None:
        """Keep what follows in memory, and let a thread write it.

        To be called while an append is under way, so that what is logged meanwhile waits its turn.

        Args:
            why: for the user, after "The run log …".
            offset: of the end of the file.
            rest: of a frame that the file took a part of: a full disk may cut one anywhere.
            record: that the file did not take at all.
        """
        spill = Spill(
            lambda data: os.write(self._fd, data),
            offset=offset,
            rest=rest,
            max_bytes=self._max_buffer_bytes,
            is_done=self._is_healed,
        )
        if record is not None:
            self.lost_rows += not spill.put(record)
        self._spill = spill
        self._careful_from = 0
        if self._on_trouble is not None:
            tell, self._on_trouble = self._on_trouble, None
            tell(
                f"The run log {self.path} {why}; training goes on, rows wait in memory "
                f"(up to {self._max_buffer_bytes >> 20} MiB) and are written when it takes them."
            )

    def _tell_losses(self) -> bool:
        """Have the file say what it lacks, for those who read it; return whether there was anything new."""
        with self._lock:
            n_lost = self.lost_rows - self._n_told
            if n_lost <= 0 or self._closed:
                return False
            self._n_told += n_lost
            reason = "the disk refused them, and the memory for what waits was full"
            offset = self._offset if self._spill is None else self._spill.offset
            self.record(RecordType.LOST, {"n_records": n_lost, "reason": reason, "offset": offset})
            return True

    def _is_healed(self) -> bool:
        """Go back to writing at once when a file system that refused takes everything again."""
        if self._tell_losses():
            return False
        with self._lock:
            spill = self._spill
            if spill is None or self._is_slow or self._closed or not spill.is_empty():
                return False
            self._offset, self._spill = spill.offset, None
            return True


class _Moment:
    """The moment before a write, to tell afterwards for how long the file system kept the thread waiting."""

    def __init__(self) -> None:
        self._n_waits = _times_this_thread_waited()
        self._cpu_s = process_time()
        self._at = perf_counter()

    def waited_s(self) -> float:
        """Return the seconds of waiting for the file system; 0 if it was something else that took the time.

        Being preempted on a busy machine is no waiting: the thread gave nothing up.  Waiting for Python's
        lock while another thread computes is no slow file system either, and shows as CPU of this process;
        it rarely takes longer than a few of the 5 ms after which Python passes its lock on.
        """
        elapsed_s = perf_counter() - self._at
        if elapsed_s < SLOW_WRITE_S or _times_this_thread_waited() == self._n_waits:
            return 0.0
        is_python = process_time() - self._cpu_s > elapsed_s / 2 and elapsed_s < 5 * SLOW_WRITE_S
        return 0.0 if is_python else elapsed_s


def _times_this_thread_waited() -> int:
    if sys.platform != "linux":
        return time.monotonic_ns()  # Not known elsewhere: there, every slow write counts.
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


_APPENDING = (RunLogWriter.append.__code__, RunLogWriter._append_now.__code__)
_WRITING_WAITING = (RunLogWriter._write_waiting.__code__,)
