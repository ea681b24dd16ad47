"""`agenerate`: the same as `generate`, from a coroutine."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.task import Task, task
from alsek.exceptions import (
    BackendDataError,
    BackendUnavailableError,
    MessageAlreadyExistsError,
    SerializationError,
    ValidationError,
    WrongArgumentsError,
)
from alsek.storage.backends.redis import RedisBackend
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from alsek.core.message import Message
    from harness.proxy import Proxy
    from harness.server import Server


@pytest.fixture
def backend(redis_url: str, namespace: str) -> Iterator[RedisBackend]:
    backend = RedisBackend(redis_url, namespace)
    yield backend
    backend.close()


@pytest.fixture
def broker(backend: RedisBackend) -> Broker:
    return Broker(backend)


@pytest.fixture
def add(broker: Broker) -> Task:
    @task(broker, queue="sums")
    def add(a: int, b: int) -> int:
        return a + b

    return add


def test_a_message_is_stored_as_generate_stores_it(broker: Broker, add: Task) -> None:
    options: dict[str, Any] = {"args": (1,), "kwargs": {"b": 2}, "priority": 5, "metadata": {"k": 1}, "queue": "other"}

    made = asyncio.run(add.agenerate(**options, uuid="one", timeout_override=1_000, ttl=60_000))

    found = broker.find("one")
    assert found is not None
    assert made.data == found.data
    expected = add.generate(**options, uuid="two", timeout_override=1_000, ttl=60_000).data
    times = ("uuid", "created_at", "updated_at")
    assert {k: v for k, v in made.data.items() if k not in times} == {
        k: v for k, v in expected.items() if k not in times
    }
    record = broker.redis.record
    assert set(record("one")) == set(record("two"))


def test_many_at_a_time_are_all_stored_in_order_of_their_start(broker: Broker, add: Task, server: Server) -> None:
    async def main() -> list[Message]:
        return await asyncio.gather(*[add.agenerate((i, 0)) for i in range(1_000)])

    messages = asyncio.run(main())

    key = broker.keys.ready("sums", 0)
    stored = [uuid.decode() for uuid in server.client().zrange(key, 0, -1)]
    assert stored == [message.uuid for message in messages]
    assert [message.args for message in messages] == [(i, 0) for i in range(1_000)]


def test_messages_of_different_queues_and_partitions_find_their_place(redis_url: str, namespace: str) -> None:
    broker = Broker(RedisBackend(redis_url, namespace, partitions=4))
    work = task(broker)(lambda: None)

    async def main() -> list[Message]:
        return await asyncio.gather(*[work.agenerate(queue=f"q{i % 3}") for i in range(120)])

    messages = asyncio.run(main())

    assert all(broker.exists(message) for message in messages)


def test_a_uuid_that_is_alive_is_refused_and_its_neighbours_are_not(broker: Broker, add: Task) -> None:
    add.generate((1, 2), uuid="taken")

    async def main() -> list[Any]:
        return await asyncio.gather(
            *[add.agenerate((1, 2), uuid=uuid) for uuid in ("a", "taken", "b")], return_exceptions=True
        )

    first, refused, second = asyncio.run(main())

    assert isinstance(refused, MessageAlreadyExistsError)
    assert broker.exists(first)
    assert broker.exists(second)


def test_a_deferred_or_unsubmitted_message_stays_here(broker: Broker, add: Task) -> None:
    deferred = asyncio.run(add.defer().agenerate((1, 2)))
    kept = asyncio.run(add.agenerate((1, 2), submit=False))

    assert not broker.exists(deferred)
    assert not broker.exists(kept)
    assert not add.deferred


def test_mistakes_are_those_of_generate(broker: Broker, add: Task, redis_client: redis.Redis) -> None:
    for options, error in (
        ({"args": ({1}, 2)}, SerializationError),
        ({"args": (1,)}, WrongArgumentsError),
        ({"priority": -1}, ValidationError),
        ({"result_ttl": 5}, ValidationError),
        ({"ttl": 0}, ValidationError),
    ):
        with pytest.raises(error):
            asyncio.run(add.agenerate(**{"args": (1, 2)} | options))

    assert redis_client.keys() == []


def test_hooks_run_after_the_submit_and_a_tracker_of_ones_own_before_it(broker: Broker) -> None:
    told: list[Any] = []

    class Told(Task):
        def on_submit(self, message: Message) -> None:
            told.append(("submitted", broker.exists(message)))

    class Tracker:
        ttl = None

        def is_engine_native(self, _backend: Any) -> bool:
            return False

        def set(self, message: Message, status: Any) -> None:
            told.append((status.name, broker.exists(message), threading.current_thread() is threading.main_thread()))

    work = Told(lambda: None, broker, name="work", status_tracker=Tracker())  # type: ignore[arg-type]

    asyncio.run(work.agenerate())

    assert told == [("SUBMITTED", False, False), ("submitted", True)]


def test_a_lost_reply_stores_a_message_once(server: Server, proxy: Proxy, namespace: str) -> None:
    broker = Broker(RedisBackend(f"redis://127.0.0.1:{proxy.port}/0", namespace))
    work = task(broker)(lambda: None)
    client = server.client()

    async def main() -> list[Message]:
        await work.agenerate()
        proxy.blackhole("to_client")
        waiting = [asyncio.create_task(work.agenerate()) for _ in range(60)]
        await asyncio.to_thread(eventually, lambda: client.zcard(broker.keys.ready("alsek_queue", 0)) == 61)
        proxy.reset_all()
        proxy.heal()
        return await asyncio.gather(*waiting)

    assert len({message.uuid for message in asyncio.run(main())}) == 60
    assert client.zcard(broker.keys.ready("alsek_queue", 0)) == 61


def test_a_redis_that_is_away_is_told_to_all(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    from alsek.core import async_submit

    monkeypatch.setattr(async_submit, "PATIENCE_S", 0.2)
    proxy.refuse()
    work = task(Broker(RedisBackend(f"redis://127.0.0.1:{proxy.port}/0")))(lambda: None)

    async def main() -> list[Any]:
        return await asyncio.gather(*[work.agenerate() for _ in range(40)], return_exceptions=True)

    failures = asyncio.run(main())

    assert all(isinstance(failure, BackendUnavailableError) and not failure.ambiguous for failure in failures)
    assert len({id(failure) for failure in failures}) == 40


def test_a_spoilt_queue_is_a_data_error(broker: Broker, add: Task, redis_client: redis.Redis) -> None:
    redis_client.set(broker.keys.ready("sums", 0), "text")

    async def main() -> list[Any]:
        return await asyncio.gather(*[add.agenerate((1, 2)) for _ in range(3)], return_exceptions=True)

    assert all(isinstance(failure, BackendDataError) for failure in asyncio.run(main()))


def test_cancelled_before_its_turn_ends_nothing_is_stored(broker: Broker, add: Task, redis_client: redis.Redis) -> None:
    async def main() -> Message:
        await add.agenerate((0, 0))
        cancelled = asyncio.create_task(add.agenerate((1, 2)))
        kept = asyncio.create_task(add.agenerate((3, 4)))
        asyncio.get_running_loop().call_soon(cancelled.cancel)
        await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        return await kept

    kept = asyncio.run(main())

    assert broker.exists(kept)
    assert redis_client.zcard(broker.keys.ready("sums", 0)) == 2


def test_threads_with_loops_of_their_own_share_a_task(broker: Broker, add: Task, redis_client: redis.Redis) -> None:
    def produce() -> None:
        async def main() -> None:
            await asyncio.gather(*[add.agenerate((1, 2)) for _ in range(200)])

        asyncio.run(main())

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert redis_client.zcard(broker.keys.ready("sums", 0)) == 800
