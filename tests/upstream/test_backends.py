"""§8: backends of ours and of one's own, serializers, lazy clients."""

from __future__ import annotations

import asyncio
import datetime
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis

from alsek import Broker, Message, StatusTracker
from alsek.core.status.types import TaskStatus
from alsek.storage.backends.abstract import AsyncBackend, Backend, BaseBackend
from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.serialization import BinarySerializer, JsonSerializer, Serializer
from alsek.tools import ResultPool
from harness.eventually import eventually

if TYPE_CHECKING:
    from types import ModuleType

# -- a backend of one's own ------------------------------------------------------------------------------------------


def test_eight_methods_make_a_backend(stage: ModuleType) -> None:
    own = stage.OwnBackend("upstream-eight")
    own.set("a", 1)
    own.set("b", 2)

    assert (own.namespace, own.IS_ASYNC, own.SUPPORTS_PUBSUB) == ("upstream-eight", False, False)
    assert (own.count(), own.count("a*"), own.clear_namespace(), own.count()) == (2, 1, 2, 0)


def test_an_incomplete_backend_cannot_be_made() -> None:
    class Half(Backend):
        def exists(self, name: str) -> bool:
            return False

    with pytest.raises(TypeError):
        Half()  # type: ignore[abstract]


def test_a_backend_of_ones_own_keeps_statuses(stage: ModuleType) -> None:
    tracker, message = stage.own_tracker, Message("add")
    tracker.set(message, TaskStatus.RUNNING, details=[1])

    assert not tracker.enable_pubsub
    assert (tracker.get(message).status, tracker.get(message).details) == (TaskStatus.RUNNING, [1])
    assert tracker.wait_for(message, TaskStatus.RUNNING) is TaskStatus.RUNNING
    tracker.delete(message, check=False)
    assert not tracker.exists(message)


def test_a_backend_without_pubsub_cannot_be_made_to_publish(stage: ModuleType) -> None:
    with pytest.raises(AssertionError):
        StatusTracker(stage.own_backend, enable_pubsub=True)


def test_a_backend_of_ones_own_keeps_results(stage: ModuleType) -> None:
    store, message = stage.own_store, Message("add")
    store.set(message, {"ä": [1, None]})

    assert store.exists(message)
    with pytest.raises(KeyError):
        store.set(message, 2)
    assert store.get(message, keep=True) == {"ä": [1, None]}
    assert store.get(message, timeout=1_000, with_metadata=True)["result"] == {"ä": [1, None]}
    with pytest.raises(KeyError):
        store.get(message)
    with pytest.raises(TimeoutError):
        store.get(message, timeout=20)


def test_descendants_are_found_in_a_backend_of_ones_own(stage: ModuleType) -> None:
    first = Message("fire")
    second = Message("fire", progenitor_uuid=first.uuid)
    for n, message in enumerate((first, second)):
        stage.own_store.set(message, n)

    assert sorted(stage.own_store.get(first, keep=True, descendants=True)) == [0, 1]
    assert stage.own_store.delete(first) == 2
    assert not stage.own_store.exists(first, descendants=True)


def test_a_worker_keeps_statuses_and_results_in_a_backend_of_ones_own(worked: ModuleType) -> None:
    child = worked.kept_elsewhere.generate((2,), submit=False)
    message = worked.kept_elsewhere.generate((1,), callback=child)

    [(_, results)] = ResultPool(worked.own_store).istream(message, wait=50, descendants=True)

    assert results == [[None, 1], [[None, 1], 2]]
    assert worked.own_tracker.wait_for(child, TaskStatus.SUCCEEDED) is TaskStatus.SUCCEEDED


# -- names -----------------------------------------------------------------------------------------------------------


def test_names_get_their_namespace_once() -> None:
    own = RedisBackend(namespace="shop")

    assert own.full_name("a") == own.full_name("shop:a") == "shop:a"
    assert own.short_name("shop:a") == own.short_name("a") == "a"
    assert (own.in_namespace("shop:a"), own.in_namespace("a")) == (True, False)


# -- Redis -----------------------------------------------------------------------------------------------------------


def test_flags_tell_the_kinds_apart() -> None:
    assert issubclass(RedisBackend, Backend)
    assert issubclass(AsyncRedisBackend, AsyncBackend)
    assert issubclass(Backend, BaseBackend)
    assert (RedisBackend.IS_ASYNC, AsyncRedisBackend.IS_ASYNC) == (False, True)
    assert RedisBackend.SUPPORTS_PUBSUB
    assert AsyncRedisBackend.SUPPORTS_PUBSUB


def test_the_default_namespace_is_upstreams() -> None:
    assert RedisBackend().namespace == "alsek"


@pytest.mark.parametrize("decode", [True, False])
def test_a_connection_is_an_address_a_client_or_a_lazy_client(decode: bool, redis_url: str, namespace: str) -> None:
    client = redis.Redis.from_url(redis_url, decode_responses=decode)
    backends = [RedisBackend(conn, namespace) for conn in (redis_url, client, LazyClient(lambda: client))]
    backends[0].set("a", "ä")

    assert [backend.get("a") for backend in backends] == ["ä"] * 3
    assert backends[1].conn is backends[2].conn is client
    for backend in backends:
        backend.close()


def test_anything_else_is_no_connection() -> None:
    with pytest.raises(ValueError):
        RedisBackend(7)  # type: ignore[arg-type]


def test_values_are_set_got_and_deleted(backend: RedisBackend) -> None:
    backend.set("a", {"n": (1, 2)})

    assert backend.exists("a")
    assert backend.get("a") == {"n": [1, 2]}
    with pytest.raises(KeyError):
        backend.set("a", 1, nx=True)
    backend.delete("a")
    assert (backend.get("a"), backend.get("a", default=5)) == (None, 5)
    with pytest.raises(KeyError):
        backend.delete("a")
    backend.delete("a", missing_ok=True)


def test_setting_again_without_a_ttl_keeps_the_expiry(backend: RedisBackend) -> None:
    backend.set("a", 1, ttl=30)
    backend.set("a", 2)

    assert backend.get("a") == 2
    eventually(lambda: not backend.exists("a"), what="it is gone")


def test_priorities_are_sorted(backend: RedisBackend) -> None:
    backend.priority_add("k", "late", 5)
    backend.priority_add("k", "soon", 1)

    assert (backend.priority_get("k"), list(backend.priority_iter("k"))) == ("soon", ["soon", "late"])
    backend.priority_remove("k", "soon")
    assert backend.priority_get("k") == "late"


def test_names_are_found_by_a_glob_and_cleared(backend: RedisBackend) -> None:
    for name in ("a:1", "a:2", "b:1"):
        backend.set(name, 1)

    assert sorted(backend.scan("a:*")) == ["a:1", "a:2"]
    assert (backend.count(), backend.clear_namespace(), backend.count()) == (3, 3, 0)


def test_what_is_published_is_heard(backend: RedisBackend, redis_client: redis.Redis) -> None:
    heard = iter(backend.sub("news"))
    got: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: got.append(next(heard)))
    thread.start()
    eventually(lambda: redis_client.pubsub_numsub("news")[0][1] == 1, what="somebody listens")
    backend.pub("news", {"n": 1})
    thread.join(10)

    assert (got[0]["type"], got[0]["data"]) == ("message", {"n": 1})


def test_a_backend_is_rebuilt_from_what_it_encodes(backend: RedisBackend) -> None:
    backend.set("a", 1)

    rebuilt = RedisBackend.from_settings(backend.settings)

    assert isinstance(backend.encode(), bytes)
    assert (rebuilt.namespace, rebuilt.get("a")) == (backend.namespace, 1)
    rebuilt.close()


def test_the_async_twin_does_the_same(redis_url: str, namespace: str) -> None:
    async def use() -> None:
        backend = AsyncRedisBackend(redis_url, namespace)
        await backend.set("a", [1])
        assert await backend.exists("a") is True
        assert await backend.get("a") == [1]
        await backend.delete("a")
        with pytest.raises(KeyError):
            await backend.get("a")
        assert await backend.get("a", default=None) is None
        await backend.priority_add("k", "id", 1)
        assert await backend.priority_get("k") == "id"
        assert [name async for name in backend.scan("k*")] == ["k"]
        assert await backend.clear_namespace() == 1
        await backend.close()

    asyncio.run(use())


# -- lazy clients ----------------------------------------------------------------------------------------------------


def test_a_lazy_client_calls_its_function() -> None:
    assert LazyClient(lambda: 7).get() == 7


def test_nothing_is_connected_before_the_first_command(redis_url: str) -> None:
    calls: list[int] = []

    def make() -> redis.Redis:
        calls.append(1)
        return redis.Redis.from_url(redis_url)

    backend = RedisBackend(LazyClient(make))
    broker = Broker(backend)
    repr(broker)
    assert calls == []

    broker.submit(Message("add"))
    backend.exists("a")

    assert calls == [1]
    backend.close()


# -- serializers -----------------------------------------------------------------------------------------------------


def test_the_json_serializer_goes_there_and_back() -> None:
    assert JsonSerializer.reverse(JsonSerializer.forward({"a": (1, None, True, "ä")})) == {"a": [1, None, True, "ä"]}
    assert JsonSerializer.reverse(None) is None
    with pytest.raises(TypeError):
        JsonSerializer.forward(datetime.datetime(2025, 1, 1))  # noqa: DTZ001 - any


@pytest.mark.filterwarnings("ignore:BinarySerializer")
def test_the_binary_serializer_holds_almost_anything(redis_url: str, namespace: str) -> None:
    backend = RedisBackend(redis_url, namespace, serializer=BinarySerializer())
    value = (datetime.date(2025, 1, 1), {1, 2}, lambda x: x + 1)
    backend.set("a", value)

    day, numbers, function = backend.get("a")

    assert (day, numbers, function(1)) == (value[0], value[1], 2)
    assert BinarySerializer.reverse(None) is None
    backend.close()


def test_a_serializer_of_ones_own_is_used_for_everything(redis_url: str, namespace: str) -> None:
    class Mine(Serializer):
        @staticmethod
        def forward(obj: Any) -> Any:
            return "mine" + JsonSerializer.forward(obj)

        @staticmethod
        def reverse(obj: Any) -> Any:
            return None if obj is None else JsonSerializer.reverse(obj.removeprefix("mine"))

    backend = RedisBackend(redis_url, namespace, serializer=Mine())
    broker, message = Broker(backend), Message("add", args=([1],), metadata={"k": 1})
    broker.submit(message)

    assert broker.sync_from_backend(message).data == message.data
    backend.close()
