"""Statuses: how they are kept and told, and that nobody who listens is left waiting."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.core.status.abstract import Timeline
from alsek.core.status.asyncio import AsyncStatusTracker
from alsek.core.status.integrity import StatusTrackerIntegrityScanner
from alsek.core.status.standard import StatusTracker
from alsek.core.status.types import TERMINAL_TASK_STATUSES, StatusUpdate, TaskStatus
from alsek.exceptions import SerializationError, ValidationError
from alsek.storage.backends.abstract import Backend
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.types import Empty
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import redis

    from harness.proxy import Proxy
    from harness.server import Server

SUBMITTED, RUNNING, RETRYING = TaskStatus.SUBMITTED, TaskStatus.RUNNING, TaskStatus.RETRYING
FAILED, SUCCEEDED, UNKNOWN = TaskStatus.FAILED, TaskStatus.SUCCEEDED, TaskStatus.UNKNOWN
ALIVE = [SUBMITTED, RUNNING, RETRYING]


class DictBackend(Backend):
    """As little as a backend of a user's own has."""

    def __init__(self) -> None:
        super().__init__("own")
        self.values: dict[str, Any] = {}
        self.ttls: dict[str, int | None] = {}

    def exists(self, name: str) -> bool:
        return name in self.values

    def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        self.values[name], self.ttls[name] = value, ttl

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self.values and default is Empty:
            raise KeyError(name)
        return self.values.get(name, default)

    def delete(self, name: str, missing_ok: bool = False) -> None:
        if self.values.pop(name, None) is None and not missing_ok:
            raise KeyError(name)

    def priority_add(self, key: str, unique_id: str, priority: int | float) -> None:
        raise NotImplementedError

    def priority_get(self, key: str) -> str | None:
        raise NotImplementedError

    def priority_remove(self, key: str, unique_id: str) -> None:
        raise NotImplementedError

    def scan(self, pattern: str | None = None) -> Iterable[str]:
        return list(self.values)


class Mirror(StatusTracker):
    """Overrides the documented point."""

    seen: list[TaskStatus]

    def set(self, message: Message, status: TaskStatus, details: Any | None = None) -> None:
        self.seen.append(status)
        super().set(message, status, details)


@pytest.fixture
def backend(redis_url: str, namespace: str) -> RedisBackend:
    return RedisBackend(redis_url, namespace=namespace)


@pytest.fixture
def tracker(backend: RedisBackend) -> StatusTracker:
    return StatusTracker(backend)


@pytest.fixture
def message() -> Message:
    return Message("add", queue="sums")


def key_of(backend: RedisBackend, message: Message) -> str:
    return backend.keys.status(message.queue, message.task_name, message.uuid)


def pubsub_clients(client: redis.Redis) -> int:
    return sum(1 for one in client.client_list() if int(one["sub"]) > 0)


def listening(client: redis.Redis, count: int = 1) -> Callable[[], bool]:
    return lambda: sum(number for _, number in client.pubsub_numsub(*client.pubsub_channels())) >= count


# Keeping.


@pytest.mark.parametrize("status", list(TaskStatus))
def test_what_was_set_is_got(tracker: StatusTracker, message: Message, status: TaskStatus) -> None:
    tracker.set(message, status, details={"done": [1, 2]})

    assert tracker.get(message) == StatusUpdate(status, {"done": [1, 2]})
    assert tracker.exists(message)


def test_an_unknown_message_has_no_status(tracker: StatusTracker, message: Message) -> None:
    assert not tracker.exists(message)
    with pytest.raises(KeyError):
        tracker.get(message)


def test_the_names_are_upstreams(tracker: StatusTracker, message: Message) -> None:
    assert tracker.get_storage_name(message) == f"status:sums:add:{message.uuid}"
    assert tracker.get_pubsub_name(message) == f"channel:sums:add:{message.uuid}"


def test_a_name_needs_all_its_parts(tracker: StatusTracker, message: Message) -> None:
    message.queue = ""

    with pytest.raises(ValidationError):
        tracker.get_storage_name(message)
    with pytest.raises(ValidationError):
        tracker.get_pubsub_name(message)


def test_the_stored_text_is_the_one_that_the_verbs_write(
    backend: RedisBackend, tracker: StatusTracker, redis_client: redis.Redis, message: Message
) -> None:
    pubsub = redis_client.pubsub()
    pubsub.subscribe(tracker.get_pubsub_name(message))
    pubsub.get_message(timeout=5)

    tracker.set(message, RUNNING)

    text = backend.serializer.forward({"status": "RUNNING", "details": None}).encode()
    told = pubsub.get_message(timeout=5)
    pubsub.close()
    assert backend.links.command("GET", key_of(backend, message)) == text
    assert told is not None
    assert told["data"] in (text, text.decode())


@pytest.mark.parametrize("status", ALIVE)
def test_the_status_of_a_living_message_does_not_expire(
    backend: RedisBackend, tracker: StatusTracker, message: Message, status: TaskStatus
) -> None:
    tracker.set(message, FAILED)

    tracker.set(message, status)

    assert backend.links.command("PTTL", key_of(backend, message)) == -1


@pytest.mark.parametrize("status", [*TERMINAL_TASK_STATUSES, UNKNOWN])
def test_the_last_status_expires(backend: RedisBackend, message: Message, status: TaskStatus) -> None:
    StatusTracker(backend, ttl=60_000).set(message, status)

    assert 50_000 < backend.links.command("PTTL", key_of(backend, message)) <= 60_000


def test_without_a_ttl_even_the_last_status_stays(backend: RedisBackend, message: Message) -> None:
    StatusTracker(backend, ttl=None).set(message, SUCCEEDED)

    assert backend.links.command("PTTL", key_of(backend, message)) == -1


def test_details_that_cannot_be_stored_change_nothing(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, RUNNING)

    with pytest.raises(SerializationError):
        tracker.set(message, RUNNING, details=object())

    assert tracker.get(message) == StatusUpdate(RUNNING)


def test_only_a_terminal_status_is_deleted(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, RUNNING)
    with pytest.raises(ValidationError):
        tracker.delete(message)

    tracker.set(message, SUCCEEDED)
    tracker.delete(message)

    assert not tracker.exists(message)


def test_without_a_check_any_status_is_deleted(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, RUNNING)

    tracker.delete(message, check=False)

    assert not tracker.exists(message)


@pytest.mark.parametrize("check", [True, False])
def test_a_missing_status_cannot_be_deleted(tracker: StatusTracker, message: Message, check: bool) -> None:
    with pytest.raises(KeyError):
        tracker.delete(message, check=check)


def test_an_asynchronous_backend_is_refused(redis_url: str) -> None:
    with pytest.raises(AssertionError):
        StatusTracker(AsyncRedisBackend(redis_url))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        AsyncStatusTracker(RedisBackend(redis_url))  # type: ignore[arg-type]


# Waiting.


def test_a_status_that_is_there_ends_the_wait_at_once(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, RUNNING)

    assert tracker.wait_for(message, RUNNING, timeout=0) is RUNNING
    assert tracker.wait_for(message, [SUBMITTED, RUNNING]) is RUNNING


def test_a_wait_sees_a_status_that_lasts_but_a_moment(
    tracker: StatusTracker, message: Message, redis_client: redis.Redis
) -> None:
    tracker.set(message, SUBMITTED)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(tracker.wait_for, message, RUNNING, timeout=10.0)
        eventually(listening(redis_client))

        tracker.set(message, RUNNING)
        tracker.set(message, RETRYING)

        assert waiting.result(10) is RUNNING


def test_a_wait_that_is_too_long_is_an_error(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, RUNNING)

    with pytest.raises(TimeoutError, match="RUNNING"):
        tracker.wait_for(message, SUCCEEDED, timeout=0.05)


def test_a_wait_that_is_too_long_may_give_what_there_is(tracker: StatusTracker, message: Message) -> None:
    assert tracker.wait_for(message, SUCCEEDED, timeout=0.05, raise_on_timeout=False) is UNKNOWN
    tracker.set(message, RUNNING)
    assert tracker.wait_for(message, SUCCEEDED, timeout=0.05, raise_on_timeout=False) is RUNNING


def test_a_wait_ends_with_the_message(tracker: StatusTracker, message: Message, redis_client: redis.Redis) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(tracker.wait_for, message, SUCCEEDED, timeout=None, raise_on_timeout=False)
        eventually(listening(redis_client))

        tracker.set(message, FAILED)

        assert waiting.result(10) is FAILED
    with pytest.raises(TimeoutError, match="ended as FAILED"):
        tracker.wait_for(message, SUCCEEDED, timeout=None)


@pytest.mark.parametrize("wanted", ["RUNNING", 2, None, (), [RUNNING, "FAILED"], {RUNNING}])
def test_a_wait_needs_a_status(tracker: StatusTracker, message: Message, wanted: Any) -> None:
    with pytest.raises(ValueError):
        tracker.wait_for(message, wanted)


def test_without_pubsub_a_wait_looks_again_and_again(backend: RedisBackend, message: Message) -> None:
    tracker = StatusTracker(backend, enable_pubsub=False)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(tracker.wait_for, message, RUNNING, timeout=10.0, poll_interval=0.01)

        tracker.set(message, RUNNING)

        assert waiting.result(10) is RUNNING


def test_a_wait_sends_nothing_while_nothing_happens(
    server: Server, tracker: StatusTracker, message: Message, redis_client: redis.Redis
) -> None:
    tracker.set(message, SUBMITTED)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(tracker.wait_for, message, RUNNING, timeout=10.0, poll_interval=0.001)
        eventually(listening(redis_client))
        threading.Event().wait(0.1)
        before = server.commands_processed()

        threading.Event().wait(0.3)

        # The harness asks, too.
        assert server.commands_processed() - before < 10
        tracker.set(message, RUNNING)
        waiting.result(10)


def test_many_waiters_share_one_connection(tracker: StatusTracker, redis_client: redis.Redis) -> None:
    messages = [Message("add") for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(tracker.wait_for, message, SUCCEEDED, timeout=20.0) for message in messages]
        eventually(listening(redis_client, 20))

        connections = pubsub_clients(redis_client)
        for message in reversed(messages):
            tracker.set(message, SUCCEEDED)

        assert connections == 1
        assert [one.result(10) for one in waiting] == [SUCCEEDED] * 20
    eventually(lambda: not redis_client.pubsub_channels(), what="all unsubscribed")


def test_a_forked_child_waits_on_a_connection_of_its_own(
    tracker: StatusTracker, message: Message, redis_client: redis.Redis
) -> None:
    with pytest.raises(TimeoutError):
        tracker.wait_for(message, SUCCEEDED, timeout=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: pytest-timeout has a thread
        child = os.fork()
    if child == 0:
        os._exit(0 if tracker.wait_for(message, SUCCEEDED, timeout=10.0) is SUCCEEDED else 1)
    eventually(listening(redis_client))

    tracker.set(message, SUCCEEDED)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(TimeoutError):
        tracker.wait_for(Message("other"), SUCCEEDED, timeout=0.01)


@pytest.mark.chaos
def test_a_wait_survives_the_loss_of_its_connection(
    proxy: Proxy, tracker: StatusTracker, message: Message, redis_client: redis.Redis, namespace: str
) -> None:
    waiter = StatusTracker(RedisBackend(proxy.url, namespace=namespace))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(waiter.wait_for, message, SUCCEEDED, timeout=20.0)
        eventually(listening(redis_client))

        proxy.refuse()
        proxy.reset_all()
        tracker.set(message, SUCCEEDED)
        proxy.accept()

        assert waiting.result(20) is SUCCEEDED


# Listening.


def test_a_listener_hears_the_present_status_and_all_that_follow(
    tracker: StatusTracker, message: Message, redis_client: redis.Redis
) -> None:
    tracker.set(message, SUBMITTED)
    with ThreadPoolExecutor() as pool:
        heard = pool.submit(lambda: list(tracker.listen_to_updates(message)))
        eventually(listening(redis_client))

        updates = [StatusUpdate(RUNNING), *(StatusUpdate(RUNNING, n) for n in range(50)), StatusUpdate(SUCCEEDED)]
        for status, details in updates:
            tracker.set(message, status, details)

        result = heard.result(10)
    assert result[0] in (StatusUpdate(SUBMITTED), *updates)
    # Whatever came before the first look is not told any more; from there on nothing is missing or twice.
    assert result[-len(result) + 1 :] == updates[-len(result) + 1 :]


def test_a_listener_that_comes_late_hears_the_end(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, FAILED, details="why")

    assert list(tracker.listen_to_updates(message)) == [StatusUpdate(FAILED, "why")]


def test_a_listener_may_stay_after_the_end(tracker: StatusTracker, message: Message, redis_client: redis.Redis) -> None:
    tracker.set(message, FAILED)
    updates = tracker.listen_to_updates(message, auto_exit=False)
    first = next(updates)

    threading.Timer(0.05, tracker.set, (message, SUBMITTED)).start()
    second = next(updates)
    updates.close()  # type: ignore[attr-defined]  # a generator

    assert [first.status, second.status] == [FAILED, SUBMITTED]
    eventually(lambda: not redis_client.pubsub_channels(), what="unsubscribed")


def test_a_listener_ignores_what_others_publish(
    tracker: StatusTracker, message: Message, redis_client: redis.Redis
) -> None:
    with ThreadPoolExecutor() as pool:
        heard = pool.submit(lambda: list(tracker.listen_to_updates(message)))
        eventually(listening(redis_client))

        for strange in (b"", b"\xff", b"null", b"[]", b'{"status": "LOST", "details": 1}'):
            redis_client.publish(tracker.get_pubsub_name(message), strange)
        tracker.set(message, SUCCEEDED)

        assert heard.result(10) == [StatusUpdate(SUCCEEDED)]


def test_without_pubsub_there_is_nothing_to_listen_to(backend: RedisBackend, message: Message) -> None:
    updates = StatusTracker(backend, enable_pubsub=False).listen_to_updates(message)

    with pytest.raises(ValueError):
        next(iter(updates))


def test_an_update_can_be_told_without_being_stored(
    tracker: StatusTracker, message: Message, redis_client: redis.Redis
) -> None:
    with ThreadPoolExecutor() as pool:
        heard = pool.submit(lambda: list(tracker.listen_to_updates(message)))
        eventually(listening(redis_client))

        tracker.publish_update(message, StatusUpdate(SUCCEEDED, 1))

        assert heard.result(10) == [StatusUpdate(SUCCEEDED, 1)]
    assert not tracker.exists(message)


def test_what_was_pushed_before_the_reading_is_not_told_again() -> None:
    a, b, c = (StatusUpdate(RUNNING, n) for n in "abc")
    timeline = Timeline()

    assert timeline.read(b) == [b]
    assert [timeline.push(a), timeline.push(b), timeline.push(c)] == [[], [], []]
    assert timeline.settle() == [c]
    assert timeline.push(c) == [c]


def test_what_was_read_before_it_was_pushed_is_told_once() -> None:
    a, b = (StatusUpdate(RUNNING, n) for n in "ab")
    timeline = Timeline()

    assert timeline.read(a) == [a]
    assert timeline.settle() == []
    assert timeline.push(a) == []
    assert timeline.push(a) == [a]
    assert timeline.push(b) == [b]


def test_a_second_reading_that_finds_nothing_new_is_no_news() -> None:
    a = StatusUpdate(RUNNING)
    timeline = Timeline()
    timeline.read(None)
    timeline.settle()

    assert timeline.push(a) == [a]
    assert timeline.read(a) == []


# Backends and overrides of a user's own.


def test_a_backend_of_ones_own_is_enough_to_keep_statuses(message: Message) -> None:
    backend = DictBackend()
    tracker = StatusTracker(backend, ttl=1_000)

    tracker.set(message, RUNNING)
    tracker.set(message, SUCCEEDED)

    assert not tracker.enable_pubsub
    assert tracker.get(message) == StatusUpdate(SUCCEEDED)
    assert backend.ttls == {f"status:sums:add:{message.uuid}": 1_000}
    assert not tracker.is_engine_native(backend)
    with pytest.raises(TimeoutError):
        tracker.wait_for(Message("add"), RUNNING, timeout=0.05, poll_interval=0.01)


def test_a_backend_without_pubsub_cannot_be_made_to_publish() -> None:
    with pytest.raises(AssertionError):
        StatusTracker(DictBackend(), enable_pubsub=True)


def test_the_engine_writes_the_statuses_of_a_plain_tracker(redis_url: str, namespace: str) -> None:
    backend = RedisBackend(redis_url, namespace=namespace)
    tracker = StatusTracker(backend)

    assert tracker.is_engine_native(backend)
    assert tracker.is_engine_native(RedisBackend(redis_url, namespace=namespace))
    assert not tracker.is_engine_native(RedisBackend(redis_url, namespace=f"{namespace}2"))
    assert not tracker.is_engine_native(RedisBackend(redis_url, namespace=namespace, partitions=2))
    assert not tracker.is_engine_native(RedisBackend("redis://localhost:1/0", namespace=namespace))


def test_what_the_engine_writes_is_what_a_tracker_reads(
    backend: RedisBackend, tracker: StatusTracker, message: Message, redis_client: redis.Redis
) -> None:
    broker = Broker(backend)
    broker.submit(message, kept_status_ms=60_000)
    submitted = tracker.get(message)
    with ThreadPoolExecutor() as pool:
        heard = pool.submit(lambda: list(tracker.listen_to_updates(message)))
        eventually(listening(redis_client))

        broker.retry(message, delay_ms=0)
        broker.fail(message)

        assert heard.result(10)[-1] == StatusUpdate(FAILED)
    assert submitted == StatusUpdate(SUBMITTED)
    assert tracker.get(message) == StatusUpdate(FAILED)
    assert 50_000 < backend.links.command("PTTL", key_of(backend, message)) <= 60_000


def test_a_tracker_travels_with_its_backend(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, RUNNING)
    assert tracker.is_engine_native(tracker.backend)

    there = pickle.loads(pickle.dumps(tracker))

    assert there.get(message) == StatusUpdate(RUNNING)
    assert there.is_engine_native(tracker.backend)


def test_the_engine_leaves_statuses_to_a_tracker_that_overrides_something(backend: RedisBackend) -> None:
    class Louder(StatusTracker):
        def publish_update(self, message: Message, update: StatusUpdate) -> None:
            super().publish_update(message, update)

    patched = StatusTracker(backend)
    patched.set = lambda *_, **__: None  # type: ignore[method-assign]

    assert not Mirror(backend).is_engine_native(backend)
    assert not Louder(backend).is_engine_native(backend)
    assert not patched.is_engine_native(backend)


def test_an_overridden_publication_is_called(backend: RedisBackend, message: Message) -> None:
    told = []

    class Own(StatusTracker):
        def publish_update(self, message: Message, update: StatusUpdate) -> None:
            told.append(update)

    Own(backend).set(message, RUNNING, 5)

    assert told == [StatusUpdate(RUNNING, 5)]


# The asyncio twin.


@pytest.fixture
def async_url(redis_url: str) -> str:
    return redis_url


def test_both_trackers_see_the_same(tracker: StatusTracker, message: Message, async_url: str, namespace: str) -> None:
    async def scenario() -> None:
        backend = AsyncRedisBackend(async_url, namespace=namespace)
        twin = AsyncStatusTracker(backend, ttl=60_000)
        await twin.set(message, RUNNING, details=[1])
        assert tracker.get(message) == await twin.get(message) == StatusUpdate(RUNNING, [1])
        assert await twin.exists(message)
        with pytest.raises(ValidationError):
            await twin.delete(message)
        await twin.set(message, SUCCEEDED)
        assert 50_000 < int(await backend.conn.pttl(key_of(tracker.backend, message))) <= 60_000  # type: ignore[arg-type]
        await twin.delete(message)
        with pytest.raises(KeyError):
            await twin.get(message)
        await backend.close()

    asyncio.run(scenario())


def test_coroutines_wait_for_what_a_thread_sets(
    tracker: StatusTracker, redis_client: redis.Redis, async_url: str, namespace: str
) -> None:
    messages = [Message("add") for _ in range(5)]

    async def scenario() -> None:
        backend = AsyncRedisBackend(async_url, namespace=namespace)
        twin = AsyncStatusTracker(backend)
        waits = [asyncio.create_task(twin.wait_for(message, [RUNNING], timeout=10.0)) for message in messages]
        await asyncio.to_thread(eventually, listening(redis_client, 5))
        for message in messages:
            await asyncio.to_thread(tracker.set, message, RUNNING)
        assert await asyncio.gather(*waits) == [RUNNING] * 5
        with pytest.raises(TimeoutError):
            await twin.wait_for(messages[0], SUCCEEDED, timeout=0.05)
        assert await twin.wait_for(messages[0], SUCCEEDED, timeout=0.05, raise_on_timeout=False) is RUNNING
        with pytest.raises(ValueError):
            await twin.wait_for(messages[0], "RUNNING")  # type: ignore[arg-type]
        await backend.close()

    asyncio.run(scenario())


def test_a_coroutine_listens_to_the_end(
    tracker: StatusTracker, message: Message, redis_client: redis.Redis, async_url: str, namespace: str
) -> None:
    tracker.set(message, SUBMITTED)

    async def scenario() -> list[StatusUpdate]:
        backend = AsyncRedisBackend(async_url, namespace=namespace)
        twin = AsyncStatusTracker(backend)
        heard = []
        async with aclosing(twin.listen_to_updates(message)) as updates:
            async for update in updates:
                heard.append(update)
                if update.status is SUBMITTED:
                    await twin.set(message, RUNNING)
                    await twin.set(message, SUCCEEDED)
        late = [update async for update in twin.listen_to_updates(message)]
        assert late == [StatusUpdate(SUCCEEDED)]
        with pytest.raises(ValueError):
            await anext(AsyncStatusTracker(backend, enable_pubsub=False).listen_to_updates(message))
        await backend.close()
        return heard

    assert asyncio.run(scenario()) == [StatusUpdate(SUBMITTED), StatusUpdate(RUNNING), StatusUpdate(SUCCEEDED)]


# The integrity scan.


@pytest.fixture(params=[1, 4])
def broker(request: pytest.FixtureRequest, redis_url: str, namespace: str) -> Broker:
    return Broker(RedisBackend(redis_url, namespace=namespace, partitions=request.param))


def test_the_scan_gives_up_statuses_whose_message_is_gone(broker: Broker) -> None:
    tracker = StatusTracker(broker.backend, ttl=60_000)
    waiting, gone, ended = ([Message("add") for _ in range(40)] for _ in range(3))
    for message in waiting:
        broker.submit(message)
        tracker.set(message, SUBMITTED)
    for message in gone:
        tracker.set(message, RUNNING, details=1)
    for message in ended:
        tracker.set(message, FAILED)
    scanner = StatusTrackerIntegrityScanner(tracker, broker, trigger=None)

    assert scanner.scan() == 40
    assert scanner.scan() == 0

    assert {tracker.get(message) for message in waiting} == {StatusUpdate(SUBMITTED)}
    assert {tracker.get(message) for message in gone} == {StatusUpdate(UNKNOWN)}
    assert {tracker.get(message) for message in ended} == {StatusUpdate(FAILED)}
    key = key_of(broker.redis, gone[0])
    assert 0 < broker.redis.links.command("PTTL", key) <= 60_000


def test_the_scan_reads_uuids_with_colons(broker: Broker) -> None:
    tracker = StatusTracker(broker.backend)
    waiting, gone = Message("add", uuid="order:1:2"), Message("add", uuid="order:1:3")
    broker.submit(waiting)
    tracker.set(waiting, SUBMITTED)
    tracker.set(gone, SUBMITTED)

    StatusTrackerIntegrityScanner(tracker, broker, trigger=None).scan()

    assert tracker.get(waiting).status is SUBMITTED
    assert tracker.get(gone).status is UNKNOWN


def test_the_scan_leaves_alone_what_changes_meanwhile(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = StatusTracker(broker.backend)
    message = Message("add")
    tracker.set(message, RUNNING)
    scanner = StatusTrackerIntegrityScanner(tracker, broker, trigger=None)
    look = scanner._orphans

    def late(statuses: Any) -> Any:
        orphans = look(statuses)
        tracker.set(message, SUCCEEDED)
        return orphans

    monkeypatch.setattr(scanner, "_orphans", late)

    assert scanner.scan() == 0
    assert tracker.get(message).status is SUCCEEDED


def test_the_scan_tells_a_tracker_that_mirrors(broker: Broker) -> None:
    tracker = Mirror(broker.backend)
    tracker.seen = []
    StatusTracker(broker.backend).set(Message("add"), RUNNING)

    StatusTrackerIntegrityScanner(tracker, broker, trigger=None).scan()

    assert tracker.seen == [UNKNOWN]


def test_a_scanner_runs_only_when_started_and_stops(broker: Broker) -> None:
    class Soon:
        def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
            return now + timedelta(seconds=0.01)

    tracker = StatusTracker(broker.backend)
    message = Message("add")
    tracker.set(message, RUNNING)
    before = threading.active_count()
    scanner = StatusTrackerIntegrityScanner(tracker, broker, trigger=Soon())
    assert threading.active_count() == before

    scanner.start()
    scanner.start()
    assert threading.active_count() == before + 1
    eventually(lambda: tracker.get(message).status is UNKNOWN)
    started = time.monotonic()
    scanner.stop()

    assert threading.active_count() == before
    assert time.monotonic() - started < 2
    assert scanner.scan() == 0


def test_a_trigger_that_is_over_ends_the_thread(broker: Broker) -> None:
    class Never:
        def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
            assert now.tzinfo is UTC
            return None

    scanner = StatusTrackerIntegrityScanner(StatusTracker(broker.backend), broker, trigger=Never())
    before = threading.active_count()

    scanner.start()

    eventually(lambda: threading.active_count() == before)


def test_a_scanner_without_trigger_cannot_be_started(broker: Broker) -> None:
    with pytest.raises(ValueError):
        StatusTrackerIntegrityScanner(StatusTracker(broker.backend), broker, trigger=None).start()


def test_a_scanner_needs_a_synchronous_tracker(broker: Broker, redis_url: str) -> None:
    tracker = AsyncStatusTracker(AsyncRedisBackend(redis_url))

    with pytest.raises(ValueError):
        StatusTrackerIntegrityScanner(tracker, broker)  # type: ignore[arg-type]
