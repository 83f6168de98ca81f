"""One run log on its way to a server: read from where the server is, built into blocks once, kept until
the server has them.

The run log is the only state: whatever is in memory here can be lost and is built again from the offset that
the server names.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from epochal.errors import RunLogError
from epochal.runlog.format import Header
from epochal.runlog.reader import IncompleteRunLogError, LostRange, RunLogReader
from epochal.wire.block import encode
from epochal.wire.build import block_of_batch, build_block, header_frame

TOO_LARGE = "larger than the server takes; it is still in the run log"


class Built(NamedTuple):
    """A block, ready to be sent."""

    first_offset: int
    end_offset: int
    n_frames: int  # besides the header
    n_rows: int
    losses: tuple[LostRange, ...]
    data: bytes


class OutgoingLog:
    """The run log at `path`.  Not thread-safe.

    Attributes:
        header: None until it could be read.
        offset: everything before it is on the server; None until the server said so.
        size: of the file when it was looked at last.
        n_rows: that the server acknowledged to us.
        n_sent_bytes: of the file, that it acknowledged to us.
        losses: damage in what was acknowledged to us.
        seen_size: up to here nothing more can be read for now.
        why_stopped: nothing more of it is sent, and why; None while all is well.
        waiting: blocks that the server does not have yet, in order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header | None = None
        self.offset: int | None = None
        self.size = 0
        self.n_rows = 0
        self.n_sent_bytes = 0
        self.losses: list[LostRange] = []
        self.why_stopped: str | None = None
        self.waiting: deque[Built] = deque()
        self._header_end = 0  # bytes
        self._may_heal = False  # what stopped it may pass
        self._read_to = 0  # where the next block begins
        self.seen_size = 0
        self._max_read: int | None = None
        self._inode: int | None = None
        self._reader: RunLogReader | None = None

    @property
    def has_more(self) -> bool:
        """Whether there may be something to send."""
        return self.why_stopped is None and (bool(self.waiting) or self.size > self.seen_size)

    @property
    def n_left_bytes(self) -> int:
        """How much of the file is not on the server, as far as known; a torn end included."""
        return max(0, self.size - (self.offset or 0))

    def look(self) -> None:
        """Look how large it is.

        Raises:
            OSError: it cannot be looked at; it is gone, perhaps.
        """
        status = self.path.stat()
        if self._may_heal:
            self.why_stopped, self._may_heal = None, False
        if self._inode not in (None, status.st_ino) or status.st_size < min(self.seen_size, self.size):
            self._begin_at(0)  # Another file lies there now; the server says what it has of it.
            self.header = None
        self._inode, self.size = status.st_ino, status.st_size

    def open(self) -> bool:
        """Read the header; return False if there is none yet, or never will be."""
        if self._reader is not None:
            return True
        try:
            self._reader = RunLogReader(self.path, self._read_to)
        except IncompleteRunLogError:
            self.seen_size = self.size
            return False
        except RunLogError as error:
            self.why_stopped = str(error).splitlines()[0]
            return False
        except OSError as error:
            self.cannot_be_read(error)
            return False
        self.header, self._header_end = self._reader.header, self._reader.first_offset
        return True

    def build(self, max_bytes: int) -> bool:
        """Build one more block, of about `max_bytes` of the file; return False if there is nothing for it."""
        if not self.open():
            return False
        reader = self._reader
        assert reader is not None
        try:
            batch, losses = reader.read_batch(min(max_bytes, self._max_read or max_bytes))
        except OSError as error:
            self.cannot_be_read(error)
            return False
        first = self._read_to
        if first > 0 and not batch.payloads and not losses:
            # A torn tail: its writer may be at it, so it is read again when it has grown.
            self.seen_size = self.size
            return False
        block = block_of_batch(reader.header, batch, losses, first_offset=first, end_offset=reader.offset)
        data = encode(block)
        self.waiting.append(
            Built(first, reader.offset, len(batch.payloads), block.n_rows, tuple(losses), data)
        )
        self._read_to = reader.offset
        self.size = max(self.size, reader.offset)
        self.seen_size = max(self.seen_size, reader.offset)
        if reader.offset >= self.size:
            self.rest()  # A program may have thousands of runs on their way, and 64 descriptors.
        return True

    def acknowledged(self, offset: int) -> bool:
        """Take note that the server has everything before `offset`; return whether that is news."""
        is_news = offset != self.offset
        while self.waiting and self.waiting[0].end_offset <= offset:
            built = self.waiting.popleft()
            self._max_read = None
            self.n_rows += built.n_rows
            self.n_sent_bytes += built.end_offset - built.first_offset
            self.losses += built.losses
        at = self.waiting[0].first_offset if self.waiting else self._read_to
        if at != offset:
            # The server has it from elsewhere, or has lost what it had: go on from where it is.
            self._begin_at(offset)
        self.offset = offset
        return is_news

    def shrink(self) -> bool:
        """Build what waits anew, in smaller blocks; return False if it is one record already."""
        first = self.waiting[0]
        if first.n_frames <= 1:
            return False
        self._begin_at(first.first_offset)
        self._max_read = max(1, (first.end_offset - first.first_offset) // 4)
        return True

    def build_again(self) -> None:
        """Build what waits anew."""
        if self.waiting:
            self._begin_at(self.waiting[0].first_offset)

    def leave_out_first(self) -> None:
        """Have the record that waits first named as lost in place of being sent, so that the rest can follow.

        It is larger than the server takes, and everything behind it would wait for ever.
        """
        first = self.waiting.popleft()
        assert self.header is not None
        # The first block has the header in it, which stays.
        begins = first.first_offset or self._header_end
        header = [] if first.first_offset else [header_frame(self.header, self._header_end)]
        loss = LostRange(begins, first.end_offset - begins, TOO_LARGE)
        block = build_block(
            self.header, header, [loss], first_offset=first.first_offset, end_offset=first.end_offset
        )
        self.waiting.appendleft(first._replace(n_frames=0, n_rows=0, losses=(loss,), data=encode(block)))

    def stop(self, why: str) -> None:
        """Send nothing more of it."""
        self.why_stopped = why
        self.waiting.clear()
        self.rest()

    def cannot_be_read(self, error: OSError) -> None:
        """Leave it alone until the next look: a file system may be luckier then."""
        self._begin_at(self.offset or 0)
        self.why_stopped = f"{self.path} cannot be read: {error.strerror or error}"
        self._may_heal = True

    def rest(self) -> None:
        """Give the file handle back until there is more to read."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _begin_at(self, offset: int) -> None:
        self.rest()
        self.waiting.clear()
        self._read_to = offset
        self.seen_size = offset
        self._max_read = None


def torn_bytes(log: OutgoingLog) -> int:
    """Return how many bytes at the end of a log that was sent are no whole record (yet)."""
    return log.n_left_bytes if log.why_stopped is None and not log.has_more else 0
