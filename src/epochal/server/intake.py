"""Takes in the blocks of many requests together, in one thread.

A commit costs nearly the same for one block as for a thousand, so whatever has come while the last commit was
on its way to the disk goes into the next one.  A request is answered when all of its blocks are durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from epochal.access.caller import Caller
from epochal.errors import BlockError
from epochal.ingest.accept import Ingest
from epochal.ingest.arriving import unpack
from epochal.ingest.outcome import Outcome, WriterName, is_passing, writer_of
from epochal.server.failures import RequestError
from epochal.server.rate_limits import Headers, LimitedError, RateLimits
from epochal.wire.block import Block, unpacked_size

# Of unpacked blocks, taken in together; an unpacked block is some times as large in memory.
MAX_BATCH_BYTES = 16 << 20
# A commit costs some milliseconds of the processor, whatever is in it.  Small parcels wait so long after the
# last one for others, up to so many bytes.  Without it, 200 senders of a row a second took 84 % of a core.
COMPANY_S = 0.02
COMPANY_BYTES = 256 << 10
# What a small block costs beside its content: its objects, a row in a few tables.
_BLOCK_OVERHEAD_BYTES = 8 << 10


class EntityNotAllowedError(RequestError):
    """Blocks for the runs of somebody else."""

    def __init__(self, entity: str, user: str) -> None:
        super().__init__(
            403,
            "entity_not_allowed",
            f"{user} may not send runs to the entity {entity[:200]!r}.",
            "Leave the entity out, or use a key of a user whose it is.",
            "entity",
        )


class Taken(NamedTuple):
    """What became of a request's blocks."""

    writers: dict[WriterName, Outcome]
    headers: Headers  # what is left of a limit, where there is one
    unreadable: list[tuple[int, BlockError]]  # by number in the body, from 0: nobody knows whose they are


class Intake:
    """Feeds `ingest` with what requests bring, in a thread of its own.

    Args:
        ingest: takes the blocks.
        rate_limits: for what a project may get.
        max_unpacked_bytes: that a block may have unpacked.
    """

    def __init__(self, ingest: Ingest, rate_limits: RateLimits, max_unpacked_bytes: int) -> None:
        self._ingest = ingest
        self._rate_limits = rate_limits
        self._max_unpacked_bytes = max_unpacked_bytes
        self._arrived: queue.SimpleQueue[_Parcel | None] = queue.SimpleQueue()
        self._is_open = True
        self._rest_until = 0.0  # monotonic seconds
        self._thread = threading.Thread(target=self._work, name="intake", daemon=True)
        self._thread.start()

    async def take(self, caller: Caller, bodies: Sequence[bytes]) -> Taken:
        """Return what became of the blocks, once all that can be stored are durable.

        Raises:
            Exception: a store could not write now, e.g. for a full disk; some of the blocks may be stored.
        """
        if not bodies:
            return Taken({}, {}, [])
        loop = asyncio.get_running_loop()
        parcel = _Parcel(caller, bodies, self._rate_limits, loop, loop.create_future())
        self._arrived.put(parcel)
        return await parcel.done

    def close(self) -> None:
        """Store what has come, and end the thread."""
        self._arrived.put(None)
        self._thread.join()

    def _work(self) -> None:
        waiting: deque[_Parcel] = deque()
        while True:
            self._gather(waiting, wait=True)
            self._wait_for_company(waiting)
            if not waiting:
                return
            batch, finished = self._next_batch(waiting)
            try:
                outcomes = self._ingest.accept_each([block for _, block in batch])
            except Exception as error:  # noqa: BLE001 - told to whoever waits; the next ones may fare better
                outcomes = {writer_of(block): Outcome(0, error) for _, block in batch}
            for parcel, block in batch:
                parcel.writers[writer_of(block)] = outcomes[writer_of(block)]
            _answer(finished)
            self._rest_until = time.monotonic() + COMPANY_S

    def _gather(self, waiting: deque[_Parcel], *, wait: bool) -> None:
        """Add what has arrived; nothing does after `close`."""
        while self._is_open:
            try:
                parcel = self._arrived.get(block=wait and not waiting)
            except queue.Empty:
                return
            if parcel is None:
                self._is_open = False
            else:
                waiting.append(parcel)

    def _wait_for_company(self, waiting: deque[_Parcel]) -> None:
        """Let more small parcels come where some were committed just now."""
        n_bytes = sum(parcel.n_bytes for parcel in waiting)
        while self._is_open and n_bytes < COMPANY_BYTES:
            left = self._rest_until - time.monotonic()
            try:
                parcel = self._arrived.get(timeout=left) if left > 0 else None
            except queue.Empty:
                return
            if parcel is None:
                self._is_open = self._is_open and left <= 0
                return
            waiting.append(parcel)
            n_bytes += parcel.n_bytes

    def _next_batch(self, waiting: deque[_Parcel]) -> tuple[list[tuple[_Parcel, Block]], list[_Parcel]]:
        """Unpack what goes into one commit; return it, and the parcels that are through with it."""
        batch: list[tuple[_Parcel, Block]] = []
        finished: list[_Parcel] = []
        n_bytes = 0
        while waiting and n_bytes < MAX_BATCH_BYTES:
            parcel = waiting[0]
            while not parcel.is_read and n_bytes < MAX_BATCH_BYTES:
                size, block = parcel.unpack_next(self._max_unpacked_bytes)
                n_bytes += size + _BLOCK_OVERHEAD_BYTES
                if block is not None:
                    batch.append((parcel, block))
            if parcel.is_read:
                finished.append(waiting.popleft())
            # What comes meanwhile shares the commit, but nothing waits for it.
            self._gather(waiting, wait=False)
        return batch, finished


class _Parcel:
    """One request's blocks on their way."""

    def __init__(
        self,
        caller: Caller,
        bodies: Sequence[bytes],
        rate_limits: RateLimits,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[Taken],
    ) -> None:
        self.loop, self.done = loop, done
        self.writers: dict[WriterName, Outcome] = {}
        self._caller, self._bodies, self._rate_limits = caller, bodies, rate_limits
        self._limit_headers: dict[tuple[str, str], Headers] = {}
        self._limited: LimitedError | None = None
        self.n_bytes = sum(map(len, bodies))
        self._n_read = 0
        self._refused: dict[WriterName, Outcome] = {}
        self._unreadable: list[tuple[int, BlockError]] = []

    @property
    def is_read(self) -> bool:
        """Whether all of its blocks were unpacked."""
        return self._n_read == len(self._bodies)

    def unpack_next(self, max_bytes: int) -> tuple[int, Block | None]:
        """Return the bytes that the next block has unpacked, and the block, unless it is refused."""
        body, number = self._bodies[self._n_read], self._n_read
        self._n_read += 1
        try:
            size = unpacked_size(body, max_bytes=max_bytes)
            block = unpack(body, entity=self._caller.user.entity, max_bytes=max_bytes)
        except BlockError as error:
            self._unreadable.append((number, error))
            return len(body), None
        name = writer_of(block)
        if not self._caller.may_write_to(name.entity):
            self._refused[name] = Outcome(0, EntityNotAllowedError(name.entity, self._caller.user.name))
            return size, None
        if not self._is_within_limits(name.entity, name.project):
            # All of it comes again later: the blocks that were unpacked before are known by then.
            self._n_read = len(self._bodies)
            return size, None
        return size, block

    def _is_within_limits(self, entity: str, project: str) -> bool:
        """Count this request for a project, once."""
        if (entity, project) not in self._limit_headers:
            try:
                headers = self._rate_limits.ingest(entity, project, self.n_bytes)
                self._limit_headers[entity, project] = headers
            except LimitedError as error:
                self._limited = error
        return self._limited is None

    def answer(self) -> None:
        """Tell who waits; in the event loop."""
        passing = next((o.error for o in self.writers.values() if o.error and is_passing(o.error)), None)
        if self.done.done():
            return
        error = passing or self._limited
        if error is not None:
            self.done.set_exception(error)
        else:
            headers = next(iter(self._limit_headers.values()), {})
            self.done.set_result(Taken(self.writers | self._refused, headers, self._unreadable))


def _answer(parcels: Sequence[_Parcel]) -> None:
    """Answer requests, waking the event loop once."""
    if parcels:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            parcels[0].loop.call_soon_threadsafe(_answer_now, parcels)


def _answer_now(parcels: Sequence[_Parcel]) -> None:
    for parcel in parcels:
        parcel.answer()
