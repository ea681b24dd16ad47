"""Many results at once, by push."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.core.settlement import Succeeded
from alsek.exceptions import TaskFailedError, ValidationError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from alsek.tools import ResultPool
from harness.eventually import eventually
from harness.proxy import Proxy

if TYPE_CHECKING:
    import redis

    from harness.server import Server


@pytest.fixture
def store(redis_url: str, namespace: str) -> ResultStore:
    return ResultStore(RedisBackend(redis_url, namespace=namespace, partitions=3))


@pytest.fixture
def pool(store: ResultStore) -> ResultPool:
    return ResultPool(store)


def messages(count: int) -> list[Message]:
    return [Message("task") for _ in range(count)]


def test_results_that_are_there_come_in_one_go(store: ResultStore, pool: ResultPool) -> None:
    batch = messages(1_200)
    for i, message in enumerate(batch):
        store.set(message, i)

    assert {message.uuid: result for message, result in pool.istream(*batch)} == {
        message.uuid: i for i, message in enumerate(batch)
    }
    assert store.backend.count() == 0


def test_results_come_in_the_order_in_which_they_are_ready(store: ResultStore, pool: ResultPool) -> None:
    batch = messages(5)
    stream = pool.istream(*batch, wait=60_000)
    order = [3, 0, 4, 1, 2]
    began = time.monotonic()

    got = []
    for i in order:
        store.set(batch[i], i)
        message, result = next(stream)
        got.append(result)
        assert message is batch[i]

    assert got == order
    assert list(stream) == []
    assert time.monotonic() - began < 30


def test_a_stream_keeps_the_order_of_the_messages(store: ResultStore, pool: ResultPool) -> None:
    batch = messages(4)
    for i in (2, 3, 0):
        store.set(batch[i], i)
    stream = pool.stream(*batch)

    assert next(stream) == (batch[0], 0)
    late = threading.Timer(0.1, store.set, (batch[1], 1))
    late.start()

    assert list(stream) == [(batch[1], 1), (batch[2], 2), (batch[3], 3)]
    late.join()


def test_a_slow_reader_misses_nothing(store: ResultStore, pool: ResultPool) -> None:
    batch = messages(60)
    stream = pool.istream(*batch, wait=60_000)
    store.set(batch[0], 0)
    got = [next(stream)[1]]

    for i, message in enumerate(batch[1:], 1):
        store.set(message, i)
    got += [result for _, result in stream]

    assert sorted(got) == list(range(60))


@pytest.mark.parametrize("method", ["istream", "stream"])
def test_the_same_message_twice_is_refused_at_the_first_step(pool: ResultPool, method: str) -> None:
    message = Message("task")
    stream = getattr(pool, method)(message, message)

    with pytest.raises(ValidationError, match="twice"):
        next(stream)


@pytest.mark.parametrize("method", ["istream", "stream"])
def test_results_can_be_kept_and_shown_with_metadata(store: ResultStore, pool: ResultPool, method: str) -> None:
    message = Message("task")
    store.set(message, 1)

    [(_, shown)] = getattr(pool, method)(message, keep=True, with_metadata=True)

    assert shown["result"] == 1
    assert store.exists(message)


@pytest.mark.parametrize("method", ["istream", "stream"])
def test_a_failed_message_ends_the_stream_and_leaves_the_other_results(
    store: ResultStore, pool: ResultPool, method: str
) -> None:
    broker = Broker(store.backend)
    fails, works = messages(2)
    broker.submit(fails)
    stream = getattr(pool, method)(fails, works)
    failing = threading.Timer(0.1, broker.fail, (fails,))
    failing.start()

    with pytest.raises(TaskFailedError) as caught:
        next(stream)

    assert caught.value.uuid == fails.uuid
    store.set(works, 1)
    assert list(pool.istream(works)) == [(works, 1)]
    failing.join()


@pytest.mark.parametrize("method", ["istream", "stream"])
def test_failures_can_be_had_in_the_place_of_results(store: ResultStore, pool: ResultPool, method: str) -> None:
    broker = Broker(store.backend)
    fails, works = messages(2)
    broker.submit(fails)
    broker.fail(fails)
    store.set(works, 1)

    got = dict(getattr(pool, method)(fails, works, return_errors=True))

    assert isinstance(got[fails], TaskFailedError)
    assert got[works] == 1


def test_descendants_come_as_lists(store: ResultStore, pool: ResultPool) -> None:
    child = Message("child")
    parent = Message("parent", callback_message_data=child.data)
    child.progenitor_uuid = parent.uuid
    stream = pool.istream(parent, descendants=True, wait=60_000)
    store.set(parent, 1)
    late = threading.Timer(0.1, store.set, (child, 2))
    late.start()

    assert list(stream) == [(parent, [1, 2])]
    late.join()


def test_acks_feed_the_stream(store: ResultStore, pool: ResultPool) -> None:
    broker = Broker(store.backend)
    batch = messages(20)
    broker.submit_many(batch)
    acking = threading.Timer(
        0.1, broker.settle, ([Succeeded(message, store.wire(message, message.uuid)) for message in batch],)
    )
    acking.start()

    assert all(message.uuid == result for message, result in pool.istream(*batch, wait=60_000))
    acking.join()


def test_a_stream_works_in_any_thread_and_leaves_signal_handlers_alone(store: ResultStore, pool: ResultPool) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    message = Message("task")
    store.set(message, 1)
    got: list[object] = []

    thread = threading.Thread(target=lambda: got.extend(pool.istream(message)))
    thread.start()
    thread.join(10)

    assert got == [(message, 1)]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_stream_that_is_dropped_leaves_no_subscription(pool: ResultPool, redis_client: redis.Redis) -> None:
    batch = messages(3)
    pool.result_store.set(batch[0], 1)
    stream = pool.istream(*batch)
    next(stream)
    assert len(redis_client.pubsub_channels()) == 3

    stream.close()

    eventually(lambda: not redis_client.pubsub_channels())


def test_a_stream_survives_a_lost_connection(server: Server, namespace: str) -> None:
    with Proxy(server.port) as proxy:
        pool = ResultPool(ResultStore(RedisBackend(proxy.url, namespace=namespace)))
        working = ResultStore(RedisBackend(server.url, namespace=namespace))
        batch = messages(3)
        stream = pool.istream(*batch, wait=60_000)
        working.set(batch[0], 0)
        assert next(stream) == (batch[0], 0)

        proxy.reset_all()
        working.set(batch[2], 2)
        working.set(batch[1], 1)

        assert sorted(result for _, result in stream) == [1, 2]


def test_no_messages_are_no_results(pool: ResultPool) -> None:
    assert list(pool.istream()) == []
    assert list(pool.stream()) == []
