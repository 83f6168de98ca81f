"""Reads run logs that may be growing, torn or damaged.

A frame that ends beyond the file is a torn tail: its writer may still be at it.  A frame whose checksum
is wrong loses itself only: the reader looks for the next place where a frame checks, which the offset in
the checksum makes unmistakable, and reports what lies between as a loss.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from epochal.errors import NewerRunLogError, NotARunLogError
from epochal.runlog.format import (
    FRAME_HEADER,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    OFFSET_MASK,
    VERSION,
    Header,
    RecordType,
    checksum,
)

_HEADER_BYTES = FRAME_HEADER.size
_SCAN_BYTES = 1 << 20
# Every payload begins with a short array, a record type and a float64: three bytes that rule out nearly
# every place without computing a checksum.
_CANDIDATE = re.compile(rb"(?=.{8}[\x92-\x9f][\x00-\x1f]\xcb)", re.DOTALL)
_MIN_CANDIDATE_BYTES = _HEADER_BYTES + 3
_SHORT_ARRAYS = range(0x92, 0xA0)
_FLOAT64 = 0xCB

_decode = msgspec.msgpack.Decoder().decode
_new = tuple.__new__


class Frame(NamedTuple):
    """One record and its place."""

    offset: int
    end: int  # where the next frame begins
    record: list[object]  # [type, time, …]


class Batch(NamedTuple):
    """Payloads that checked, not decoded, each with the offset of its frame."""

    offsets: list[int]
    payloads: list[bytes]

    def frames(self) -> list[Frame]:
        """Return the records; a payload that checks but that no version writes is left out."""
        frames = []
        for offset, payload in zip(*self, strict=True):
            record = decode_record(payload)
            if record is not None:
                frames.append(_new(Frame, (offset, offset + _HEADER_BYTES + len(payload), record)))
        return frames


class LostRange(NamedTuple):
    """Bytes that no frame could be read from."""

    offset: int
    n_bytes: int
    reason: str


class Report(NamedTuple):
    """What a whole file gave besides its frames."""

    header: Header
    losses: list[LostRange]
    torn_bytes: int  # at the end, not a whole frame (yet)


class RunLogReader:
    """Reads one file from an offset on; call `read` again as the file grows.

    Args:
        path: of the file.
        offset: of the frame to begin with; 0 for the first one.

    Raises:
        NotARunLogError: the file does not begin with a run log's magic and a header frame.
        NewerRunLogError: it is of a version that this reader does not know.
        IncompleteRunLogError: it is still shorter than its own header.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self._scanned_to = 0
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.header, first_end = self._read_header()
        except BaseException:
            os.close(self._fd)
            raise
        self.offset = offset if offset > 0 else first_end
        self.first_offset = first_end

    def read(self, max_bytes: int = 1 << 20) -> tuple[list[Frame], list[LostRange]]:
        """Return the frames that are whole by now, of at least one and about `max_bytes`, and what was lost.

        Empty lists mean: nothing new yet, or nothing that any version writes.
        """
        while True:
            batch, losses = self.read_batch(max_bytes)
            frames = batch.frames()
            if frames or losses or not batch.payloads:
                return frames, losses

    def read_batch(self, max_bytes: int = 1 << 20) -> tuple[Batch, list[LostRange]]:
        """Return the same as `read`, before it is decoded."""
        batch = Batch([], [])
        losses: list[LostRange] = []
        data = os.pread(self._fd, max_bytes, self.offset)
        while True:
            damaged = self._take_frames(data, batch)
            if not damaged:
                break
            found = self._next_frame_after(self.offset)
            if found is None:
                break
            losses.append(LostRange(self.offset, found - self.offset, "the checksum does not match"))
            self.offset = found
            data = os.pread(self._fd, max_bytes, self.offset)
            if batch.payloads:
                break
        return batch, losses

    def skip_to_last(self, kind: RecordType) -> Frame | None:
        """Go on after the last whole record of `kind`, and return it; without one stay, and return None.

        The file is searched from its end, so this costs what lies behind the record.
        """
        end = os.fstat(self._fd).st_size
        while end > self.first_offset:
            start = max(self.first_offset, end - _SCAN_BYTES)
            # A byte more: the mark may lie across the border of two windows.
            found = self._last_in(os.pread(self._fd, end - start + 1, start), start, kind)
            if found is not None:
                self.offset = found.end
                return found
            end = start
        return None

    def torn_bytes(self) -> int:
        """Return how many bytes follow the last whole frame."""
        return max(0, os.fstat(self._fd).st_size - self.offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> RunLogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_header(self) -> tuple[Header, int]:
        start = os.pread(self._fd, len(MAGIC) + _HEADER_BYTES, 0)
        if not start.startswith(MAGIC[:-1]) and not MAGIC.startswith(start):
            raise NotARunLogError(self.path, start)
        if len(start) >= len(MAGIC) and start[7] > VERSION:
            raise NewerRunLogError(self.path, start[7], VERSION)
        if len(start) < len(MAGIC) + _HEADER_BYTES:
            raise IncompleteRunLogError(self.path)
        payload = self._payload_at(len(MAGIC))
        if payload is None:
            length, _ = FRAME_HEADER.unpack(start[len(MAGIC) :])
            is_short = os.fstat(self._fd).st_size < len(start) + length <= len(start) + 65_536
            # Where another frame follows, the header was whole once, and its length is what is damaged.
            if is_short and self._next_frame_after(len(MAGIC)) is None:
                raise IncompleteRunLogError(self.path)
            raise NotARunLogError(self.path, start)
        record = _decode(payload)
        try:
            header = msgspec.convert(record[2], Header)
        except (msgspec.ValidationError, IndexError, TypeError) as error:
            raise NotARunLogError(self.path, start) from error
        if record[0] != RecordType.HEADER:
            raise NotARunLogError(self.path, start)
        return header, len(start) + len(payload)

    def _take_frames(self, data: bytes, batch: Batch) -> bool:
        """Move every whole frame of `data`, read at `self.offset`, to `batch`; return whether it stopped
        at something that is not one (damage, or a torn tail whose length cannot be trusted)."""
        base, at, n = self.offset, 0, len(data)
        # The loop below runs once a logged row: names are local, and nothing is called that need not be.
        unpack, crc32 = FRAME_HEADER.unpack_from, zlib.crc32
        mark, take = batch.offsets.append, batch.payloads.append
        while at + _HEADER_BYTES <= n:
            length, crc = unpack(data, at)
            begin = at + _HEADER_BYTES
            end = begin + length
            if end > n and 0 < length <= MAX_PAYLOAD_BYTES:
                if at == 0:
                    return self._take_large_frame(length, crc, batch)
                break
            payload = data[begin:end]
            if not 0 < length <= MAX_PAYLOAD_BYTES or crc32(payload, (base + at) & OFFSET_MASK) != crc:
                self.offset = base + at
                return True
            mark(base + at)
            take(payload)
            at = end
        self.offset = base + at
        return False

    def _take_large_frame(self, length: int, crc: int, batch: Batch) -> bool:
        """Take the frame at `self.offset`, which is longer than what was read at once."""
        begin = self.offset + _HEADER_BYTES
        if begin + length > os.fstat(self._fd).st_size:
            # Torn, or its length is damaged: if another frame follows, it was damage.
            return True
        payload = os.pread(self._fd, length, begin)
        if checksum(payload, self.offset) != crc:
            return True
        batch.offsets.append(self.offset)
        batch.payloads.append(payload)
        self.offset = begin + length
        return False

    def _last_in(self, window: bytes, start: int, kind: RecordType) -> Frame | None:
        """Return the last frame of `kind` whose mark is in `window`, which was read at `start`."""
        mark = bytes([kind, _FLOAT64])
        at = window.rfind(mark)
        while at > 0:
            if window[at - 1] in _SHORT_ARRAYS:
                offset = start + at - 1 - _HEADER_BYTES
                payload = self._payload_at(offset) if offset >= self.first_offset else None
                record = None if payload is None else decode_record(payload)
                if payload is not None and record is not None:
                    return Frame(offset, offset + _HEADER_BYTES + len(payload), record)
            at = window.rfind(mark, 0, at + 1)
        return None

    def _next_frame_after(self, offset: int) -> int | None:
        """Return the offset of the first frame that checks after `offset`, or None if there is none yet.

        What was searched in vain is remembered, so that a growing file is searched once.
        """
        at = max(offset + 1, self._scanned_to)
        size = os.fstat(self._fd).st_size
        unfinished: int | None = None
        while True:
            window = os.pread(self._fd, _SCAN_BYTES, at)
            for match in _CANDIDATE.finditer(window):
                candidate = at + match.start()
                if self._payload_at(candidate) is not None:
                    return candidate
                length = FRAME_HEADER.unpack_from(window, match.start())[0]
                # One that ends beyond the file may be a good frame that is still being written.
                if unfinished is None and length <= MAX_PAYLOAD_BYTES and candidate + length > size:
                    unfinished = candidate
            if len(window) < _SCAN_BYTES:
                seen_to = at + max(0, len(window) - _MIN_CANDIDATE_BYTES + 1)
                self._scanned_to = seen_to if unfinished is None else unfinished
                return None
            at += len(window) - _MIN_CANDIDATE_BYTES + 1

    def _payload_at(self, offset: int) -> bytes | None:
        """Return the payload of the frame at `offset` if there is a whole one that checks."""
        head = os.pread(self._fd, _HEADER_BYTES, offset)
        if len(head) < _HEADER_BYTES:
            return None
        length, crc = FRAME_HEADER.unpack(head)
        if not 0 < length <= MAX_PAYLOAD_BYTES:
            return None
        if offset + _HEADER_BYTES + length > os.fstat(self._fd).st_size:
            return None
        payload = os.pread(self._fd, length, offset + _HEADER_BYTES)
        return payload if checksum(payload, offset) == crc else None


class IncompleteRunLogError(NotARunLogError):
    """The file is shorter than its own header: its writer died, or is just beginning."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, b"")
        self.args = (f"{path} ends inside its header; nothing was logged to it yet.",)


def read_all(path: Path) -> tuple[list[Frame], Report]:
    """Return every frame of the file and what was lost; raises as `RunLogReader` does."""
    frames: list[Frame] = []
    losses: list[LostRange] = []
    with RunLogReader(path) as reader:
        while True:
            more, lost = reader.read()
            if not more and not lost:
                return frames, Report(reader.header, losses, reader.torn_bytes())
            frames += more
            losses += lost


def decode_record(payload: bytes) -> list[object] | None:
    """Return the record, or None for a payload that checks but that no version writes."""
    try:
        record = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return record if isinstance(record, list) and len(record) >= 2 and isinstance(record[0], int) else None
