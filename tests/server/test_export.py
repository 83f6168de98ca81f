"""Exports end for good when nobody reads them, and hold nobody else up meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from starlette.types import Message

from epochal.server.export import ExportResponse
from epochal.server.workers import MAX_EXPORTS, Workers


class Source:
    """Endless chunks; knows whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = threading.Event()
        self.n_made = 0

    def chunks(self) -> Iterator[bytes]:
        try:
            while True:
                self.n_made += 1
                yield b"x" * 1000
        finally:
            self.is_closed.set()


def test_an_export_that_is_closed_early_closes_what_it_reads_from() -> None:
    async def read_some() -> list[bytes]:
        chunks = workers.stream(source.chunks)
        some = [await anext(chunks) for _ in range(3)]
        await chunks.aclose()
        return some

    workers, source = Workers(2), Source()
    assert len(asyncio.run(read_some())) == 3
    assert source.is_closed.wait(10)
    workers.close()


def test_slow_readers_keep_no_thread_waiting() -> None:
    async def read_in_turns() -> list[int]:
        exports = [workers.stream(source.chunks) for source in sources]
        for _ in range(5):
            for export in exports:
                await anext(export)
        made = [source.n_made for source in sources]
        for export in exports:
            await export.aclose()
        return made

    workers, sources = Workers(1), [Source() for _ in range(MAX_EXPORTS)]
    made = asyncio.run(read_in_turns())
    # Each is one ahead of its reader at most: what waits to be read takes memory.
    assert all(5 <= n <= 6 for n in made)
    assert all(source.is_closed.wait(10) for source in sources)
    workers.close()


def test_an_export_that_ended_makes_room_for_the_next() -> None:
    async def read_one_by_one() -> int:
        n_read = 0
        for _ in range(2 * MAX_EXPORTS):
            async for _ in workers.stream(lambda: iter([b"a", b"b"])):
                n_read += 1
        return n_read

    workers = Workers(2)
    assert asyncio.run(asyncio.wait_for(read_one_by_one(), 30)) == 4 * MAX_EXPORTS
    workers.close()


def test_an_error_in_the_middle_reaches_the_reader() -> None:
    def fail() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("the run was deleted")

    async def read() -> None:
        async for _ in workers.stream(fail):
            pass

    workers = Workers(2)
    with pytest.raises(ValueError, match="deleted"):
        asyncio.run(read())
    workers.close()


def test_a_reader_that_takes_nothing_is_let_go() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.Event().wait()  # the connection's buffer is full for ever

    async def answer() -> None:
        chunks = workers.stream(source.chunks)
        response = ExportResponse(await anext(chunks), chunks, media_type="text/plain", stall_s=0.1)
        await response.stream_response(send)

    workers, source = Workers(2), Source()
    with pytest.raises(TimeoutError):
        asyncio.run(answer())
    assert source.is_closed.wait(10)
    # Without a last message, so the reader cannot take it for complete.
    assert all(message.get("more_body", True) for message in sent)
    workers.close()
