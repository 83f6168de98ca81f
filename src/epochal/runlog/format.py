"""The bytes of a run log: magic, frames, record types.  docs/formats/run-log.md describes them."""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import Literal

import msgspec

VERSION = 1
MAGIC = b"EPOCHAL" + bytes([VERSION])
MAX_PAYLOAD_BYTES = 1 << 28

FRAME_HEADER = struct.Struct("<II")  # length, crc32
OFFSET_MASK = 0xFFFFFFFF

WriterKind = Literal["primary", "secondary", "sidecar"]


class RecordType(IntEnum):
    """Item 0 of a payload."""

    HEADER = 0
    ROW = 1
    CONFIG = 2
    SUMMARY = 3
    DEFINE_METRIC = 4
    CONSOLE = 5
    SYSTEM = 6
    FILE = 7
    ALERT = 9
    ATTRIBUTES = 10
    EXIT = 11
    METADATA = 12
    UNPLACED_ROW = 13
    HEARTBEAT = 14
    CHECKPOINT = 15
    LOST = 16


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of every file: whose rows follow."""

    run_id: str
    project: str
    entity: str | None  # None: the server's default
    writer: str
    kind: WriterKind
    start_time: float  # Unix seconds
    start_step: int = 0
    pid: int = 0
    host: str = ""
    sdk_version: str = ""
    mode: str = "online"
    resumed: bool = False
    label: str | None = None
    watches: str | None = None  # of a sidecar: the writer of the training process it watches
    format: int = VERSION


def checksum(payload: bytes | memoryview, offset: int) -> int:
    """Return the CRC-32 of `payload` bound to its frame's `offset` in the file.

    Started from the offset, so that bytes which merely look like a frame (a logged string, a copied
    range) never check out where they do not belong.
    """
    return zlib.crc32(payload, offset & OFFSET_MASK)


def frame(payload: bytes, offset: int) -> bytes:
    """Return `payload` as the frame that begins at `offset`."""
    return FRAME_HEADER.pack(len(payload), zlib.crc32(payload, offset & OFFSET_MASK)) + payload
