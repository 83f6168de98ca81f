from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from epochal.ids import RunId
from epochal.query.live import ChangeFeed, FeedEvent, Subscription
from epochal.wire.change import Change, ChangedPart


def change(run: str, *what: ChangedPart, project: str = "p", last_step: int | None = None) -> Change:
    return Change("local", project, RunId(run), frozenset(what or ("history",)), last_step)


def changes(events: Sequence[FeedEvent] | None) -> list[Change | None]:
    assert events is not None
    return [event.change for event in events]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def hear(subscription: Subscription, n: int) -> list[FeedEvent]:
    """Return the next `n` events."""
    events: list[FeedEvent] = []
    while len(events) < n:
        more = await subscription.next(30.0)
        assert more, "the feed said nothing"
        events += more
    return events


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_a_change_from_another_thread_is_heard_by_everybody() -> None:
    async def test() -> None:
        feed = ChangeFeed()
        subscriptions = [feed.subscribe() for _ in range(3)]
        thread = threading.Thread(target=feed.publish, args=(change("r1", last_step=3),))
        thread.start()
        for subscription in subscriptions:
            assert changes(await hear(subscription, 1)) == [change("r1", last_step=3)]
        thread.join()

    run(test)


def test_changes_of_a_run_are_gathered_and_others_are_not_held_up() -> None:
    async def test() -> None:
        clock = Clock()
        feed = ChangeFeed(clock, gather_s=0.25)
        subscription = feed.subscribe()
        feed.publish(change("r1", last_step=0))
        assert changes(await subscription.next(0)) == [change("r1", last_step=0)]

        clock.now += 0.01
        feed.publish(change("r1", "history", last_step=1))
        feed.publish(change("r1", "summary", last_step=2))
        feed.publish(change("r2"))
        assert changes(await subscription.next(0)) == [change("r2")]

        clock.now += 0.25
        assert changes(await subscription.next(0)) == [change("r1", "history", "summary", last_step=2)]
        assert await subscription.next(0) == []

    run(test)


def test_what_is_gathered_comes_by_itself_when_its_time_is_over() -> None:
    async def test() -> None:
        feed = ChangeFeed(gather_s=0.05)
        subscription = feed.subscribe()
        feed.publish(change("r1", last_step=0))
        feed.publish(change("r1", last_step=1))
        first = await hear(subscription, 1)
        feed.publish(change("r1", last_step=2))
        last = await hear(subscription, 1)
        steps = [event.change.last_step for event in [*first, *last] if event.change is not None]
        assert steps == [1, 2]

    run(test)


def test_a_listener_that_comes_back_hears_what_it_missed() -> None:
    async def test() -> None:
        clock = Clock()
        feed = ChangeFeed(clock)
        subscription = feed.subscribe()
        feed.publish(change("r1"))
        (event,) = await hear(subscription, 1)
        subscription.close()
        for name in ("r2", "r3"):
            feed.publish(change(name))

        again = feed.subscribe(after=event.cursor)
        assert changes(await again.next(0)) == [change("r2"), change("r3")]
        assert await feed.subscribe().next(0) == []

    run(test)


@pytest.mark.parametrize(
    "cursor", ["another-3", "", "-", "x", "{life}-99999", "{life}-x", "{life}--1", "{life}-²"]
)
def test_a_cursor_that_means_nothing_here_gives_a_reset_first(cursor: str) -> None:
    async def test() -> None:
        feed = ChangeFeed(Clock())
        life = feed.cursor(0).partition("-")[0]
        subscription = feed.subscribe(after=cursor.format(life=life))
        feed.publish(change("r1"))
        reset, *_ = await hear(subscription, 1)
        assert reset.change is None

        again = feed.subscribe(after=reset.cursor)
        assert changes(await again.next(0)) in ([change("r1")], [])

    run(test)


def test_the_memory_is_bounded_and_who_is_too_slow_is_told_so() -> None:
    async def test() -> None:
        clock = Clock()
        feed = ChangeFeed(clock, max_kept=10)
        slow, quick = feed.subscribe(), feed.subscribe()
        for i in range(25):
            clock.now += 1.0
            feed.publish(change("r1", last_step=i))
            assert changes(await quick.next(0)) == [change("r1", last_step=i)]

        assert changes(await slow.next(0)) == [None]
        clock.now += 1.0
        feed.publish(change("r1", last_step=99))
        assert changes(await slow.next(0)) == [change("r1", last_step=99)]

    run(test)


def test_nothing_piles_up_while_nobody_listens() -> None:
    feed = ChangeFeed(max_kept=10)
    for i in range(5000):
        feed.publish(change(f"r{i}"))

    async def test() -> None:
        assert len(await feed.subscribe(after=feed.cursor(0)).next(0) or ()) <= 1

    run(test)


def test_a_listener_hears_of_its_project_only() -> None:
    async def test() -> None:
        feed = ChangeFeed(Clock())
        subscription = feed.subscribe(entity="local", project="p")
        feed.publish(change("r1", project="other"))
        feed.publish(change("r2"))
        feed.publish(Change("else", "p", RunId("r3"), frozenset({"run"})))
        assert changes(await subscription.next(0)) == [change("r2")]

    run(test)


def test_closing_the_feed_ends_every_subscription() -> None:
    async def test() -> None:
        feed = ChangeFeed()

        async def listen() -> list[FeedEvent]:
            return [event async for event in feed.subscribe()]

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        feed.publish(change("r1"))
        feed.close()
        assert changes(await asyncio.wait_for(listening, 30.0)) == [change("r1")]
        assert await feed.subscribe().next(30.0) is None

    run(test)


def test_a_listener_whose_loop_is_gone_disturbs_nobody() -> None:
    feed = ChangeFeed()

    async def leave_without_closing() -> None:
        feed.subscribe()

    asyncio.run(leave_without_closing())
    feed.publish(change("r1"))
    feed.close()
