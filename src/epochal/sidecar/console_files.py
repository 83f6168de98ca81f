"""Follows the files that the trainer prints into, and records what they gain as console output."""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from epochal.errors import RunLogError
from epochal.runlog.folder import SUFFIX
from epochal.runlog.format import RecordType
from epochal.runlog.reader import RunLogReader

_READ_BYTES = 1 << 16
MAX_BYTES_A_LOOK = 4 << 20  # so that a look does not take long, however much is printed
MAX_BYTES_AT_END = 64 << 20

# stream, path, offset (bytes), device, inode: as the trainer sent it
ConsoleFile = tuple[str, str, int, int, int]
# stream, text, and how far each stream's file is read
Write = Callable[[str, str, Mapping[str, int]], object]


class ConsoleFiles:
    """The files that one run's trainer prints into.

    Args:
        files: as the trainer sent them; one that is gone, or another one by now, is left out.
        folder: of the run; where a sidecar before us has read these files, we go on.
    """

    def __init__(self, files: Iterable[ConsoleFile], folder: Path) -> None:
        read_to = _read_to(folder)
        self._files: dict[str, _File] = {}
        for stream, path, offset, device, inode in files:
            with contextlib.suppress(OSError):
                self._files[stream] = _File(path, read_to.get(stream, offset), (device, inode))

    def advance(self, write: Write, max_bytes: int = MAX_BYTES_A_LOOK) -> None:
        """Give to `write` what is new, of each file at most `max_bytes`."""
        for stream, file in self._files.items():
            for text in file.texts(max_bytes):
                write(stream, text, {name: f.offset for name, f in self._files.items()})

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file.fd)
        self._files = {}


class _File:
    def __init__(self, path: str, offset: int, identity: tuple[int, int]) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        found = os.fstat(self.fd)
        if (found.st_dev, found.st_ino) != identity:
            os.close(self.fd)
            raise FileNotFoundError(path)
        self.offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def texts(self, max_bytes: int) -> Iterable[str]:
        """Yield what is new."""
        if os.fstat(self.fd).st_size < self.offset:
            self.offset = 0  # It was emptied, as log rotation does.
        end = self.offset + max_bytes
        while self.offset < end:
            data = os.pread(self.fd, _READ_BYTES, self.offset)
            if not data:
                return
            self.offset += len(data)
            text = self._decoder.decode(data)
            if text:
                yield text


def _read_to(folder: Path) -> dict[str, int]:
    """Return how far each stream's file was read by sidecars before this one."""
    found: dict[str, int] = {}
    for path in folder.glob(f"sidecar-*{SUFFIX}"):
        with contextlib.suppress(OSError, RunLogError), RunLogReader(path) as reader:
            frame = reader.skip_to_last(RecordType.CONSOLE)
            offsets = frame.record[4] if frame is not None and len(frame.record) > 4 else {}
            if isinstance(offsets, dict):
                for stream, offset in offsets.items():
                    found[stream] = max(found.get(stream, 0), offset)
    return found
