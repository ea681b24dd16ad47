"""Plain values, names and pub/sub on Redis, and how a backend is addressed and travels."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio
from redis.sentinel import Sentinel

from alsek.exceptions import BackendAuthenticationError, BackendDataError, BackendUnavailableError
from alsek.storage.backends.abstract import Backend
from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.link_pool import LinkPool
from alsek.storage.serialization import Serializer
from alsek.types import Empty
from harness.eventually import eventually
from harness.proxy import Proxy
from harness.server import Server, free_port

if TYPE_CHECKING:
    from alsek.storage.backends.redis.link import Route


class HexSerializer(Serializer):
    """Writes bytes that are no UTF-8."""

    @staticmethod
    def forward(obj: Any) -> bytes:
        return b"\xff" + json.dumps(obj).encode()

    @staticmethod
    def reverse(obj: Any) -> Any:
        if obj is None:
            return None
        assert isinstance(obj, bytes)
        return json.loads(obj[1:])


class PrefixSerializer(Serializer):
    """Has a state of its own."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    @staticmethod
    def forward(obj: Any) -> str:
        return json.dumps(obj)

    @staticmethod
    def reverse(obj: Any) -> Any:
        return None if obj is None else json.loads(obj)


@pytest.fixture
def backend(redis_url: str, namespace: str) -> RedisBackend:
    return RedisBackend(redis_url, namespace=namespace)


# Values.


@pytest.mark.parametrize("value", [0, "", None, False, [], {"a": [1, None]}, "ü\n"])
def test_a_value_comes_back_as_it_was(backend: RedisBackend, value: Any) -> None:
    backend.set("name", value)

    assert backend.get("name", default=Empty) == value
    assert backend.exists("name") is True


def test_a_missing_value_is_the_default_or_a_key_error(backend: RedisBackend) -> None:
    assert backend.get("name") is None
    assert backend.get("name", default=7) == 7
    for empty in (Empty, Empty()):
        with pytest.raises(KeyError, match="name"):
            backend.get("name", default=empty)


def test_nx_refuses_to_overwrite(backend: RedisBackend) -> None:
    backend.set("name", 1, nx=True)

    with pytest.raises(KeyError, match="name"):
        backend.set("name", 2, nx=True)
    assert backend.get("name") == 1


def test_setting_without_a_ttl_keeps_the_expiry_that_is_there(backend: RedisBackend, redis_client: redis.Redis) -> None:
    backend.set("name", 1, ttl=60_000)

    backend.set("name", 2)

    assert 0 < redis_client.pttl(backend.full_name("name")) <= 60_000
    assert backend.get("name") == 2


@pytest.mark.parametrize("ttl", [0, -1, 1.5])
def test_a_ttl_has_to_be_a_positive_number_of_ms(backend: RedisBackend, ttl: Any) -> None:
    with pytest.raises(ValueError, match="ttl"):
        backend.set("name", 1, ttl=ttl)


def test_deleting_what_is_not_there_is_a_key_error_unless_it_is_ok(backend: RedisBackend) -> None:
    backend.set("name", 1)
    backend.delete("name")

    with pytest.raises(KeyError, match="name"):
        backend.delete("name")
    backend.delete("name", missing_ok=True)


@pytest.mark.parametrize("decode_responses", [True, False])
def test_a_client_may_decode_or_not(server: Server, namespace: str, decode_responses: bool) -> None:
    client = redis.Redis.from_url(server.url, decode_responses=decode_responses)
    backend = RedisBackend(client, namespace=namespace)

    backend.set("a", {"x": 1})
    backend.priority_add("z", "second", 2)
    backend.priority_add("z", "first", 1)

    assert backend.get("a") == {"x": 1}
    assert backend.priority_get("z") == "first"
    assert list(backend.priority_iter("z")) == ["first", "second"]
    assert sorted(backend.scan()) == ["a", "z"]
    client.close()


def test_sorted_ids_come_lowest_first_and_can_be_taken_out(backend: RedisBackend) -> None:
    for unique_id, priority in (("b", 2), ("a", 1), ("c", 0.5)):
        backend.priority_add("ids", unique_id, priority)
    backend.priority_remove("ids", "c")

    assert backend.priority_get("ids") == "a"
    assert list(backend.priority_iter("ids")) == ["a", "b"]
    assert backend.priority_get("nothing") is None


@pytest.mark.parametrize("decode_responses", [True, False])
def test_a_serializer_may_write_bytes(server: Server, namespace: str, decode_responses: bool) -> None:
    client = redis.Redis.from_url(server.url, decode_responses=decode_responses)
    backend = RedisBackend(client, namespace=namespace, serializer=HexSerializer())

    backend.set("name", [1, 2])

    assert backend.get("name") == [1, 2]
    client.close()


# Names.


def test_names_get_the_namespace_once(backend: RedisBackend, namespace: str) -> None:
    full = f"{namespace}:name"

    assert backend.full_name("name") == backend.full_name(full) == full
    assert backend.short_name(full) == backend.short_name("name") == "name"
    assert backend.in_namespace(full)
    assert not backend.in_namespace("name")


def test_a_name_behind_a_hash_tag_counts_as_complete(backend: RedisBackend) -> None:
    record = backend.keys.record("u")

    assert backend.in_namespace(record)
    assert backend.full_name(record) == backend.short_name(record) == record


def test_a_namespace_that_reads_like_a_pattern_is_refused() -> None:
    for namespace in ("", "a b", "a*", "{a}", "a[b]"):
        with pytest.raises(ValueError, match="namespace"):
            RedisBackend(namespace=namespace)


def test_scan_finds_plain_and_tagged_names_by_the_same_pattern(backend: RedisBackend) -> None:
    backend.set("status:x", 1)
    backend.set(backend.keys.status("q", "t", "u"), 2)
    backend.set("other", 3)

    assert set(backend.scan("status:*")) == {"status:x", backend.keys.status("q", "t", "u")}
    assert set(backend.scan(f"{backend.keys.tag(0)}*")) == {backend.keys.status("q", "t", "u")}
    assert backend.count() == 3
    assert backend.count("other") == 1


def test_clearing_a_namespace_leaves_its_neighbours(redis_url: str, redis_client: redis.Redis) -> None:
    mine = RedisBackend(redis_url, namespace="app", partitions=3)
    others = [RedisBackend(redis_url, namespace=name) for name in ("app2", "ap", "app-x")]
    for backend in (mine, *others):
        backend.set("a", 1)
        backend.set(backend.keys.record("u1"), 1)
        backend.set(backend.keys.record("u2"), 1)
        redis_client.set(backend.keys.of_registry()[0], 1)  # who works here
    redis_client.set("unrelated", 1)

    assert mine.clear_namespace() == 4

    assert mine.count() == 0
    assert [other.count() for other in others] == [4, 4, 4]
    assert redis_client.exists("unrelated")


# Pub/sub.


@pytest.mark.parametrize("value", [0, "", None, {"a": 1}])
def test_what_is_published_is_heard_as_it_was(backend: RedisBackend, redis_client: redis.Redis, value: Any) -> None:
    heard: list[dict[str, Any]] = []
    events = backend.sub("channel")
    thread = threading.Thread(target=lambda: heard.append(next(iter(events))))
    thread.start()
    eventually(lambda: redis_client.pubsub_numsub("channel")[0][1] == 1)

    backend.pub("channel", value)

    thread.join(5)
    assert heard[0]["type"] == "message"
    assert heard[0]["channel"] == "channel"
    assert heard[0]["data"] == value


def test_a_dropped_listener_leaves_no_subscription(backend: RedisBackend, redis_client: redis.Redis) -> None:
    events = backend.sub("channel")
    thread = threading.Thread(target=lambda: next(iter(events)))
    thread.start()
    eventually(lambda: redis_client.pubsub_numsub("channel")[0][1] == 1)
    backend.pub("channel", 1)
    thread.join(5)

    events.close()

    eventually(lambda: redis_client.pubsub_numsub("channel")[0][1] == 0)


# Addresses.


def test_nothing_is_connected_before_the_first_command() -> None:
    RedisBackend(f"redis://localhost:{free_port()}/0")
    RedisBackend(redis.Redis(port=free_port()))
    RedisBackend()


def test_without_an_address_the_environment_names_it(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALSEK_REDIS_URL", redis_url)

    RedisBackend(namespace=namespace).set("name", 1)

    assert RedisBackend(redis_url, namespace=namespace).get("name") == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://:s3cret@localhost:6379/0",
        "localhost:6379",
        "",
        "redis://:s3cret@localhost:port/0",
        "redis://:s3/cret@localhost:6379/0",
        "redis://:s3cret@localhost:99999/0",
        "redis://:s3cret@localhost/queue",
        "redis://:s3cret@localhost/0?no_such_option=s3cret",
        "redis://localhost/0?password=s3cret&socket_timeout=soon",
    ],
)
def test_a_wrong_address_is_refused_with_the_accepted_forms_and_without_its_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        RedisBackend(url)

    text = str(caught.value)
    assert "redis://" in text or "no_such_option" in text or "socket_timeout" in text
    assert "s3" not in text.replace("no_such_option=s3cret", "")
    assert "s3" not in repr(caught.value.__cause__)


@pytest.mark.parametrize("conn", [1, b"redis://localhost", object(), redis.asyncio.Redis()])
def test_what_is_no_connection_is_refused(conn: Any) -> None:
    with pytest.raises(ValueError, match="conn has to be None, an address"):
        RedisBackend(conn)


@pytest.mark.parametrize("partitions", [0, -1, 1025, 1.5, "2", True])
def test_a_wrong_number_of_partitions_is_refused(partitions: Any) -> None:
    with pytest.raises(ValueError, match="partitions"):
        RedisBackend(partitions=partitions)


def test_a_lazy_client_is_made_once_and_only_when_needed(redis_url: str, namespace: str) -> None:
    made: list[redis.Redis] = []

    def make() -> redis.Redis:
        made.append(redis.Redis.from_url(redis_url))
        return made[-1]

    backend = RedisBackend(LazyClient(make), namespace=namespace)
    repr(backend)
    assert made == []

    backend.set("name", 1)
    backend.get("name")

    assert len(made) == 1
    assert backend.conn is made[0]
    made[0].close()


def test_importing_the_backend_does_not_import_its_asyncio_twin() -> None:
    code = (
        "import sys; from alsek.storage.backends.redis import RedisBackend;"
        "assert 'alsek.storage.backends.redis.asyncio' not in sys.modules;"
        "from alsek.storage.backends.redis import AsyncRedisBackend; assert AsyncRedisBackend.IS_ASYNC"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Errors.


def test_a_redis_that_is_not_there_is_a_backend_error() -> None:
    backend = RedisBackend(f"redis://127.0.0.1:{free_port()}/0")

    with pytest.raises(BackendUnavailableError):
        backend.get("name")


def test_a_wrong_password_is_an_authentication_error() -> None:
    with Server(password="right") as server:
        backend = RedisBackend(f"redis://:wrong@127.0.0.1:{server.port}/0")

        with pytest.raises(BackendAuthenticationError):
            backend.get("name")


def test_a_key_of_another_kind_is_a_data_error(backend: RedisBackend) -> None:
    backend.priority_add("name", "id", 1)

    with pytest.raises(BackendDataError):
        backend.get("name")


def test_a_lost_connection_is_made_anew(server: Server, namespace: str) -> None:
    with Proxy(server.port) as proxy:
        backend = RedisBackend(proxy.url, namespace=namespace)
        backend.set("name", 1)

        proxy.reset_all()

        assert backend.get("name") == 1


# Travelling.


def test_a_connected_backend_travels_as_plain_data(backend: RedisBackend) -> None:
    backend.set("name", 1)
    list(backend.scan())

    packed = backend.encode()
    twin = RedisBackend.decode(packed)

    assert json.loads(packed)["settings"]["namespace"] == backend.namespace
    assert type(twin) is RedisBackend
    assert twin.get("name") == 1
    assert twin.same_store(backend)
    assert twin.conn.get_connection_kwargs()["decode_responses"] is True


def test_settings_make_the_same_backend(redis_url: str) -> None:
    backend = RedisBackend(redis_url, namespace="other", partitions=4, serializer=HexSerializer())

    twin = RedisBackend.from_settings(backend.settings)

    assert (twin.namespace, twin.partitions, type(twin.serializer)) == ("other", 4, HexSerializer)
    assert twin.same_store(backend)


def test_a_client_with_options_of_its_own_travels(redis_url: str) -> None:
    host, port = redis_url.removeprefix("redis://").removesuffix("/0").split(":")
    client = redis.Redis(host=host, port=int(port), db=3, client_name="me", socket_keepalive_options={4: 7})
    client.ping()
    backend = RedisBackend(client)

    twin = RedisBackend.decode(backend.encode())

    twin.set("name", 1)
    assert client.get("alsek:name") == b"1"
    assert twin.conn.client_getname() in ("me", b"me")
    client.close()


def test_a_pickle_of_a_backend_is_its_description(backend: RedisBackend) -> None:
    backend.set("name", 1)

    assert pickle.loads(pickle.dumps(backend)).get("name") == 1


def test_a_serializer_with_a_state_travels_by_dill(redis_url: str) -> None:
    backend = RedisBackend(redis_url, serializer=PrefixSerializer("p"))

    packed = backend.encode()

    assert packed.startswith(b"dill:")
    assert RedisBackend.decode(packed).serializer.prefix == "p"


def test_a_description_made_in_one_process_works_in_another(backend: RedisBackend) -> None:
    backend.set("name", "there")
    code = (
        "import sys; from alsek.storage.backends.redis import RedisBackend;"
        "print(RedisBackend.decode(sys.stdin.buffer.read()).get('name'))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], input=backend.encode(), capture_output=True, check=True, timeout=60
    )

    assert done.stdout.strip() == b"there"


def test_a_sentinel_client_travels(redis_url: str) -> None:
    sentinel = Sentinel([("127.0.0.1", 26399)], sentinel_kwargs={"password": "x"})
    backend = RedisBackend(sentinel.master_for("mymaster", db=2, password="y"))

    twin = RedisBackend.decode(backend.encode())

    pool = twin.conn.connection_pool
    assert pool.service_name == "mymaster"
    assert pool.connection_kwargs["password"] == "y"
    [node] = pool.sentinel_manager.sentinels
    assert node.connection_pool.connection_kwargs["port"] == 26399
    assert node.connection_pool.connection_kwargs["password"] == "x"
    assert twin.same_store(backend)


def test_backends_of_the_same_place_know_each_other(redis_url: str) -> None:
    backend = RedisBackend(redis_url)

    assert backend.same_store(RedisBackend(redis_url))
    assert not backend.same_store(RedisBackend(redis_url, namespace="other"))
    assert not backend.same_store(RedisBackend(redis_url, partitions=2))
    assert not backend.same_store(RedisBackend(redis_url.removesuffix("0") + "1"))
    assert not backend.same_store(RedisBackend(redis_url, serializer=HexSerializer()))
    assert not backend.same_store("redis")


def test_the_order_of_the_sentinels_makes_no_other_place() -> None:
    told = "redis+sentinel://h1:1,h2:2,h3:3/tasks"

    backend = RedisBackend(told)
    manager = backend.conn.connection_pool.sentinel_manager
    manager.sentinels.reverse()  # as redis-py does when the first is silent and another answers

    assert backend.same_store(RedisBackend(told))
    assert backend.same_store(RedisBackend("redis+sentinel://h2:2,h1:1,h3:3/tasks"))
    assert not backend.same_store(RedisBackend("redis+sentinel://h1:1,h2:2,h4:3/tasks"))
    assert not backend.same_store(RedisBackend("redis+sentinel://h1:1,h2:2,h3:3/others"))


def test_a_connection_of_our_own_repeats_nothing_and_decodes_nothing(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, decode_responses=True, retry_on_timeout=True, health_check_interval=5)

    connection = RedisBackend(client).new_connection(socket_timeout=None)

    assert connection.retry.get_retries() == 0
    assert connection.health_check_interval == 0
    assert connection.socket_timeout is None
    connection.connect()
    connection.send_command("PING")
    assert connection.read_response() == b"PONG"
    connection.disconnect()
    client.close()


# A backend of one's own.


class DictBackend(Backend):
    """As upstream's tests make one: the eight operations and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}

    def exists(self, name: str) -> bool:
        return name in self.values

    def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        self.values[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def delete(self, name: str, missing_ok: bool = False) -> None:
        del self.values[name]

    def priority_add(self, key: str, unique_id: str, priority: int | float) -> None: ...

    def priority_get(self, key: str) -> str | None: ...

    def priority_remove(self, key: str, unique_id: str) -> None: ...

    def scan(self, pattern: str | None = None) -> Any:
        return list(self.values)


def test_eight_operations_make_a_backend() -> None:
    backend = DictBackend()
    backend.set("a", 1)
    backend.set("b", 2)

    assert backend.count() == 2
    assert backend.clear_namespace() == 2
    assert not backend.SUPPORTS_PUBSUB
    with pytest.raises(NotImplementedError):
        backend.encode()


def test_more_callers_than_links_wait_for_one_and_never_share_it(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    made: list[Route] = []

    def new_link() -> Route:
        made.append(backend.new_link())
        return made[-1]

    pool = LinkPool(new_link, most=2)

    def echoes(caller: int) -> list[bytes]:
        answers = []
        for number in range(50):
            answers.append(pool.command("ECHO", f"{caller}-{number}"))
            if number == 25:
                pool.close()
        return answers

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(echoes, range(8)))
    pool.close()

    assert answers == [[f"{caller}-{number}".encode() for number in range(50)] for caller in range(8)]
    assert len(made) == 2
