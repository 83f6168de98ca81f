"""What changed, for pages that are open: news from the ingest's threads to any number of listeners.

Changes of one run are gathered for a quarter of a second, so that a run that logs a thousand times a second
costs a page four looks.  The newest are kept for listeners whose connection broke for a while; the
memory is bounded whatever the listeners do.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from epochal.ids import RunId, generate_id
from epochal.wire.change import Change

GATHER_S = 0.25
MAX_KEPT = 20_000
MAX_WAITING = 1000

_RunName = tuple[str, str, RunId]


class FeedEvent(NamedTuple):
    """One piece of news, or that some were missed for good."""

    cursor: str  # give it back to go on behind this event
    change: Change | None  # None: what came since is not known any more, everything may have changed


class ChangeFeed:
    """Takes changes from any thread, gives them to subscriptions in any event loop.

    Args:
        clock: seconds that never go back.
        gather_s: changes of one run are gathered so long.
        max_kept: changes that are kept for those who come back.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        gather_s: float = GATHER_S,
        max_kept: int = MAX_KEPT,
    ) -> None:
        self._clock = clock
        self._gather_s = gather_s
        # A cursor of another process means nothing here.
        self._life = generate_id()
        self._lock = threading.Lock()
        self._told: deque[Change] = deque(maxlen=max_kept)
        self._n_told = 0
        self._waiting: dict[_RunName, tuple[float, Change]] = {}  # when it is due, and the change
        self._told_at: dict[_RunName, float] = {}  # of runs told within the last gather_s
        self._listeners: set[Subscription] = set()
        self._is_closed = False

    def publish(self, change: Change) -> None:
        """Tell of `change`, at the latest after the gathering time; returns at once."""
        now = self._clock()
        name = (change.entity, change.project, change.run)
        with self._lock:
            waiting = self._waiting.get(name)
            if waiting is None:
                # The first in a while is told at once; what follows it closely is gathered.
                due = max(now, self._told_at.get(name, float("-inf")) + self._gather_s)
                self._waiting[name] = (due, change)
            else:
                self._waiting[name] = (waiting[0], waiting[1].and_then(change))
            listeners = list(self._listeners) if waiting is None else []
            if len(self._waiting) > MAX_WAITING:
                self._tell_due()  # else nobody does while nobody listens
        for listener in listeners:
            listener.wake()

    def subscribe(
        self, *, entity: str | None = None, project: str | None = None, after: str | None = None
    ) -> Subscription:
        """Return the changes from now on, or from behind the cursor `after`; of one project, or of all.

        To be called in the event loop that will read it.  Close it when done.
        """
        subscription = Subscription(self, entity=entity, project=project, after=after)
        with self._lock:
            self._listeners.add(subscription)
        return subscription

    def close(self) -> None:
        """End every subscription."""
        with self._lock:
            self._is_closed = True
            listeners = list(self._listeners)
        for listener in listeners:
            listener.wake()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come."""
        return self._is_closed

    def position(self, cursor: str | None) -> int | None:
        """Return the number of the event behind `cursor` (None: the next one to come); None if not known."""
        with self._lock:
            self._tell_due()
            if cursor is None:
                return self._n_told
            life, _, number = cursor.partition("-")
            if life != self._life or not number.isdecimal() or len(number) > 18:
                return None
            return int(number)

    def cursor(self, number: int) -> str:
        """Return the cursor by which to go on at the event with this number."""
        return f"{self._life}-{number}"

    def take(self, number: int) -> tuple[int, list[tuple[int, Change]] | None, float | None]:
        """Return what a listener that is at event `number` has to hear.

        Returns:
            The number to go on at; the (number, change) from there, or None if some are not kept any more;
            and the seconds until the next change is due, or None if none waits.
        """
        with self._lock:
            self._tell_due()
            now = self._clock()
            next_due = min((due for due, _ in self._waiting.values()), default=None)
            wait_s = None if next_due is None else max(0.0, next_due - now)
            oldest = self._n_told - len(self._told)
            if not oldest <= number <= self._n_told:
                return self._n_told, None, wait_s
            n_new = self._n_told - number
            changes = itertools.islice(self._told, len(self._told) - n_new, None)
            return self._n_told, list(zip(range(number, self._n_told), changes, strict=True)), wait_s

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        with self._lock:
            self._listeners.discard(subscription)

    def _tell_due(self) -> None:
        now = self._clock()
        due = [name for name, (at, _) in self._waiting.items() if at <= now]
        for name in due:
            self._told.append(self._waiting.pop(name)[1])
            self._n_told += 1
            self._told_at[name] = now
        if len(self._told_at) > MAX_WAITING:
            recent = now - self._gather_s
            self._told_at = {name: at for name, at in self._told_at.items() if at > recent}


class Subscription:
    """The changes that one listener hears.  An async iterator; made by `ChangeFeed.subscribe`."""

    def __init__(
        self, feed: ChangeFeed, *, entity: str | None, project: str | None, after: str | None
    ) -> None:
        self._feed = feed
        self._entity, self._project = entity, project
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        position = feed.position(after)
        self._is_lost = position is None
        self._number = feed.position(None) or 0 if position is None else position

    async def next(self, timeout_s: float) -> list[FeedEvent] | None:
        """Return the next events; none (an empty list) after `timeout_s`, None once the feed is closed."""
        deadline = self._loop.time() + timeout_s
        while True:
            self._woken.clear()
            events, wait_s = self._take()
            if events:
                return events
            if self._feed.is_closed:
                return None
            left_s = deadline - self._loop.time()
            if left_s <= 0:
                return []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s if wait_s is None else min(left_s, wait_s + 0.001)):
                    await self._woken.wait()

    async def __aiter__(self) -> AsyncIterator[FeedEvent]:
        """Yield events until the feed is closed."""
        while (events := await self.next(3600.0)) is not None:
            for event in events:
                yield event

    def wake(self) -> None:
        """Look again; from any thread."""
        # The loop may be closed already, while its server stops.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """Stop listening."""
        self._feed.leave(self)

    def _take(self) -> tuple[list[FeedEvent], float | None]:
        if self._is_lost:
            self._is_lost = False
            return [self._reset()], None
        self._number, changes, wait_s = self._feed.take(self._number)
        if changes is None:
            return [self._reset()], None
        wanted = [(number, change) for number, change in changes if self._is_wanted(change)]
        return [FeedEvent(self._feed.cursor(number + 1), change) for number, change in wanted], wait_s

    def _reset(self) -> FeedEvent:
        return FeedEvent(self._feed.cursor(self._number), None)

    def _is_wanted(self, change: Change) -> bool:
        return self._entity in (None, change.entity) and self._project in (None, change.project)
