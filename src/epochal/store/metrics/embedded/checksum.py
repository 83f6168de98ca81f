"""Checksums of what lies in a metric store's file: damage is an error, never a wrong number.

SQLite has none of its own.  A body carries its sum in its last bytes, and the sum covers the columns of its
row as well, so that a body in the wrong place is found like one with a flipped bit.
"""

from __future__ import annotations

import struct
import zlib

from epochal.errors import DamagedStoreError

N_BYTES = 4  # that a checksum adds to a body

_SUM = struct.Struct("<I")
_LINE = struct.Struct("<qqd")


def seal(body: bytes, *columns: int) -> bytes:
    """Return `body` followed by its checksum, which covers `columns` of its row too."""
    return body + _SUM.pack(_checksum(body, columns))


def unseal(sealed: object, what: str, *columns: int) -> bytes:
    """Return the body in `sealed`, which was made by `seal` with the same columns.

    Args:
        sealed: as it came from the file, of whatever type.
        what: names it in the error.

    Raises:
        DamagedStoreError: it is not what was sealed.
    """
    if not isinstance(sealed, bytes) or len(sealed) < N_BYTES:
        raise DamagedStoreError(f"{what} is missing")
    body = sealed[:-N_BYTES]
    try:
        expected = _checksum(body, columns)
    except (struct.error, TypeError) as error:
        raise DamagedStoreError(f"{what} has a damaged row") from error
    if _SUM.unpack(sealed[-N_BYTES:])[0] != expected:
        raise DamagedStoreError(f"{what} does not have the checksum that it was written with")
    return body


def spoil(body: bytes, *columns: int) -> bytes:
    """Return `body` with a checksum that is not its own: it was found damaged when it was upgraded."""
    return body + _SUM.pack(_checksum(body, columns) ^ 0xFFFFFFFF)


def line_checksum(sequence: int, part: int, time: float, stream: bytes, text: bytes) -> int:
    """Return the checksum of a part of a console line, with its texts in UTF-8."""
    return zlib.crc32(text, zlib.crc32(stream, zlib.crc32(_LINE.pack(sequence, part, time))))


def is_line(sequence: int, part: int, time: object, stream: object, text: object, checksum: object) -> bool:
    """Return whether a part of a console line is what was written; it may come as any type."""
    return (
        isinstance(time, float)
        and isinstance(stream, bytes)
        and isinstance(text, bytes)
        and line_checksum(sequence, part, time, stream, text) == checksum
    )


def _checksum(body: bytes, columns: tuple[int, ...]) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack(f"<{len(columns)}q", *columns)))
