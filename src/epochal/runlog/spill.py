"""What waits in memory while a run log's file system refuses, or is slow, and the thread that writes it.

Records wait as they are and become frames only when their place in the file is known, in this thread: there
no signal handler and no Ctrl-C can come between a frame's offset and its bytes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from epochal.runlog.format import frame

RETRY_EVERY_S = 0.5
_BATCH_BYTES = 1 << 20


class Spill:
    """Records on their way to the file, in order.

    Args:
        write: writes bytes to the end of the file and returns how many it took; may raise OSError.
        offset: of the end of the file.
        rest: of a frame that the file took a part of; goes first.
        max_bytes: of records that may wait.
        is_done: asked when nothing waits any more; the thread ends if it says so.
    """

    def __init__(
        self,
        write: Callable[[bytes], int],
        *,
        offset: int,
        rest: bytes,
        max_bytes: int,
        is_done: Callable[[], bool],
    ) -> None:
        self.offset = offset  # of the end of the file
        self._write = write
        self._rest = rest
        self._records: deque[bytes] = deque()
        self._n_bytes = 0
        self._n_framed = 0  # records that `rest` holds
        self._max_bytes = max_bytes
        self._is_done = is_done
        self._is_stopped = False
        self._wake = threading.Event()
        threading.Thread(target=self._run, name="epochal-run-log", daemon=True).start()

    def put(self, record: bytes) -> bool:
        """Take `record`; return False if there is no room for it."""
        if self._n_bytes + len(record) > self._max_bytes:
            return False
        self._records.append(record)
        self._n_bytes += len(record)
        if len(self._records) == 1:
            self._wake.set()
        return True

    @property
    def n_bytes(self) -> int:
        """Bytes that wait, about."""
        return self._n_bytes

    def is_empty(self) -> bool:
        """Tell whether everything is in the file."""
        return not self._records and not self._rest

    def hurry(self) -> None:
        """Try again now."""
        self._wake.set()

    def stop(self) -> None:
        """Let the thread end; what still waits is given up."""
        self._is_stopped = True
        self._wake.set()

    def _run(self) -> None:
        while not self._is_stopped:
            self._wake.wait(RETRY_EVERY_S)
            self._wake.clear()
            self._drain()
            if self.is_empty() and self._is_done():
                return

    def _drain(self) -> None:
        while not self._is_stopped:
            if not self._rest:
                self._frame_records()
            if not self._rest:
                return
            try:
                n = self._write(self._rest)
            except OSError:
                return
            self.offset += n
            self._rest = self._rest[n:]
            if not self._rest:
                self._forget_written()

    def _frame_records(self) -> None:
        """Make the next bytes out of the first records, which stay where they are until those are written."""
        frames = bytearray()
        while self._n_framed < len(self._records) and len(frames) < _BATCH_BYTES:
            # By index: iterating would stumble over what other threads add meanwhile.
            frames += frame(self._records[self._n_framed], self.offset + len(frames))
            self._n_framed += 1
        self._rest = bytes(frames)

    def _forget_written(self) -> None:
        for _ in range(self._n_framed):
            self._n_bytes -= len(self._records.popleft())
        self._n_framed = 0
