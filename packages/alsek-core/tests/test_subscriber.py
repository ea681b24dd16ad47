"""One pub/sub connection that many threads share, and what happens when it breaks."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
import redis

from alsek.exceptions import BackendAuthenticationError, BackendUnavailableError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.subscriber import Event, Subscriber
from harness.eventually import eventually
from harness.proxy import Proxy
from harness.server import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


def soon() -> float:
    return time.monotonic() + 10


@pytest.fixture
def subscriber(redis_url: str) -> Iterator[Subscriber]:
    subscriber = Subscriber(RedisBackend(redis_url).new_connection)
    yield subscriber
    subscriber.close()


def subscribers(client: redis.Redis, channel: str) -> int:
    return client.pubsub_numsub(channel)[0][1]


def test_the_first_event_says_that_the_subscription_stands(subscriber: Subscriber, redis_client: redis.Redis) -> None:
    with subscriber.open(["a"]) as subscription:
        assert subscription.next(soon()) == Event(None)
        redis_client.publish("a", b"1")
        redis_client.publish("b", b"2")
        redis_client.publish("a", b"")

        assert subscription.next(soon()) == Event("a", b"1")
        assert subscription.next(soon()) == Event("a", b"")
    eventually(lambda: subscribers(redis_client, "a") == 0)


def test_a_wait_ends_at_its_deadline(subscriber: Subscriber) -> None:
    with subscriber.open(["a"]) as subscription:
        subscription.next(soon())
        began = time.monotonic()

        assert subscription.next(began + 0.05) is None
        assert 0.05 <= time.monotonic() - began < 2


def test_many_threads_share_one_connection_and_hear_their_own(
    subscriber: Subscriber, redis_client: redis.Redis
) -> None:
    heard: dict[int, list[bytes]] = {}
    standing = threading.Barrier(21)

    def listen(number: int) -> None:
        with subscriber.open([f"channel-{number}", "all"]) as subscription:
            subscription.next(soon())
            standing.wait(10)
            heard[number] = [event.payload for _ in range(2) if (event := subscription.next(soon()))]

    threads = [threading.Thread(target=listen, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    standing.wait(10)
    connections = [entry for entry in redis_client.client_list() if int(entry["sub"])]
    for n in range(20):
        redis_client.publish(f"channel-{n}", f"for {n}")
    redis_client.publish("all", "for all")
    for thread in threads:
        thread.join(10)

    assert len(connections) == 1
    assert heard == {n: [f"for {n}".encode(), b"for all"] for n in range(20)}
    eventually(lambda: not redis_client.pubsub_channels())


def test_whoever_leaves_hands_the_reading_on(subscriber: Subscriber, redis_client: redis.Redis) -> None:
    first = subscriber.open(["first"])
    first.next(soon())
    heard: list[Event | None] = []
    leads = threading.Thread(target=lambda: heard.append(first.next(soon())))
    leads.start()
    with subscriber.open(["second"]) as second:
        second.next(soon())
        follows = threading.Thread(target=lambda: heard.append(second.next(soon())))
        follows.start()

        redis_client.publish("first", b"1")
        leads.join(10)
        redis_client.publish("second", b"2")
        follows.join(10)

    first.close()
    assert heard == [Event("first", b"1"), Event("second", b"2")]


def test_a_channel_stays_until_its_last_listener_leaves(subscriber: Subscriber, redis_client: redis.Redis) -> None:
    with subscriber.open(["a"]) as stays:
        stays.next(soon())
        with subscriber.open(["a"]) as leaves:
            leaves.next(soon())
        with subscriber.open(["a"]) as again:
            assert again.next(soon()) == Event(None)

        redis_client.publish("a", b"1")

        assert stays.next(soon()) == Event("a", b"1")
    eventually(lambda: subscribers(redis_client, "a") == 0)


def test_after_a_lost_connection_the_listener_is_told_to_look_again(server: Server) -> None:
    with Proxy(server.port) as proxy, server.client() as client:
        subscriber = Subscriber(RedisBackend(proxy.url).new_connection)
        with subscriber.open(["a"]) as subscription:
            assert subscription.next(soon()) == Event(None)

            proxy.reset_all()

            assert subscription.next(soon()) == Event(None)
            client.publish("a", b"1")
            assert subscription.next(soon()) == Event("a", b"1")
        subscriber.close()


def test_a_restart_of_the_server_is_survived(own_server: Server) -> None:
    subscriber = Subscriber(RedisBackend(own_server.url).new_connection)
    with subscriber.open(["a"]) as subscription:
        subscription.next(soon())

        own_server.kill()
        assert_waits = threading.Timer(0.2, own_server.start)
        assert_waits.start()

        assert subscription.next(soon()) == Event(None)
        assert_waits.join()
        with own_server.client() as client:
            client.publish("a", b"1")
        assert subscription.next(soon()) == Event("a", b"1")
    subscriber.close()


def test_a_connection_that_fell_silent_is_replaced(server: Server) -> None:
    with Proxy(server.port) as proxy:
        subscriber = Subscriber(RedisBackend(proxy.url).new_connection, check_s=0.1)
        with subscriber.open(["a"]) as subscription:
            subscription.next(soon())
            connected = proxy.connected

            proxy.blackhole()
            with pytest.raises(BackendUnavailableError):
                subscription.next(time.monotonic() + 0.5)
            proxy.heal()

            assert subscription.next(soon()) == Event(None)
            assert proxy.connected > connected
        subscriber.close()


@pytest.mark.slow  # its margins are those of a machine with nothing else to do
def test_a_quiet_connection_that_lives_is_kept(server: Server) -> None:
    with Proxy(server.port) as proxy:
        subscriber = Subscriber(RedisBackend(proxy.url).new_connection, check_s=0.02)
        with subscriber.open(["a"]) as subscription:
            subscription.next(soon())
            connected = proxy.connected

            assert subscription.next(time.monotonic() + 0.5) is None

            assert proxy.connected == connected
        subscriber.close()


def test_a_deadline_without_redis_is_an_error_of_the_backend() -> None:
    subscriber = Subscriber(RedisBackend(f"redis://127.0.0.1:{free_port()}").new_connection)

    with subscriber.open(["a"]) as subscription, pytest.raises(BackendUnavailableError):
        subscription.next(time.monotonic() + 0.1)


def test_a_wrong_password_is_told_at_once() -> None:
    with Server(password="right") as server:
        subscriber = Subscriber(RedisBackend(f"redis://:wrong@127.0.0.1:{server.port}").new_connection)

        with subscriber.open(["a"]) as subscription, pytest.raises(BackendAuthenticationError):
            subscription.next()


def test_a_forked_child_has_a_connection_of_its_own(redis_url: str, redis_client: redis.Redis) -> None:
    subscriber = Subscriber(RedisBackend(redis_url).new_connection)
    with subscriber.open(["parent"]) as subscription:
        subscription.next(soon())

        child = os.fork()
        if child == 0:
            status = 1
            try:
                with subscriber.open(["child"]) as own:
                    event = own.next(soon())
                    told = own.next(soon())
                    subscription.close()
                    status = 0 if event == Event(None) and told == Event("child", b"1") else 2
            finally:
                os._exit(status)
        eventually(lambda: subscribers(redis_client, "child") == 1)
        redis_client.publish("child", b"1")
        _, status = os.waitpid(child, 0)
        redis_client.publish("parent", b"2")

        assert status == 0
        assert subscription.next(soon()) == Event("parent", b"2")
    subscriber.close()


def test_a_listener_that_falls_behind_is_told_to_look(subscriber: Subscriber, redis_client: redis.Redis) -> None:
    with subscriber.open(["busy"]) as busy, subscriber.open(["reads"]) as reads:
        busy.next(soon())
        pipeline = redis_client.pipeline(transaction=False)
        for _ in range(10_001):
            pipeline.publish("busy", b"x")
        pipeline.publish("reads", b"end")
        pipeline.execute()
        while (event := reads.next(soon())) is not None and event.channel is None:
            pass

        assert busy.next(soon()) == Event(None)


def test_subscriptions_that_come_and_go_under_load_lose_nothing(
    subscriber: Subscriber, redis_client: redis.Redis
) -> None:
    failures: list[str] = []

    def work(number: int) -> None:
        client = redis.Redis(connection_pool=redis_client.connection_pool)
        for i in range(60):
            channel = f"{number}:{i}" if i % 3 else "shared"
            with subscriber.open([channel]) as subscription:
                if subscription.next(soon()) != Event(None):
                    failures.append(f"{channel}: no start")
                client.publish(channel, f"{number}-{i}")
                while (event := subscription.next(soon())) is not None:
                    if event.payload == f"{number}-{i}".encode():
                        break
                else:
                    failures.append(f"{channel}: lost")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    eventually(lambda: not redis_client.pubsub_channels())
