"""Answers that are sent while they are made: they end for good when nobody reads them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

PIECE_BYTES = 256 * 1024
# To take one piece.  Whoever takes none for so long is gone, though the connection still stands.
STALL_S = 60.0


class ExportResponse(StreamingResponse):
    """Sends bytes as they are made, in pieces.

    Args:
        first: the first of them, made already.
        rest: the others; closed in any case when the answer ends.
        media_type: of the body.
        stall_s: seconds that a reader has to take a piece; then the connection is closed.
    """

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes, None], *, media_type: str, stall_s: float = STALL_S
    ) -> None:
        super().__init__(_pieces(first, rest), media_type=media_type)
        self._rest = rest
        self._stall_s = stall_s

    async def stream_response(self, send: Send) -> None:
        """Send the answer; an answer that stalls has no end, by which its reader knows."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._stall_s):
                await send(message)

        async with contextlib.aclosing(self._rest):
            await super().stream_response(send_in_time)


async def _pieces(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    chunk: bytes | None = first
    while chunk is not None:
        for begin in range(0, len(chunk), PIECE_BYTES):
            yield chunk[begin : begin + PIECE_BYTES]
        chunk = await anext(rest, None)
