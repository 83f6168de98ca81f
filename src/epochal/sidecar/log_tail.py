"""Follows a run log for the few records that matter to the sidecar, without reading the rest.

Rows are by far the most of a run log and nothing here needs them.  So the frames are walked by their
lengths, 0.2 us each, and only those of a wanted type are checked and decoded.  What looks damaged is left to
the real reader.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from epochal.runlog.format import FRAME_HEADER, MAGIC, MAX_PAYLOAD_BYTES, RecordType, checksum
from epochal.runlog.reader import RunLogReader

_HEADER_BYTES = FRAME_HEADER.size
_READ_BYTES = 1 << 20
_TAIL_BYTES = 1 << 18

_decode = msgspec.msgpack.Decoder(list[object]).decode


class LogTail:
    """One file of another process that grows.

    Args:
        path: of the run log; its header is whole.
        wanted: record types that `advance` returns.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, wanted: AbstractSet[RecordType]) -> None:
        self.path = path
        self._wanted = frozenset(int(t) for t in wanted)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = len(MAGIC)
        self._synced_bytes = -1
        self._reader: RunLogReader | None = None  # takes over for good at the first damage

    def advance(self) -> list[list[object]]:
        """Return the wanted records that are whole since the last call, in order."""
        found: list[list[object]] = []
        while self._reader is None:
            data = os.pread(self._fd, _READ_BYTES, self._offset)
            before = self._offset
            if not self._walk(data, found):
                self._reader = RunLogReader(self.path, self._offset)
            if self._offset == before or len(data) < _READ_BYTES:
                break
        if self._reader is not None:
            while (frames := self._reader.read())[0]:
                found += [f.record for f in frames[0] if f.record[0] in self._wanted]
        return found

    def last_records(self) -> list[list[object]]:
        """Return the wanted records near the end, found by checksums alone.

        For the end of a run, if the walk did not see what must be there: damage may have led it astray.
        """
        start = max(len(MAGIC), os.fstat(self._fd).st_size - _TAIL_BYTES)
        found: list[list[object]] = []
        with RunLogReader(self.path, start) as reader:
            while (frames := reader.read())[0]:
                found += [f.record for f in frames[0] if f.record[0] in self._wanted]
        return found

    def sync(self) -> bool:
        """Put the file on the disk if it grew since the last time; return whether it had."""
        size = os.fstat(self._fd).st_size
        if size == self._synced_bytes:
            return False
        os.fsync(self._fd)
        self._synced_bytes = size
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
        if self._reader is not None:
            self._reader.close()

    def _walk(self, data: bytes, found: list[list[object]]) -> bool:
        """Pass over the frames of `data`, which begins at the current offset; return False at damage."""
        base, at, n = self._offset, 0, len(data)
        unpack, wanted = FRAME_HEADER.unpack_from, self._wanted
        # Item 0 of the array, the type, is the payload's second byte.
        while at + _HEADER_BYTES + 2 <= n:
            length, crc = unpack(data, at)
            if not 0 < length <= MAX_PAYLOAD_BYTES:
                self._offset = base + at
                return False
            end = at + _HEADER_BYTES + length
            if end > n and not self._is_whole(base + end):
                break
            if data[at + _HEADER_BYTES + 1] in wanted:
                payload = self._payload(base + at, length, crc)
                if payload is None:
                    self._offset = base + at
                    return False
                found.append(payload)
            at = end
        self._offset = base + at
        return True

    def _is_whole(self, end: int) -> bool:
        return end <= os.fstat(self._fd).st_size

    def _payload(self, offset: int, length: int, crc: int) -> list[object] | None:
        payload = os.pread(self._fd, length, offset + _HEADER_BYTES)
        if checksum(payload, offset) != crc:
            return None
        try:
            return _decode(payload)
        except msgspec.MsgspecError:
            return None
