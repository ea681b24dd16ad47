"""Results: stored by an ack or by hand, fetched once, and waited for by push."""

from __future__ import annotations

import pickle
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.core.settlement import Succeeded
from alsek.defaults import DEFAULT_RESULT_RETENTION_MS
from alsek.exceptions import BackendUnavailableError, SerializationError, TaskFailedError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.backends.redis.verbs import StoredResult
from alsek.storage.result import ResultStore
from alsek.types import ExceptionDetails
from harness.eventually import eventually
from harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from harness.server import Server


@pytest.fixture(params=[1, 16], ids=["one partition", "many partitions"])
def backend(request: pytest.FixtureRequest, redis_url: str, namespace: str) -> Iterator[RedisBackend]:
    backend = RedisBackend(redis_url, namespace=namespace, partitions=request.param)
    yield backend
    backend.close()


@pytest.fixture
def store(backend: RedisBackend) -> ResultStore:
    return ResultStore(backend)


@pytest.fixture
def broker(backend: RedisBackend) -> Broker:
    return Broker(backend)


def family() -> tuple[Message, Message, Message]:
    """A message with two nested callbacks, and these as a worker submits them."""
    last = Message("last")
    middle = Message("middle", callback_message_data=last.data)
    first = Message("first", callback_message_data=middle.data)
    for child in (middle, last):
        child.progenitor_uuid = first.uuid
    return first, middle, last


def in_background(function: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def wait_until_waited_for(client: redis.Redis, count: int = 1) -> None:
    eventually(lambda: len(client.pubsub_channels()) >= count)


# One result.


@pytest.mark.parametrize("result", [None, 0, "", [1, {"a": None}], "ü:1"])
def test_fetching_a_result_deletes_it(store: ResultStore, result: Any) -> None:
    message = Message("task")
    store.set(message, result)

    assert store.exists(message)
    assert store.get(message) == result
    assert not store.exists(message)
    with pytest.raises(KeyError, match=message.uuid):
        store.get(message)


def test_a_result_can_be_kept(store: ResultStore) -> None:
    message = Message("task")
    store.set(message, 1)

    assert [store.get(message, keep=True) for _ in range(2)] == [1, 1]


def test_metadata_tells_whose_and_when(store: ResultStore, redis_client: redis.Redis) -> None:
    message = Message("task")
    before = redis_client.time()[0] * 1000
    store.set(message, "r")

    found = store.get(message, with_metadata=True)

    assert found == {"result": "r", "timestamp": found["timestamp"], "uuid": message.uuid}
    assert before <= found["timestamp"] <= before + 10_000


def test_a_second_result_is_refused_unless_it_may_replace_the_first(store: ResultStore) -> None:
    message = Message("task")
    store.set(message, 1)

    with pytest.raises(KeyError, match=message.uuid):
        store.set(message, 2)
    store.set(message, 3, nx=False)

    assert store.get(message) == 3


@pytest.mark.parametrize(("ttl", "kept"), [(5_000, 5_000), (None, DEFAULT_RESULT_RETENTION_MS)])
def test_a_result_is_kept_for_its_ttl(
    store: ResultStore, redis_client: redis.Redis, ttl: int | None, kept: int
) -> None:
    message = Message("task", result_ttl=ttl)

    store.set(message, 1)

    assert kept - 2_000 < redis_client.pttl(store.backend.keys.result(message.uuid)) <= kept


def test_what_cannot_be_serialised_is_refused_and_nothing_stored(store: ResultStore) -> None:
    message = Message("task")

    with pytest.raises(SerializationError):
        store.set(message, object())
    assert not store.exists(message)


def test_deleting_tells_how_many_and_misses_what_is_not_there(store: ResultStore) -> None:
    message = Message("task")
    store.set(message, 1)

    assert store.delete(message) == 1
    assert store.delete(message, missing_ok=True) == 0
    with pytest.raises(KeyError, match=message.uuid):
        store.delete(message)


def test_of_many_readers_exactly_one_gets_the_result(store: ResultStore) -> None:
    message = Message("task")
    start = threading.Barrier(8)

    def fetch() -> Any:
        start.wait(10)
        return store.get(message)

    store.set(message, "once")
    readers = [in_background(fetch) for _ in range(8)]
    for thread, _ in readers:
        thread.join(10)

    outcomes = [outcome for _, [outcome] in readers]
    assert outcomes.count("once") == 1
    assert sum(isinstance(outcome, KeyError) for outcome in outcomes) == 7


def test_only_a_redis_backend_keeps_results() -> None:
    with pytest.raises(NotImplementedError, match="AsyncRedisBackend"):
        ResultStore(AsyncRedisBackend())  # type: ignore[arg-type]


def test_a_store_travels_with_its_backend(store: ResultStore) -> None:
    message = Message("task")
    store.set(message, 1)

    assert pickle.loads(pickle.dumps(store)).get(message) == 1


# Results of an ack.


def test_an_ack_stores_what_the_store_reads(store: ResultStore, broker: Broker, backend: RedisBackend) -> None:
    message = Message("task", result_ttl=60_000)
    broker.submit(message)

    wire = store.wire(message, {"a": 1})
    assert isinstance(wire, StoredResult)
    broker.settle([Succeeded(message, wire)])

    assert store.is_engine_native(backend)
    assert store.get(message) == {"a": 1}


def test_the_engine_leaves_a_store_of_ones_own_or_of_another_place_alone(backend: RedisBackend, redis_url: str) -> None:
    class Mirrored(ResultStore):
        def set(self, message: Message, result: Any, nx: bool = True) -> None:
            super().set(message, result, nx)

    assert not Mirrored(backend).is_engine_native(backend)
    assert not ResultStore(backend).is_engine_native(RedisBackend(redis_url, namespace="other"))


# Waiting.


def test_a_wait_ends_when_the_result_comes(store: ResultStore, redis_client: redis.Redis) -> None:
    message = Message("task")
    thread, outcome = in_background(lambda: store.get(message, timeout=10_000))
    wait_until_waited_for(redis_client)

    store.set(message, "r")

    thread.join(5)
    assert outcome == ["r"]
    assert not store.exists(message)
    eventually(lambda: not redis_client.pubsub_channels())


def test_an_ack_ends_the_wait(store: ResultStore, broker: Broker, redis_client: redis.Redis) -> None:
    message = Message("task")
    broker.submit(message)
    thread, outcome = in_background(lambda: store.get(message, timeout=10_000, keep=True))
    wait_until_waited_for(redis_client)

    broker.settle([Succeeded(message, store.wire(message, "r"))])

    thread.join(5)
    assert outcome == ["r"]
    assert store.exists(message)


def test_a_result_that_is_there_already_is_not_waited_for(store: ResultStore) -> None:
    message = Message("task")
    store.set(message, 1)
    began = time.monotonic()

    assert store.get(message, timeout=10_000) == 1
    assert time.monotonic() - began < 5


def test_a_wait_in_vain_is_a_timeout(store: ResultStore) -> None:
    with pytest.raises(TimeoutError):
        store.get(Message("task"), timeout=30)


def test_a_failure_ends_the_wait_with_its_details(
    store: ResultStore, broker: Broker, redis_client: redis.Redis
) -> None:
    message = Message("task")
    broker.submit(message)
    thread, outcome = in_background(lambda: store.get(message, timeout=10_000))
    wait_until_waited_for(redis_client)

    message.exception_details = ExceptionDetails("ZeroDivisionError", "division by zero", "trace")
    broker.fail(message)

    thread.join(5)
    [error] = outcome
    assert isinstance(error, TaskFailedError)
    assert error.uuid == message.uuid
    assert error.exception_details == message.exception_details
    assert "division by zero" in str(error)


def test_a_wait_for_a_message_that_failed_before_ends_at_once(store: ResultStore, backend: RedisBackend) -> None:
    for broker in (Broker(backend), Broker(backend, dlq_ttl=None)):
        message = Message("task")
        broker.submit(message)
        broker.fail(message)

        with pytest.raises(TaskFailedError):
            store.get(message, timeout=10_000)
        with pytest.raises(KeyError):
            store.get(message)


def test_a_revocation_ends_the_wait(store: ResultStore, broker: Broker, redis_client: redis.Redis) -> None:
    message = Message("task")
    broker.submit(message)
    thread, outcome = in_background(lambda: store.get(message, timeout=10_000))
    wait_until_waited_for(redis_client)

    broker.revoke(message)

    thread.join(5)
    [error] = outcome
    assert isinstance(error, TaskFailedError)
    assert error.exception_details is not None
    assert error.exception_details.name == "alsek.exceptions.RevokedError"


def test_a_retry_does_not_end_the_wait(store: ResultStore, broker: Broker, redis_client: redis.Redis) -> None:
    message = Message("task")
    broker.submit(message)
    thread, outcome = in_background(lambda: store.get(message, timeout=10_000))
    wait_until_waited_for(redis_client)

    broker.retry(message, delay_ms=60_000)
    store.set(message, "at last")

    thread.join(5)
    assert outcome == ["at last"]


def test_a_wait_works_in_any_thread_and_leaves_signal_handlers_alone(store: ResultStore) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads_before = threading.active_count()

    thread, outcome = in_background(lambda: store.get(Message("task"), timeout=20))
    thread.join(5)

    assert isinstance(outcome[0], TimeoutError)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert threading.active_count() == threads_before


def test_a_wait_survives_a_restart_of_redis(own_server: Server, namespace: str) -> None:
    store = ResultStore(RedisBackend(own_server.url, namespace=namespace))
    broker = Broker(store.backend)
    message = Message("task")
    broker.submit(message)
    thread, outcome = in_background(lambda: store.get(message, timeout=30_000))
    with own_server.client() as client:
        wait_until_waited_for(client)

    own_server.restart()
    store.set(message, "r")

    thread.join(20)
    assert outcome == ["r"]


def test_a_wait_that_lost_its_connection_finds_what_came_meanwhile(server: Server, namespace: str) -> None:
    with Proxy(server.port) as proxy:
        waiting = ResultStore(RedisBackend(proxy.url, namespace=namespace))
        working = ResultStore(RedisBackend(server.url, namespace=namespace))
        message = Message("task")
        thread, outcome = in_background(lambda: waiting.get(message, timeout=30_000))
        with server.client() as client:
            wait_until_waited_for(client)
            proxy.refuse()
            proxy.reset_all()
            eventually(lambda: not client.pubsub_channels())

        working.set(message, "r")
        proxy.accept()

        thread.join(20)
        assert outcome == ["r"]


def test_a_fetch_that_was_not_carried_out_is_repeated(server: Server, namespace: str) -> None:
    with Proxy(server.port) as proxy:
        store = ResultStore(RedisBackend(proxy.url, namespace=namespace))
        message = Message("task")
        store.set(message, "r")

        proxy.recount()
        proxy.cut_before(1)

        assert store.get(message) == "r"


def test_a_fetch_whose_answer_was_lost_says_that_nobody_knows(server: Server, namespace: str) -> None:
    with Proxy(server.port) as proxy:
        store = ResultStore(RedisBackend(proxy.url, namespace=namespace))
        message = Message("task")
        store.set(message, "r")
        store.exists(message)
        with pytest.raises(KeyError):
            store.get(Message("other"))

        proxy.recount()
        proxy.drop_reply(1)

        with pytest.raises(BackendUnavailableError) as caught:
            store.get(message)
        assert caught.value.ambiguous


# Descendants.


def test_descendants_come_together_ordered_by_time(store: ResultStore, redis_client: redis.Redis) -> None:
    first, middle, last = family()
    for message in (last, first, middle):
        store.set(message, message.task_name)
        then = redis_client.time()
        eventually(lambda then=then: redis_client.time() > (then[0], then[1] + 2_000))

    found = store.get(first, descendants=True, with_metadata=True)

    assert [one["result"] for one in found] == ["last", "first", "middle"]
    assert {one["uuid"] for one in found} == {first.uuid, middle.uuid, last.uuid}
    assert store.backend.count() == 0


def test_named_descendants_have_to_be_complete(store: ResultStore) -> None:
    first, middle, last = family()
    store.set(first, 1)
    store.set(middle, 2)

    assert not store.exists(first, descendants=True)
    with pytest.raises(KeyError):
        store.get(first, descendants=True)
    with pytest.raises(KeyError):
        store.delete(first)
    assert store.exists(first)

    store.set(last, 3)
    assert store.exists(first, descendants=True)
    assert store.get(first, descendants=True, keep=True) == [1, 2, 3]
    assert store.delete(first) == 3


def test_a_wait_for_descendants_ends_with_the_last_of_them(store: ResultStore, redis_client: redis.Redis) -> None:
    first, middle, last = family()
    thread, outcome = in_background(lambda: store.get(first, timeout=10_000, descendants=True))
    wait_until_waited_for(redis_client, 3)

    for message in (first, middle, last):
        store.set(message, message.task_name)

    thread.join(5)
    assert outcome == [["first", "middle", "last"]] or sorted(outcome[0]) == ["first", "last", "middle"]


def test_a_failed_descendant_ends_the_wait_for_all(
    store: ResultStore, broker: Broker, redis_client: redis.Redis
) -> None:
    first, middle, _ = family()
    store.set(first, 1)
    broker.submit(middle)
    thread, outcome = in_background(lambda: store.get(first, timeout=10_000, descendants=True))
    wait_until_waited_for(redis_client, 3)

    broker.fail(middle)

    thread.join(5)
    assert isinstance(outcome[0], TaskFailedError)
    assert outcome[0].uuid == middle.uuid


def test_unnamed_descendants_are_whatever_is_there(store: ResultStore) -> None:
    first = Message("trigger")
    later = [Message("trigger", progenitor_uuid=first.uuid) for _ in range(3)]
    assert not store.exists(first, descendants=True)
    for message in (first, *later[:2]):
        store.set(message, message.uuid)

    assert sorted(store.get(first, descendants=True)) == sorted([first.uuid, later[0].uuid, later[1].uuid])
    store.set(later[2], "third")
    assert store.get(later[2], descendants=True, keep=True) == ["third"]
    assert store.get(first, descendants=True) == ["third"]
    with pytest.raises(KeyError):
        store.get(first, descendants=True)


def test_a_wait_for_unnamed_descendants_ends_with_the_next_of_them(
    store: ResultStore, redis_client: redis.Redis
) -> None:
    first = Message("trigger")
    later = Message("trigger", progenitor_uuid=first.uuid)
    thread, outcome = in_background(lambda: store.get(first, timeout=10_000, descendants=True))
    wait_until_waited_for(redis_client, 2)

    store.set(later, "fired")

    thread.join(5)
    assert outcome == [["fired"]]


def test_an_ack_puts_a_descendant_into_the_index(store: ResultStore, broker: Broker) -> None:
    first = Message("first")
    children = [Message("child", progenitor_uuid=first.uuid) for _ in range(5)]
    for child in children:
        broker.submit(child)

    broker.settle([Succeeded(child, store.wire(child, child.uuid)) for child in children])

    assert sorted(store.get(first, descendants=True)) == sorted(child.uuid for child in children)
