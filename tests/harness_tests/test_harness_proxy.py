"""The proxy counts what passes and breaks exactly where it is told to."""

import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.eventually import eventually
from harness.faults import Fault
from harness.proxy import Proxy
from harness.resp import Args, CommandParser
from harness.server import Server


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=5)
    yield client
    client.close()


def test_commands_are_counted_without_connection_setup(proxy: Proxy, client: redis.Redis) -> None:
    client.set("a", 1)
    client.get("a")

    assert proxy.count == 2
    assert [seen.label for seen in proxy.seen] == ["SET a 1", "GET a"]


def test_pipelined_commands_are_counted_one_by_one(proxy: Proxy, client: redis.Redis) -> None:
    with client.pipeline(transaction=False) as pipe:
        for number in range(500):
            pipe.set(f"key:{number}", "x" * 300)
        pipe.execute()

    assert proxy.count == 500


def test_commands_are_counted_per_connection(proxy: Proxy, client: redis.Redis) -> None:
    other = redis.Redis.from_url(proxy.url)
    client.incr("a")
    other.incr("a")
    other.incr("a")

    assert sorted(proxy.counts.values()) == [1, 2]
    other.close()


def test_large_and_binary_values_pass_unchanged(client: redis.Redis) -> None:
    value = bytes(range(256)) * 20_000

    client.set("key", value)

    assert client.get("key") == value


def test_a_cut_before_a_command_leaves_it_undone(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    proxy.cut_before(2)
    client.incr("n")

    with pytest.raises(redis.ConnectionError):
        client.incr("n")

    assert server.client().get("n") == b"1"
    assert proxy.fired == [2]


def test_a_cut_after_a_command_leaves_it_done(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    proxy.cut_after(1)

    with pytest.raises(redis.ConnectionError):
        client.incr("n")

    eventually(lambda: server.client().get("n") == b"1")


def test_a_dropped_reply_means_the_command_ran(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    proxy.drop_reply(1)

    with pytest.raises(redis.ConnectionError):
        client.incr("n")

    assert server.client().get("n") == b"1"
    assert client.incr("n") == 2


def test_redis_py_runs_a_command_twice_when_its_reply_is_lost(proxy: Proxy) -> None:
    """E1: a default client retries every command (one made by `from_url` does not)."""
    client = redis.Redis(port=proxy.port)
    proxy.drop_reply(1)

    assert client.incr("n") == 2
    assert proxy.count == 2
    client.close()


def test_a_fault_inside_a_pipeline_hits_that_command_only(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    proxy.drop_reply(3)

    with client.pipeline(transaction=False) as pipe, pytest.raises(redis.ConnectionError):
        for number in range(1, 6):
            pipe.set(f"key:{number}", number)
        pipe.execute()

    assert sorted(server.client().keys()) == [b"key:1", b"key:2", b"key:3"]


def test_a_cut_inside_a_transaction_discards_it(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    proxy.cut_before(4)  # MULTI, SET, SET, EXEC

    with client.pipeline() as pipe, pytest.raises(redis.ConnectionError):
        pipe.set("a", 1)
        pipe.set("b", 2)
        pipe.execute()

    assert server.client().dbsize() == 0


def test_random_drops_repeat_with_their_seed(server: Server) -> None:
    def fired() -> list[int]:
        with Proxy(server.port) as proxy:
            proxy.drop_replies(0.2, seed=7)
            client = redis.Redis(port=proxy.port)
            for _ in range(50):
                client.incr("n")
            client.close()
            return proxy.fired

    first, second = fired(), fired()

    assert first == second
    assert 5 < len(first) < 40


def test_a_callback_sees_each_command_and_may_fail_it(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    seen: list[bytes] = []

    def refuse_delete(_k: int, args: Args) -> Fault | None:
        seen.append(args[0])
        return Fault("cut_before") if args[0] == b"DEL" else None

    proxy.on_command = refuse_delete
    client.set("a", 1)

    with pytest.raises(redis.ConnectionError):
        client.delete("a")

    assert seen == [b"SET", b"DEL"]
    assert server.client().exists("a")


def test_what_follows_a_fault_runs_after_the_command_and_before_the_reset(server: Server, proxy: Proxy) -> None:
    client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0))
    values: list[object] = []
    proxy.drop_reply(1, then=lambda: values.append(server.client().get("n")))

    with pytest.raises(redis.ConnectionError):
        client.incr("n")

    assert values == [b"1"]
    client.close()


def test_a_blackhole_towards_the_client_hides_that_the_command_ran(server: Server, proxy: Proxy) -> None:
    client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.2)
    client.ping()
    proxy.blackhole("to_client")

    with pytest.raises(redis.TimeoutError):
        client.incr("n")

    assert server.client().get("n") == b"1"
    client.close()


def test_a_blackhole_towards_the_server_delivers_late(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.blackhole("to_server")
    caller = threading.Thread(target=client.incr, args=("n",))

    caller.start()
    proxy.wait_for(1)

    assert server.client().get("n") is None
    proxy.heal()
    caller.join(5)
    assert server.client().get("n") == b"1"


def test_a_blackhole_hides_that_the_server_died(own_server: Server) -> None:
    with Proxy(own_server.port) as proxy:
        client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.2)
        client.ping()
        proxy.blackhole()
        own_server.kill()

        with pytest.raises(redis.TimeoutError):
            client.ping()
        client.close()


def test_a_blackhole_ends_by_itself(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.blackhole("both", seconds=0.2)
    start = time.monotonic()

    assert client.incr("n") == 1

    assert time.monotonic() - start >= 0.15


def test_latency_is_added(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.delay(0.1)
    start = time.monotonic()

    client.incr("n")

    assert time.monotonic() - start >= 0.1


def test_a_slow_line_drips(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.drip(20_000)
    start = time.monotonic()

    client.set("key", b"x" * 6_000)

    assert 0.2 <= time.monotonic() - start < 3


def test_reset_all_breaks_open_connections_only(proxy: Proxy, client: redis.Redis) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as old:
        old.sendall(b"PING\r\n")
        assert old.recv(100) == b"+PONG\r\n"

        proxy.reset_all()

        with pytest.raises(ConnectionResetError):
            old.recv(100)
    assert client.ping()


def test_refused_connections_come_back_after_accept(proxy: Proxy, client: redis.Redis) -> None:
    proxy.refuse()
    with pytest.raises(redis.ConnectionError, match="refused"):
        client.ping()

    proxy.accept()

    assert client.ping()


def test_blocking_commands_and_subscriptions_pass(server: Server, proxy: Proxy, client: redis.Redis) -> None:
    listener = client.pubsub()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    listener.subscribe("channel")
    eventually(lambda: listener.get_message(timeout=0.1))
    server.client().publish("channel", "hello")
    message = eventually(lambda: listener.get_message(timeout=0.1))

    server.client().rpush("list", "x")
    popped = client.blpop(["list"], timeout=2)

    assert message["data"] == b"hello"
    assert popped is not None
    assert popped[1] == b"x"
    listener.close()


def test_a_dead_server_closes_the_clients_connection(own_server: Server) -> None:
    with Proxy(own_server.port) as proxy:
        client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0))
        client.ping()

        own_server.kill()

        with pytest.raises(redis.ConnectionError):
            client.ping()
        own_server.restart()
        assert client.ping()
        client.close()


def test_counting_starts_again(proxy: Proxy, client: redis.Redis) -> None:
    client.incr("n")

    proxy.recount()
    client.incr("n")

    assert proxy.count == 1
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_commands_are_parsed_however_they_are_chunked(chunk: int) -> None:
    stream = b"*2\r\n$3\r\nGET\r\n$5\r\na\r\n*b\r\n*1\r\n$4\r\nPING\r\nPING inline\r\n*1\r\n$0\r\n\r\n"
    parser = CommandParser()

    commands = [found for start in range(0, len(stream), chunk) for found in parser.feed(stream[start : start + chunk])]

    assert [args for _, args in commands] == [(b"GET", b"a\r\n*b"), (b"PING",), (b"PING", b"inline"), (b"",)]
    assert b"".join(raw for raw, _ in commands) == stream


def test_urls_carry_the_password() -> None:
    with Server(password="s3cret") as server, Proxy(server.port, password="s3cret") as proxy:
        assert re.match(r"redis://:s3cret@127.0.0.1:\d+/0", proxy.url)
        client = redis.Redis.from_url(proxy.url)
        assert client.ping()
        client.close()
