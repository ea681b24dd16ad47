"""The asyncio backend does what the synchronous one does, as coroutines."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
import redis
import redis.asyncio

from alsek.exceptions import BackendAuthenticationError, BackendDataError, BackendUnavailableError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.serialization import BinarySerializer
from alsek.types import Empty
from harness.server import Server

Body = Callable[[AsyncRedisBackend], Awaitable[Any]]


@pytest.fixture
def run(redis_url: str, namespace: str) -> Callable[[Body], Any]:
    """Runs a coroutine function on a backend of its own loop."""

    def run(body: Body, **options: Any) -> Any:
        async def main() -> Any:
            backend = AsyncRedisBackend(redis_url, namespace, **options)
            try:
                return await body(backend)
            finally:
                await backend.close()

        return asyncio.run(main())

    return run


@pytest.fixture
def twin(redis_url: str, namespace: str) -> RedisBackend:
    return RedisBackend(redis_url, namespace)


def test_it_says_what_it_is() -> None:
    assert AsyncRedisBackend.IS_ASYNC
    assert AsyncRedisBackend.SUPPORTS_PUBSUB
    assert AsyncRedisBackend("redis://nowhere.invalid", "mine").keys.namespace == "mine"


@pytest.mark.parametrize("value", [None, 0, False, "", [], {"a": [1, 2.5, "ü"]}, 10**30])
def test_a_value_comes_back_as_it_was(run: Any, twin: RedisBackend, value: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> Any:
        await backend.set("name", value)
        return await backend.get("name")

    assert run(body) == value
    assert twin.get("name") == value


def test_a_missing_value_is_a_key_error_by_default_here(run: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        with pytest.raises(KeyError):
            await backend.get("missing")
        for empty in (Empty, Empty()):
            with pytest.raises(KeyError):
                await backend.get("missing", default=empty)
        assert await backend.get("missing", default=None) is None
        assert await backend.get("missing", 7) == 7

    run(body)


def test_exists_is_a_bool(run: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        assert await backend.exists("name") is False
        await backend.set("name", 1)
        assert await backend.exists("name") is True

    run(body)


def test_nx_refuses_to_overwrite(run: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        await backend.set("name", 1, nx=True)
        with pytest.raises(KeyError):
            await backend.set("name", 2, nx=True)
        assert await backend.get("name") == 1

    run(body)


def test_a_ttl_is_in_ms_and_no_ttl_keeps_what_is_there(run: Any, redis_client: redis.Redis, namespace: str) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        await backend.set("name", 1, ttl=60_000)
        await backend.set("name", 2)
        assert 50_000 < redis_client.pttl(f"{namespace}:name") <= 60_000
        for ttl in (0, -1, 1.5, True):
            with pytest.raises(ValueError):
                await backend.set("name", 3, ttl=ttl)  # type: ignore[arg-type]
        assert await backend.get("name") == 2

    run(body)


def test_deleting_what_is_not_there_is_a_key_error_unless_it_is_ok(run: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        await backend.set("name", 1)
        await backend.delete("name")
        with pytest.raises(KeyError):
            await backend.delete("name")
        await backend.delete("name", missing_ok=True)

    run(body)


def test_sorted_ids_come_lowest_first_and_can_be_taken_out(run: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        assert await backend.priority_get("ids") is None
        for unique_id, priority in (("b", 2), ("a", 1), ("c", 3)):
            await backend.priority_add("ids", unique_id, priority)
        assert await backend.priority_get("ids") == "a"
        assert [unique_id async for unique_id in backend.priority_iter("ids")] == ["a", "b", "c"]
        await backend.priority_remove("ids", "a")
        assert await backend.priority_get("ids") == "b"

    run(body)


def test_scan_count_and_clear_see_this_namespace_only(run: Any, redis_client: redis.Redis, namespace: str) -> None:
    neighbours = [f"{namespace}x:a", f"{{{namespace}x:0}}:m:1", "plain"]
    for name in neighbours:
        redis_client.set(name, "1")

    async def body(backend: AsyncRedisBackend) -> None:
        for name in ("a:1", "a:2", "b:1"):
            await backend.set(name, 1)
        redis_client.set(f"{{{namespace}:0}}:m:1", "1")
        assert {name async for name in backend.scan("a:*")} == {"a:1", "a:2"}
        assert await backend.count("a:*") == 2
        assert await backend.count() == 4
        assert await backend.clear_namespace() == 4
        assert await backend.count() == 0
        assert await backend.clear_namespace(raise_on_error=False) == 0

    run(body)
    assert sorted(key.decode() for key in redis_client.scan_iter()) == sorted(neighbours)


@pytest.mark.parametrize("value", [0, None, "", {"a": 1}])
def test_what_is_published_is_heard_as_it_was(run: Any, redis_client: redis.Redis, value: Any) -> None:
    async def body(backend: AsyncRedisBackend) -> Any:
        async with aclosing(backend.sub("channel")) as events:
            heard = asyncio.ensure_future(anext(events))
            await subscribed(redis_client, "channel", 1)
            await backend.pub("channel", value)
            return await heard

    event = run(body)

    assert event["type"] == "message"
    assert event["channel"] == "channel"
    assert event["data"] == value


def test_a_quiet_channel_outlasts_the_clients_time_limit(
    redis_url: str, namespace: str, redis_client: redis.Redis
) -> None:
    async def main() -> Any:
        client = redis.asyncio.Redis.from_url(redis_url, socket_timeout=0.1)
        backend = AsyncRedisBackend(client, namespace)
        async with aclosing(backend.sub("channel")) as events:
            heard = asyncio.ensure_future(anext(events))
            await subscribed(redis_client, "channel", 1)
            await asyncio.sleep(0.4)
            await subscribed(redis_client, "channel", 1)
            await backend.pub("channel", "at last")
            event = await heard
        await backend.close()
        return event["data"]

    assert asyncio.run(main()) == "at last"


def test_a_lost_listener_subscribes_again(run: Any, redis_client: redis.Redis) -> None:
    async def body(backend: AsyncRedisBackend) -> Any:
        async with aclosing(backend.sub("channel")) as events:
            heard = asyncio.ensure_future(anext(events))
            await subscribed(redis_client, "channel", 1)
            redis_client.client_kill_filter(_type="pubsub")
            await subscribed(redis_client, "channel", 0)
            await subscribed(redis_client, "channel", 1)
            await backend.pub("channel", 1)
            return (await heard)["data"]

    assert run(body) == 1


def test_a_listener_that_stops_leaves_no_subscription(run: Any, redis_client: redis.Redis) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        async with aclosing(backend.sub("channel")) as events:
            waiting = asyncio.ensure_future(anext(events))
            await subscribed(redis_client, "channel", 1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await subscribed(redis_client, "channel", 0)

    run(body)


@pytest.mark.parametrize("decode_responses", [True, False])
def test_a_client_may_decode_or_not(redis_url: str, namespace: str, decode_responses: bool) -> None:
    async def main() -> None:
        client = redis.asyncio.Redis.from_url(redis_url, decode_responses=decode_responses)
        backend = AsyncRedisBackend(client, namespace)
        assert backend.conn is client
        await backend.set("name", {"a": "ü"})
        await backend.priority_add("ids", "ü", 1)
        assert await backend.get("name") == {"a": "ü"}
        assert await backend.priority_get("ids") == "ü"
        assert {name async for name in backend.scan()} == {"name", "ids"}
        await backend.close()

    asyncio.run(main())


@pytest.mark.parametrize("conn", [7, b"redis://localhost", redis.Redis(), "http://localhost", object()])
def test_what_is_no_connection_is_refused(conn: Any) -> None:
    with pytest.raises(ValueError):
        AsyncRedisBackend(conn)


@pytest.mark.parametrize("copy", ["encode", "settings", "pickle"])
def test_a_connected_backend_travels(run: Any, twin: RedisBackend, copy: str) -> None:
    twin.set("name", "value")

    async def body(backend: AsyncRedisBackend) -> Any:
        assert await backend.exists("name")
        made = {
            "encode": lambda: AsyncRedisBackend.decode(backend.encode()),
            "settings": lambda: AsyncRedisBackend.from_settings(backend.settings),
            "pickle": lambda: pickle.loads(pickle.dumps(backend)),
        }[copy]()
        assert type(made) is AsyncRedisBackend
        assert made.namespace == backend.namespace
        assert made.partitions == 4
        try:
            return await made.get("name")
        finally:
            await made.close()

    assert run(body, partitions=4) == "value"


def test_a_description_keeps_the_serializer(run: Any) -> None:
    with pytest.warns(RuntimeWarning) if not BinarySerializer._warned else _nothing():
        serializer = BinarySerializer()

    async def body(backend: AsyncRedisBackend) -> Any:
        return AsyncRedisBackend.decode(backend.encode()).serializer

    assert isinstance(run(body, serializer=serializer), BinarySerializer)


def test_a_redis_that_is_not_there_is_a_backend_error(run: Any) -> None:
    async def main() -> None:
        with pytest.raises(BackendUnavailableError):
            await AsyncRedisBackend("redis://127.0.0.1:1/0").get("name")

    asyncio.run(main())


def test_errors_have_the_classes_of_the_synchronous_twin(run: Any, redis_client: redis.Redis, namespace: str) -> None:
    redis_client.rpush(f"{namespace}:list", "1")

    async def body(backend: AsyncRedisBackend) -> None:
        with pytest.raises(BackendDataError):
            await backend.get("list")

    run(body)
    with Server(password="secret") as locked:

        async def main() -> None:
            backend = AsyncRedisBackend(f"redis://:wrong@127.0.0.1:{locked.port}/0")
            with pytest.raises(BackendAuthenticationError):
                await backend.get("name")
            await backend.close()

        asyncio.run(main())


def test_both_backends_share_names_and_keys(run: Any, twin: RedisBackend) -> None:
    async def body(backend: AsyncRedisBackend) -> None:
        assert backend.full_name("a") == twin.full_name("a")
        assert backend.short_name(backend.full_name("a")) == "a"
        assert backend.in_namespace(backend.full_name("a"))
        assert backend.keys.record("x") == twin.keys.record("x")

    run(body)


async def subscribed(client: redis.Redis, channel: str, count: int) -> None:
    async with asyncio.timeout(10):
        while client.pubsub_numsub(channel)[0][1] != count:
            await asyncio.sleep(0.005)


class _nothing:  # noqa: N801 - reads like a function
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
