"""One pub/sub connection for all listeners of an event loop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.async_subscriber import AsyncSubscriber
from alsek.storage.backends.redis.listener import MOST_WAITING

if TYPE_CHECKING:
    import redis

    from harness.server import Server


def run(redis_url: str, body: object, **options: float) -> None:
    async def main() -> None:
        hub = AsyncSubscriber(RedisBackend(redis_url).new_connection, **options)
        try:
            await asyncio.wait_for(body(hub), 30)  # type: ignore[operator]
        finally:
            hub.end()
            hub.close()

    asyncio.run(main())


def test_many_listeners_share_one_connection(redis_url: str, redis_client: redis.Redis) -> None:
    async def body(hub: AsyncSubscriber) -> None:
        subscriptions = [hub.open((f"a{n}", "all")) for n in range(50)]
        for subscription in subscriptions:
            event = await subscription.next()
            assert event is not None
            assert event.channel is None

        redis_client.publish("a7", "seven")
        redis_client.publish("all", "everybody")

        heard = [await subscription.next() for subscription in subscriptions]
        assert heard[7] == ("a7", b"seven")
        assert await subscriptions[7].next() == heard[8] == ("all", b"everybody")
        assert len([one for one in redis_client.client_list() if int(one["sub"]) > 0]) == 1

    run(redis_url, body)


def test_a_channel_that_nobody_wants_any_more_is_left(redis_url: str, redis_client: redis.Redis) -> None:
    async def body(hub: AsyncSubscriber) -> None:
        async with hub.open(("a",)) as first:
            await first.next()
            async with hub.open(("a", "b")) as second:
                await second.next()
        while redis_client.pubsub_channels():  # noqa: ASYNC110 - the server cannot tell
            await asyncio.sleep(0.01)

        async with hub.open(("a",)) as again:
            await again.next()
            redis_client.publish("a", "x")
            assert await again.next() == ("a", b"x")

    run(redis_url, body)


def test_who_waits_is_told_to_look_after_a_lost_connection(redis_url: str, redis_client: redis.Redis) -> None:
    async def body(hub: AsyncSubscriber) -> None:
        subscription = hub.open(("a",))
        await subscription.next()

        redis_client.client_kill_filter(_type="pubsub")

        event = await subscription.next()
        assert event is not None
        assert event.channel is None
        redis_client.publish("a", "x")
        assert await subscription.next() == ("a", b"x")

    run(redis_url, body)


def test_a_server_that_says_nothing_is_given_up(server: Server) -> None:
    async def body(hub: AsyncSubscriber) -> None:
        subscription = hub.open(("a",))
        await subscription.next()
        with server.paused():
            while hub._wire is not None:  # noqa: ASYNC110 - the server cannot tell
                await asyncio.sleep(0.02)

        event = await subscription.next()
        assert event is not None
        assert event.channel is None

    run(server.url, body, check_s=0.2)


def test_a_wait_ends_in_time_and_when_it_is_closed(redis_url: str) -> None:
    async def body(hub: AsyncSubscriber) -> None:
        subscription = hub.open(("a",))
        await subscription.next()
        assert await subscription.next(time.monotonic() + 0.01) is None
        assert not subscription.closed

        waiting = asyncio.ensure_future(subscription.next())
        await asyncio.sleep(0)
        hub.end()

        assert await waiting is None
        assert subscription.closed

    run(redis_url, body)


def test_a_slow_listener_is_told_to_look_instead_of_being_flooded(redis_url: str, redis_client: redis.Redis) -> None:
    async def body(hub: AsyncSubscriber) -> None:
        slow, quick = hub.open(("a",)), hub.open(("end",))
        await slow.next()
        await quick.next()
        pipeline = redis_client.pipeline()
        for n in range(MOST_WAITING + 500):
            pipeline.publish("a", str(n))
        pipeline.publish("end", "")
        pipeline.execute()
        await quick.next()

        heard = []
        while (event := await slow.next(time.monotonic() + 0.05)) is not None:
            heard.append(event.channel)

        assert None in heard
        assert len(heard) <= MOST_WAITING

    run(redis_url, body)


@pytest.mark.parametrize("order", ["leave first", "join first"])
def test_leaving_and_joining_in_one_turn_loses_nothing(redis_url: str, redis_client: redis.Redis, order: str) -> None:
    async def body(hub: AsyncSubscriber) -> None:
        first = hub.open(("a",))
        await first.next()

        if order == "leave first":
            first.close()
            second = hub.open(("a",))
        else:
            second = hub.open(("a",))
            first.close()

        await second.next()
        redis_client.publish("a", "x")
        assert await second.next() == ("a", b"x")

    run(redis_url, body)
