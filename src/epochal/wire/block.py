"""The block: a range of one writer's frames in columns.

The SDK's rows are turned into columns once, beside the training; the server stores them as they come and
never touches single values.  The layout is described in docs/formats/block.md.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec
import zstandard

from epochal.errors import BlockError
from epochal.ids import RunId, WriterId

MAGIC = b"EPB"
VERSION = 1
MAX_DECODED_BYTES = 1 << 30

ColumnKind = Literal["f", "i", "b", "v"]
T = TypeVar("T")


class BlockId(msgspec.Struct, frozen=True):
    """Names the range of one writer's run log that a block holds, for ever.

    The server can therefore tell a block it already has, and sending one twice is harmless.
    """

    run_id: RunId
    writer: WriterId
    first_offset: int  # bytes from the start of the run-log file to the block's first frame
    end_offset: int  # bytes, to the end of its last frame: where the next block begins


class Column(msgspec.Struct, frozen=True, array_like=True):
    """The values of one key and one kind, in row order."""

    key: str  # flattened with dots
    kind: ColumnKind  # f64, i64, u8 booleans, or any msgpack value
    rows: bytes | None  # u32 little-endian row indices, ascending; None if every row has a value
    values: bytes | list[object]  # little-endian; a list for kind "v"


class Loss(msgspec.Struct, frozen=True, array_like=True):
    """Damaged bytes inside the range, which no reader can give back."""

    offset: int
    n_bytes: int
    reason: str


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """See docs/formats/block.md; byte fields are little-endian arrays."""

    run_id: RunId
    project: str
    entity: str | None
    writer: WriterId
    kind: Literal["primary", "secondary", "sidecar"]
    first_offset: int
    end_offset: int
    n_rows: int
    steps: tuple[int, int] | bytes  # (first, stride), or i64 per row
    times: bytes  # f64 per row, Unix seconds
    unplaced: bytes | None = None  # u8 per row; 1: `steps` holds an ordinal, ingest gives the step
    placed: list[tuple[int, int, int]] = []  # by ingest: (first ordinal, last ordinal, step of the first)
    columns: list[Column] = []
    records: list[tuple[int, list[object]]] = []  # (rows before it, the record as in the run log)
    losses: list[Loss] = []

    @property
    def id(self) -> BlockId:
        return BlockId(self.run_id, self.writer, self.first_offset, self.end_offset)


class _WithoutRows(msgspec.Struct, frozen=True, kw_only=True):
    """What a block holds beside rows and columns, which are skipped and not decoded."""

    run_id: RunId
    project: str
    entity: str | None
    writer: WriterId
    kind: Literal["primary", "secondary", "sidecar"]
    first_offset: int
    end_offset: int
    placed: list[tuple[int, int, int]] = []
    records: list[tuple[int, list[object]]] = []
    losses: list[Loss] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Block)
_decoder_without_rows = msgspec.msgpack.Decoder(_WithoutRows)


def encode(block: Block, *, level: int = 1) -> bytes:
    """Return the bytes of `block`; `level` is zstd's."""
    body = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(_encoder.encode(block))
    return MAGIC + bytes([VERSION]) + body


def decode(data: bytes, *, max_bytes: int = MAX_DECODED_BYTES) -> Block:
    """Return the block in `data`.

    Raises:
        BlockError: `data` is not a block, is damaged, is of a newer version, or would unpack to more than
            `max_bytes`.
    """
    return _decoded(data, _decoder, max_bytes)


def decode_without_rows(data: bytes) -> Block:
    """Return the block in `data` as if it had no rows, at the cost of its other records.

    Raises:
        BlockError: as `decode`.
    """
    rest = _decoded(data, _decoder_without_rows, MAX_DECODED_BYTES)
    return Block(**msgspec.structs.asdict(rest), n_rows=0, steps=(0, 1), times=b"")


def unpacked_size(data: bytes, *, max_bytes: int = MAX_DECODED_BYTES) -> int:
    """Return how many bytes the block in `data` unpacks to, as it says itself; nothing is unpacked.

    Raises:
        BlockError: as `decode`.
    """
    if data[:3] != MAGIC or len(data) < 4:
        raise BlockError(f"not a block: it begins with {data[:4]!r}")
    if data[3] > VERSION:
        raise BlockError(f"a block of version {data[3]}; this Epochal reads up to {VERSION}: update it")
    try:
        size = zstandard.frame_content_size(memoryview(data)[4:])
    except zstandard.ZstdError as error:
        raise BlockError(f"a damaged block: {error}") from error
    if not 0 <= size <= max_bytes:
        raise BlockError(f"a block of {size} bytes unpacked; at most {max_bytes} are accepted")
    return size


def _decoded(data: bytes, decoder: msgspec.msgpack.Decoder[T], max_bytes: int) -> T:
    unpacked_size(data, max_bytes=max_bytes)
    try:
        return decoder.decode(zstandard.ZstdDecompressor().decompress(memoryview(data)[4:]))
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BlockError(f"a damaged block: {error}") from error
