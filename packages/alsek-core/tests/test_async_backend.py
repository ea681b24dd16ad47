"""The asyncio twin of the backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis
import redis.asyncio

from alsek.exceptions import BackendDataError, BackendUnavailableError
from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.types import Empty
from harness.proxy import Proxy
from harness.server import Server, free_port

Body = Callable[[AsyncRedisBackend], Awaitable[Any]]


@pytest.fixture
def run(redis_url: str, namespace: str) -> Callable[[Body], Any]:
    """Run a coroutine with a backend of its own."""

    def run(body: Body, conn: Any = redis_url) -> Any:
        async def main() -> Any:
            backend = AsyncRedisBackend(conn, namespace=namespace)
            try:
                return await asyncio.wait_for(body(backend), 20)
            finally:
                await backend.close()

        return asyncio.run(main())

    return run


@pytest.mark.parametrize("value", [0, "", None, False, {"a": [1, None]}])
def test_a_value_comes_back_as_it_was(run: Callable[[Body], Any], value: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        assert await backend.exists("name") is False
        await backend.set("name", value)
        assert await backend.get("name") == value
        assert await backend.exists("name") is True

    run(body)


def test_a_missing_value_is_a_key_error_by_default(run: Callable[[Body], Any]) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        assert await backend.get("name", default=None) is None
        for call in (backend.get("name"), backend.get("name", default=Empty), backend.delete("name")):
            with pytest.raises(KeyError, match="name"):
                await call
        await backend.delete("name", missing_ok=True)

    run(body)


def test_nx_and_ttl_are_as_in_the_synchronous_one(run: Callable[[Body], Any], redis_client: redis.Redis) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        await backend.set("name", 1, nx=True, ttl=60_000)
        with pytest.raises(KeyError):
            await backend.set("name", 2, nx=True)
        await backend.set("name", 3)
        assert 0 < redis_client.pttl(backend.full_name("name")) <= 60_000
        with pytest.raises(ValueError, match="ttl"):
            await backend.set("name", 1, ttl=0)

    run(body)


def test_sorted_ids_come_lowest_first(run: Callable[[Body], Any]) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        await backend.priority_add("ids", "b", 2)
        await backend.priority_add("ids", "a", 1)
        await backend.priority_add("ids", "c", 0)
        await backend.priority_remove("ids", "c")
        assert await backend.priority_get("ids") == "a"
        assert await backend.priority_get("nothing") is None
        assert [unique_id async for unique_id in backend.priority_iter("ids")] == ["a", "b"]

    run(body)


def test_scan_and_clear_cover_plain_and_tagged_names(run: Callable[[Body], Any], redis_client: redis.Redis) -> None:
    redis_client.set("unrelated", 1)

    async def body(backend: AsyncRedisBackend) -> None:
        tagged = backend.keys.status("q", "t", "u")
        await backend.set("status:x", 1)
        await backend.set(tagged, 2)
        assert {name async for name in backend.scan("status:*")} == {"status:x", tagged}
        assert await backend.count() == 2
        assert await backend.clear_namespace() == 2
        assert await backend.count() == 0

    run(body)
    assert redis_client.exists("unrelated")


@pytest.mark.parametrize("value", [0, "", None, {"a": 1}])
def test_what_is_published_is_heard_as_it_was(run: Callable[[Body], Any], value: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        events = backend.sub("channel")
        heard = asyncio.ensure_future(anext(events))
        while not (await backend.conn.pubsub_numsub("channel"))[0][1]:  # noqa: ASYNC110 - it happens in the server
            await asyncio.sleep(0.005)

        await backend.pub("channel", value)

        event = await heard
        assert (event["type"], event["channel"], event["data"]) == ("message", "channel", value)
        await events.aclose()
        while (await backend.conn.pubsub_numsub("channel"))[0][1]:  # noqa: ASYNC110 - it happens in the server
            await asyncio.sleep(0.005)

    run(body)


def test_a_quiet_subscription_outlives_the_timeout_of_its_client(run: Callable[..., Any], redis_url: str) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        async with backend.listening("channel") as events:
            assert (await anext(events)).channel is None
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.3)
            await backend.pub("channel", 1)
            assert (await waiting).payload == b"1"

    run(body, redis.asyncio.Redis.from_url(redis_url, socket_timeout=0.1))


def test_all_listeners_of_a_loop_share_one_connection(run: Callable[[Body], Any], redis_client: redis.Redis) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        async with AsyncExitStack() as stack:
            for n in range(20):
                events = await stack.enter_async_context(backend.listening(f"channel-{n}"))
                assert (await anext(events)).channel is None
            assert len(redis_client.client_list(_type="pubsub")) == 1

    run(body)


def test_after_a_lost_connection_the_listener_is_told_to_look_again(server: Server, namespace: str) -> None:
    async def main(proxy: Proxy) -> None:
        backend = AsyncRedisBackend(proxy.url, namespace=namespace)
        async with backend.listening("channel") as events:
            assert (await anext(events)).channel is None
            proxy.reset_all()
            assert (await asyncio.wait_for(anext(events), 10)).channel is None
            await backend.pub("channel", 1)
            assert (await asyncio.wait_for(anext(events), 10)).payload == b"1"
        await backend.close()

    with Proxy(server.port) as proxy:
        asyncio.run(main(proxy))


def test_errors_are_ours(run: Callable[[Body], Any], namespace: str) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        await backend.priority_add("name", "id", 1)
        with pytest.raises(BackendDataError):
            await backend.get("name")
        nowhere = AsyncRedisBackend(f"redis://127.0.0.1:{free_port()}", namespace=namespace)
        with pytest.raises(BackendUnavailableError):
            await nowhere.get("name")

    run(body)


@pytest.mark.parametrize("conn", [1, redis.Redis(), "http://localhost"])
def test_what_is_no_connection_is_refused(conn: Any) -> None:
    with pytest.raises(ValueError):
        AsyncRedisBackend(conn)


def test_it_travels_and_takes_lazy_clients(run: Callable[..., Any], redis_url: str, namespace: str) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        await backend.set("name", 1)
        packed = backend.encode()
        assert json.loads(packed)["settings"]["namespace"] == namespace
        twin = AsyncRedisBackend.decode(packed)
        assert await twin.get("name") == 1
        await twin.close()

    run(body, LazyClient(lambda: redis.asyncio.Redis.from_url(redis_url)))


def test_both_twins_see_the_same_values(run: Callable[[Body], Any], redis_url: str, namespace: str) -> None:
    RedisBackend(redis_url, namespace=namespace).set("name", {"a": 1})

    async def body(backend: AsyncRedisBackend) -> None:
        assert await backend.get("name") == {"a": 1}

    run(body)
