"""One run log that is being followed: opened when it has grown, read in bounded parts, turned into blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from epochal.ingest.accept import Progress
from epochal.runlog.format import Header, RecordType
from epochal.runlog.reader import RunLogReader
from epochal.wire.block import Block
from epochal.wire.build import block_of_batch


class RunLogFile:
    """Follows the run log at `path`.  Not thread-safe.

    Args:
        path: of the file.
        size: how much of it was taken in already, if it was read to its end before.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        self.header: Header | None = None
        self.has_ended = False  # an exit record was accepted
        self.modified_at = 0.0  # Unix seconds, by the file system's clock
        self._offset = 0  # bytes: everything before it was accepted
        self._seen_size = size  # up to here nothing more can be read for now
        self._size = size
        self._inode: int | None = None
        self._reader: RunLogReader | None = None
        self._tells_an_end = False  # the block that was read last does

    @property
    def is_taken_in(self) -> bool:
        """Whether the ingest knows it."""
        return self.header is not None and self._offset > 0

    @property
    def n_waiting_bytes(self) -> int:
        """How many bytes there were to read when it was looked at last."""
        return max(0, self._size - max(self._offset, self._seen_size))

    def look(self) -> bool:
        """Return whether there may be more to read.

        Raises:
            OSError: it cannot be looked at.
        """
        status = self.path.stat()
        if self._inode not in (None, status.st_ino) or status.st_size < self._seen_size:
            # Another file lies there now, or it was cut.  What was taken in, the ingest knows.
            self.begin_again()
        self._inode, self._size, self.modified_at = status.st_ino, status.st_size, status.st_mtime
        return self._size > self._seen_size

    def read(self, progress_of: Callable[[Header], Progress], max_bytes: int) -> Block | None:
        """Return the next block, of about `max_bytes` of the file, or None if nothing whole is there yet.

        `accepted` or `begin_again` must be called before the next one.

        Raises:
            RunLogError: it is not a run log, or a newer one.
            BlockError: its run has names that cannot be shown.
            OSError: it cannot be read.
        """
        reader = self._reader or self._open(progress_of)
        first_offset = self._offset
        batch, losses = reader.read_batch(max_bytes)
        if first_offset > 0 and not batch.payloads and not losses:
            # A torn tail: its writer may be at it, so it is looked at again when it has grown.
            self._seen_size = self._size
            return None
        block = block_of_batch(
            reader.header, batch, losses, first_offset=first_offset, end_offset=reader.offset
        )
        self._tells_an_end = any(record[0] == RecordType.EXIT for _, record in block.records)
        return block

    def accepted(self) -> None:
        """Go on behind the block that was read last."""
        assert self._reader is not None, "a block was read"
        self._offset = self._reader.offset
        # It may have grown since it was looked at, and then more was read than was known to be there.
        self._size = max(self._size, self._offset)
        self._seen_size = max(self._seen_size, self._offset)
        self.has_ended = self.has_ended or self._tells_an_end

    def begin_again(self) -> None:
        """Ask the ingest again where to go on."""
        self.close()
        self._offset, self._seen_size, self.header, self.has_ended = 0, 0, None, False

    def close(self) -> None:
        """Give the file handle back until there is more to read."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self, progress_of: Callable[[Header], Progress]) -> RunLogReader:
        reader = RunLogReader(self.path, self._offset)
        try:
            if self.header is None:
                self._offset, self.has_ended = progress_of(reader.header)
                self.header = reader.header
                if self._offset:
                    reader.offset = self._offset
        except BaseException:
            reader.close()
            raise
        self._reader = reader
        return reader
