"""The twins for asyncio see what the others see, wait without polling, and share one connection."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message, task
from alsek.core.async_broker import AsyncBroker
from alsek.exceptions import (
    BackendAuthenticationError,
    BackendUnavailableError,
    MessageAlreadyExistsError,
    MessageDoesNotExistsError,
    TaskFailedError,
)
from alsek.storage.async_result import AsyncResultStore
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.result import ResultStore
from alsek.tools.iteration import AsyncResultPool

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from harness.server import Server


@pytest.fixture(params=[1, 3])
def backend(redis_url: str, namespace: str, request: pytest.FixtureRequest) -> Iterator[RedisBackend]:
    """A backend of the test alone, on one partition and on several."""
    backend = RedisBackend(redis_url, namespace=namespace, partitions=request.param)
    yield backend
    backend.close()


@pytest.fixture
def results(backend: RedisBackend) -> ResultStore:
    """The store that tasks use."""
    return ResultStore(backend)


@pytest.fixture
def twin(backend: RedisBackend, redis_url: str) -> AsyncResultStore:
    """Its twin, made from an asynchronous backend of its own."""
    return AsyncResultStore(AsyncRedisBackend(redis_url, namespace=backend.namespace, partitions=backend.partitions))


def messages(count: int) -> list[Message]:
    return [Message("any", queue="q") for _ in range(count)]


def later(results: ResultStore, made: list[Message], pause: float = 0.05) -> Coroutine[Any, Any, None]:
    """Store results in a thread, after a while."""

    def store() -> None:
        for n, message in enumerate(made):
            results.set(message, n)

    async def run() -> None:
        await asyncio.sleep(pause)
        await asyncio.to_thread(store)

    return run()


def test_a_result_is_fetched_waited_for_and_deleted(results: ResultStore, twin: AsyncResultStore) -> None:
    there, coming, never = messages(3)
    results.set(there, {"a": [1]})

    async def main() -> None:
        assert await twin.exists(there)
        assert await twin.get(there, keep=True) == {"a": [1]}
        told = await twin.get(there, with_metadata=True)
        assert (told["result"], told["uuid"]) == ({"a": [1]}, there.uuid)
        with pytest.raises(KeyError, match="has no result"):
            await twin.get(there)
        value, _ = await asyncio.gather(twin.get(coming, timeout=20_000), later(results, [coming]))
        assert value == 0
        with pytest.raises(TimeoutError, match="within 30 ms"):
            await twin.get(never, timeout=30)
        await twin.set(never, "set here")
        with pytest.raises(KeyError, match="has a result already"):
            await twin.set(never, "again")
        assert await twin.delete(never) == 1
        with pytest.raises(KeyError, match="are missing"):
            await twin.delete(never)
        assert await twin.delete(never, missing_ok=True) == 0

    asyncio.run(main())
    assert not results.exists(never)


def test_a_chain_gives_its_results_together(results: ResultStore, twin: AsyncResultStore) -> None:
    parent, child = messages(2)
    child.update(progenitor_uuid=parent.uuid, previous_message_uuid=parent.uuid)
    named = parent.clone().update(callback_message_data=child.data)

    async def main() -> None:
        waiting = asyncio.create_task(twin.get(named, timeout=20_000, descendants=True))
        await later(results, [parent, child])
        assert await waiting == [0, 1]
        # Not named: whatever is there, the next of them ends the wait.
        unnamed = asyncio.create_task(twin.get(parent, timeout=20_000, descendants=True))
        await later(results, [child])
        assert await unnamed == [0]
        results.set(child, "x")
        assert await twin.exists(parent, descendants=True)
        assert await twin.delete(parent, descendants=True, missing_ok=True) == 1

    asyncio.run(main())


def test_a_message_that_failed_ends_the_wait(backend: RedisBackend, twin: AsyncResultStore) -> None:
    broker = Broker(backend)
    (lost,) = messages(1)
    broker.submit(lost)

    async def main() -> None:
        waiting = asyncio.create_task(twin.get(lost, timeout=20_000))
        await asyncio.sleep(0.05)
        assert (await AsyncBroker.of(broker).revoke(lost)).accepted
        with pytest.raises(TaskFailedError, match="Task Revoked"):
            await waiting

    asyncio.run(main())


def test_many_wait_on_one_connection_and_nobody_polls(
    results: ResultStore, twin: AsyncResultStore, server: Server
) -> None:
    made = messages(300)
    client = server.client()

    async def main() -> None:
        waiting = [asyncio.create_task(twin.get(message, timeout=30_000)) for message in made]
        while client.pubsub_numpat() or len(client.pubsub_channels("*")) < len(made):  # noqa: ASYNC110 - Redis says so
            await asyncio.sleep(0.01)
        assert len(client.client_list(_type="pubsub")) == 1
        # Each looks once when it is sure to be told; then nobody asks while nothing happens.
        deadline, asked = time.monotonic() + 20, 100
        while asked > 5 and time.monotonic() < deadline:
            before = client.info("stats")["total_commands_processed"]
            await asyncio.sleep(0.5)
            asked = client.info("stats")["total_commands_processed"] - before
        assert asked <= 5
        await later(results, made)
        assert await asyncio.gather(*waiting) == list(range(300))

    asyncio.run(main())
    client.close()


def test_a_lost_connection_is_replaced_and_nothing_missed(
    results: ResultStore, twin: AsyncResultStore, server: Server
) -> None:
    first, second = messages(2)

    async def main() -> None:
        with server.client() as client:
            waiting = [asyncio.create_task(twin.get(message, timeout=30_000)) for message in (first, second)]
            while not client.client_list(_type="pubsub"):  # noqa: ASYNC110 - Redis says so
                await asyncio.sleep(0.01)
            results.set(first, 1)
            client.client_kill_filter(_type="pubsub")
            assert await waiting[0] == 1
            await later(results, [second])
            assert await waiting[1] == 0

    asyncio.run(main())


def test_a_redis_that_is_away_or_refuses_is_told(redis_url: str, server: Server) -> None:
    (message,) = messages(1)
    away = AsyncResultStore("redis://127.0.0.1:1/0")
    refused = AsyncResultStore(redis_url.replace("redis://", "redis://nobody:wrong@", 1))

    with pytest.raises(BackendUnavailableError):
        asyncio.run(away.get(message, timeout=200))
    with pytest.raises(BackendAuthenticationError):
        asyncio.run(refused.get(message, timeout=20_000))


def test_a_cancelled_wait_leaves_the_result_and_no_subscription(
    results: ResultStore, twin: AsyncResultStore, server: Server
) -> None:
    (message,) = messages(1)

    async def main() -> None:
        with server.client() as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await twin.get(message, timeout=30_000)
            results.set(message, 7)
            while client.pubsub_channels("*"):  # noqa: ASYNC110 - Redis says so
                await asyncio.sleep(0.01)
            assert await twin.get(message) == 7

    asyncio.run(main())


@pytest.mark.parametrize("how", ["istream", "stream"])
def test_iteration(results: ResultStore, twin: AsyncResultStore, backend: RedisBackend, how: str) -> None:
    made = messages(20)
    lost = made[7]
    broker = Broker(backend)
    broker.submit(lost)
    broker.revoke(lost)
    pool = AsyncResultPool(twin)

    async def main() -> None:
        storing = asyncio.create_task(later(results, [message for message in made if message is not lost]))
        seen: list[tuple[Message, Any]] = []
        async with aclosing(getattr(pool, how)(*made, return_errors=True)) as stream:
            async for message, result in stream:
                seen.append((message, result))
        await storing
        assert {message.uuid for message, _ in seen} == {message.uuid for message in made}
        assert [isinstance(result, TaskFailedError) for message, result in seen if message is lost] == [True]
        if how == "stream":
            assert [message for message, _ in seen] == made

    async def raising() -> None:
        async with aclosing(getattr(pool, how)(lost)) as stream:
            async for _ in stream:
                pass

    asyncio.run(main())
    with pytest.raises(TaskFailedError):
        asyncio.run(raising())


def test_a_broker_of_an_event_loop(redis_url: str, namespace: str) -> None:
    broker = AsyncBroker(AsyncRedisBackend(redis_url, namespace=namespace), max_deliveries=2)
    blocking = Broker(RedisBackend(redis_url, namespace=namespace))
    (message,) = messages(1)

    async def main() -> None:
        await broker.submit(message)
        with pytest.raises(MessageAlreadyExistsError):
            await broker.submit(message)
        assert await broker.exists(message)
        found = await broker.find(message.uuid)
        assert found is not None
        assert found.data == message.data
        assert (await broker.sync_from_backend(message)).uuid == message.uuid
        assert (await broker.revoke(message)).accepted
        assert not await broker.exists(message)
        assert await broker.in_dlq(message)
        await broker.replay(message)
        with pytest.raises(MessageDoesNotExistsError, match="not among the dead letters"):
            await broker.replay(message)
        assert blocking.exists(message)
        await broker.remove(message)
        assert await broker.find(message.uuid) is None
        with pytest.raises(KeyError, match="neither in its queue"):
            await broker.sync_from_backend(message)
        many = messages(120)
        assert await broker.submit_many(many) == 120
        with pytest.raises(MessageAlreadyExistsError) as refused:
            await broker.submit_many([*messages(3), many[5]])
        assert refused.value.uuids == [many[5].uuid]

    asyncio.run(main())
    assert broker.broker.max_deliveries == 2
    assert "AsyncBroker(" in repr(broker)


def test_a_task_takes_an_async_broker(redis_url: str, namespace: str) -> None:
    broker = AsyncBroker(redis_url)
    broker.broker.backend = RedisBackend(redis_url, namespace=namespace)

    @task(broker, queue="q")
    def add(a: int, b: int) -> int:
        return a + b

    message = asyncio.run(add.adelay(1, 2))

    assert add.broker is broker.broker
    assert broker.broker.exists(message)


def test_other_backends_are_refused_with_one_line(redis_url: str) -> None:
    class Own(RedisBackend.__mro__[2]):  # type: ignore[misc]  # a backend of one's own
        def exists(self, name: str) -> bool:
            return False

        set = get = delete = priority_add = priority_get = priority_remove = scan = exists

    with pytest.raises(NotImplementedError, match="not in a Own"):
        AsyncResultStore(Own())
    with pytest.raises(TypeError, match="Own is no backend"):
        AsyncBroker(Own())


def test_waiting_costs_no_time_of_the_loop(results: ResultStore, twin: AsyncResultStore) -> None:
    (message,) = messages(1)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)

    async def main() -> None:
        watching = asyncio.create_task(watch())
        with pytest.raises(TimeoutError):
            await twin.get(message, timeout=1_500)
        watching.cancel()

    asyncio.run(main())

    # A call that blocked would have blocked for all of it.
    assert longest < 1.0
