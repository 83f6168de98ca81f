"""Threads beside the event loop: queries run there, so that one of them never holds up the others' bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from starlette.requests import Request

P = ParamSpec("P")
T = TypeVar("T")

_CHUNKS_AHEAD = 4  # of an export, waiting for a slow reader


class ClientGoneError(Exception):
    """Whoever asked has hung up: there is nobody to answer."""


class Workers:
    """Two pools of threads: one for queries, one for exports, which may take as long as a download.

    Args:
        n_threads: of each.
    """

    def __init__(self, n_threads: int) -> None:
        self._queries = ThreadPoolExecutor(n_threads, thread_name_prefix="epochal-query")
        self._exports = ThreadPoolExecutor(n_threads, thread_name_prefix="epochal-export")
        self._free = asyncio.Semaphore(n_threads)
        self._closing = threading.Event()

    async def run(self, request: Request, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(*args, **kwargs)`, called in a thread when one is free.

        A browser that zooms and zooms again abandons its older requests; those that still wait are
        not answered at all.

        Raises:
            ClientGoneError: the client hung up while it waited.
        """
        async with self._free:
            if await request.is_disconnected():
                raise ClientGoneError
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._queries, lambda: function(*args, **kwargs))

    async def stream(self, produce: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
        """Yield what the iterator of `produce` yields; one thread takes its first item and its last.

        A slow reader holds the producer up after a few chunks; one that goes away ends it.
        """
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_AHEAD)
        gone = threading.Event()

        def put(chunk: bytes | None) -> None:
            waiting: Future[None] = asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop)
            while not (gone.is_set() or self._closing.is_set()):
                try:
                    return waiting.result(timeout=0.25)
                except TimeoutError:
                    continue
            waiting.cancel()
            raise ClientGoneError

        def work() -> None:
            try:
                for chunk in produce():
                    put(chunk)
            except ClientGoneError:
                return
            finally:
                if not (gone.is_set() or self._closing.is_set()):
                    put(None)

        worker = loop.run_in_executor(self._exports, work)
        try:
            while (chunk := await chunks.get()) is not None:
                yield chunk
            await worker  # raises what the producer raised
        finally:
            gone.set()
            # Asked for, so that nobody is told of an error whose reader went away.
            worker.add_done_callback(lambda done: done.cancelled() or done.exception())

    def close(self) -> None:
        """Let running queries finish and exports break off; no new ones start."""
        self._closing.set()
        self._queries.shutdown(wait=True, cancel_futures=True)
        self._exports.shutdown(wait=True, cancel_futures=True)
