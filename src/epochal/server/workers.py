"""Threads beside the event loop: queries run there, so that one of them never holds up the others' bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from starlette.requests import Request

P = ParamSpec("P")
T = TypeVar("T")

MAX_EXPORTS = 8  # at once: each keeps a batch of rows in memory, however slowly it is read


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
        self._free_exports = asyncio.Semaphore(MAX_EXPORTS)
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

    async def stream(self, produce: Callable[[], Iterator[bytes]]) -> AsyncGenerator[bytes, None]:
        """Yield what the iterator of `produce` yields, each item made in a thread while the last one is sent.

        A slow reader keeps no thread waiting.  When this iterator is closed, so is that of `produce`.
        """
        await self._free_exports.acquire()
        export = _Export(produce, self._closing.is_set)
        try:
            following = self._in_thread(export.next)
            while (item := await following) is not None:
                following = self._in_thread(export.next)
                # Asked for, so that nobody is told of an error whose reader went away.
                following.add_done_callback(lambda done: done.cancelled() or done.exception())
                yield item
        finally:
            # Not waited for: who was cancelled cannot wait.
            self._in_thread(export.close).add_done_callback(lambda _: self._free_exports.release())

    def _in_thread(self, function: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._exports, function)

    def close(self) -> None:
        """Let running queries finish and exports break off; no new ones start."""
        self._closing.set()
        self._queries.shutdown(wait=True, cancel_futures=True)
        self._exports.shutdown(wait=True, cancel_futures=True)


class _Export:
    """An iterator that is used by several threads, one at a time."""

    def __init__(self, produce: Callable[[], Iterator[bytes]], is_closing: Callable[[], bool]) -> None:
        self._produce, self._is_closing = produce, is_closing
        self._items: Iterator[bytes] | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def next(self) -> bytes | None:
        """Return the next item, None at the end.

        Raises:
            ClientGoneError: nobody wants it any more.
        """
        with self._lock:
            if self._is_closed or self._is_closing():
                raise ClientGoneError
            if self._items is None:
                self._items = self._produce()
            return next(self._items, None)

    def close(self) -> None:
        """Let go of what the iterator holds."""
        with self._lock:
            self._is_closed = True
            if isinstance(self._items, Generator):
                self._items.close()
