"""How many bytes of bodies a server holds at once, over all requests.

A request takes memory as its bytes arrive, so a slow sender holds what it sent and no more.  Where the budget
is used up, requests wait, and what they would send stays with them (TCP holds it back).  If all of them had
half a body, nobody could ever finish: so one at a time, whoever has waited longest, may go beyond the budget.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Admission:
    """Gives out shares of a budget.  For one event loop.

    Args:
        budget_bytes: held at once, plus one body.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._waiting: deque[tuple[Share, int, asyncio.Future[None]]] = deque()
        self._beyond: Share | None = None  # who may go beyond the budget
        self.held = 0  # bytes

    def share(self) -> Share:
        """Return a share of nothing yet."""
        return Share(self)

    async def take(self, share: Share, n_bytes: int) -> None:
        """Add to a share, as soon as the budget has it."""
        if self._beyond is share or (not self._waiting and self.held + n_bytes <= self._budget):
            self._give(share, n_bytes)
            return
        waiting = asyncio.get_running_loop().create_future()
        entry = (share, n_bytes, waiting)
        self._waiting.append(entry)
        self._serve()
        try:
            await waiting
        except BaseException:
            if entry in self._waiting:
                self._waiting.remove(entry)
            raise

    def give_back(self, share: Share) -> None:
        """Take a whole share back."""
        self.held -= share.n_bytes
        share.n_bytes = 0
        if self._beyond is share:
            self._beyond = None
        self._serve()

    def _give(self, share: Share, n_bytes: int) -> None:
        share.n_bytes += n_bytes
        self.held += n_bytes

    def _serve(self) -> None:
        """Let those in who fit, in their order."""
        while self._waiting:
            share, n_bytes, waiting = self._waiting[0]
            if self.held + n_bytes > self._budget and self._beyond is not share:
                if self._beyond is not None:
                    return
                self._beyond = share
            self._waiting.popleft()
            if not waiting.done():
                self._give(share, n_bytes)
                waiting.set_result(None)


class Share:
    """What one request holds; to be used in a `with` statement, which gives it back."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.n_bytes = 0

    async def grow(self, n_bytes: int) -> None:
        """Hold so many bytes more, as soon as there is room."""
        await self._admission.take(self, n_bytes)

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.give_back(self)
