"""A cluster of three primaries: every part of the core works on it, and no command ever spans two slots."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from typing import TYPE_CHECKING

import pytest
import redis

from alsek.core.broker import Broker
from alsek.core.concurrency import ThreadLock
from alsek.core.consumer import Consumer
from alsek.core.message import Message
from alsek.core.settlement import Succeeded
from alsek.core.status.standard import StatusTracker
from alsek.core.status.types import TaskStatus
from alsek.core.task import task
from alsek.exceptions import BackendDataError, BackendUnavailableError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.backends.redis.slots import slot_of
from alsek.storage.result import ResultStore
from alsek.tools.fsck import audit
from alsek.tools.inspector import Inspector
from harness.cluster import Cluster
from harness.eventually import eventually
from harness.seeds import chaos_size
from harness.server import free_port
from installations.stage import Producer, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.journal import Journal
    from harness.processes import Processes

PARTITIONS = 6


@pytest.fixture(autouse=True)
def never_across_slots(cluster: Cluster) -> Iterator[None]:
    """No test may have caused the error that no client can mend."""
    before = [_cross_slot_errors(cluster, node) for node in range(len(cluster.nodes))]
    yield
    assert [_cross_slot_errors(cluster, node) for node in range(len(cluster.nodes))] == before


@pytest.fixture
def backend(cluster: Cluster) -> Iterator[RedisBackend]:
    backend = RedisBackend(cluster.url, partitions=PARTITIONS)
    yield backend
    backend.close()


def test_messages_spread_over_all_primaries_and_are_claimed_and_acknowledged(
    cluster: Cluster, backend: RedisBackend
) -> None:
    broker = Broker(backend)
    consumer = Consumer(broker)
    messages = [Message("t", queue="q") for _ in range(300)]
    for message in messages[:20]:
        broker.submit(message)
    broker.submit_many(messages[20:])

    claimed: list[Message] = []
    while batch := consumer.exchange((), 40).messages:
        claimed += batch
    codes = consumer.exchange([Succeeded(message) for message in claimed], 0).codes

    assert {message.uuid for message in claimed} == {message.uuid for message in messages}
    assert len(claimed) == len(messages)
    assert all(code.accepted for code in codes)
    assert {cluster.serving(slot_of(backend.keys.tag(p))).port for p in range(PARTITIONS)} == {
        node.port for node in cluster.nodes
    }
    assert audit(backend).checked["records"] == len(messages)
    consumer.close()


def test_a_consumer_that_sleeps_is_woken_by_a_message_of_any_partition(backend: RedisBackend) -> None:
    broker = Broker(backend)
    consumer = Consumer(broker, ["q"])
    seen: set[int] = set()

    while len(seen) < PARTITIONS:
        consumer.exchange((), 1)
        consumer.fall_asleep()
        message = Message("t", queue="q")
        submitting = threading.Timer(0.02, broker.submit, [message])
        submitting.start()
        eventually(lambda: _end_of_sleep(consumer), 15, what="it wakes")
        submitting.join()
        claimed = eventually(lambda: consumer.exchange((), 1).messages, 15, what="it is claimed")
        consumer.exchange([Succeeded(one) for one in claimed], 0)
        assert [one.uuid for one in claimed] == [message.uuid]
        seen.add(backend.keys.partition(message.uuid))
    consumer.close()


def test_an_idle_consumer_asks_for_nothing(cluster: Cluster, backend: RedisBackend) -> None:
    consumer = Consumer(Broker(backend), ["q"])
    consumer.exchange((), 1)
    consumer.fall_asleep()
    eventually(lambda: sum(node.info("clients")["blocked_clients"] for node in cluster.nodes) == PARTITIONS)
    before = sum(_commands(cluster))
    asked = len(cluster.nodes)  # the questions themselves

    time.sleep(2)
    after = sum(_commands(cluster))

    # Nodes of a cluster talk on another port: what is counted here are clients' commands.
    assert after - before <= asked + 2
    assert consumer.asleep
    consumer.close()


def test_values_names_and_scans_reach_all_nodes(backend: RedisBackend) -> None:
    for i in range(30):
        backend.set(f"value-{i}", i)

    with pytest.raises(KeyError):
        backend.set("value-1", 2, nx=True)
    assert [backend.get(f"value-{i}") for i in range(30)] == list(range(30))
    assert set(backend.scan("value-*")) == {f"value-{i}" for i in range(30)}
    backend.delete("value-0")
    assert not backend.exists("value-0")
    assert backend.clear_namespace() == 29
    assert backend.count() == 0


def test_results_are_waited_for_and_statuses_are_heard(backend: RedisBackend) -> None:
    tracker = StatusTracker(backend)
    store = ResultStore(backend)
    broker = Broker(backend)

    @task(broker, queue="q", result_store=store, status_tracker=tracker)
    def double(number: int) -> int:
        return 2 * number

    consumer = Consumer(broker, ["q"])
    heard: list[TaskStatus] = []
    for number in range(5):
        message = double.generate(args=(number,))
        listening = threading.Thread(
            target=lambda m=message: heard.extend(u.status for u in tracker.listen_to_updates(m))
        )
        listening.start()
        (claimed,) = eventually(lambda: consumer.exchange((), 1).messages, 15)
        settled = Succeeded(claimed, store.wire(claimed, 2 * number))
        consumer.exchange([settled], 0)

        assert store.get(message, timeout=60_000) == 2 * number
        listening.join(15)
        assert not listening.is_alive()
    assert heard.count(TaskStatus.SUCCEEDED) == 5
    consumer.close()


def test_locks_exclude_and_their_waiters_are_woken(backend: RedisBackend) -> None:
    order: list[str] = []
    for name in ("a", "b", "c"):
        first, second = ThreadLock(name, backend, ttl=60_000), ThreadLock(name, backend, ttl=60_000)
        assert first.acquire()

        def wait(second: ThreadLock = second) -> None:
            assert second.acquire(wait=15)
            order.append(second.name)
            second.release()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert first.release()
        waiting.join(15)
    assert order == ["a", "b", "c"]


def test_coroutines_submit_to_all_partitions_in_one_turn_of_their_loop(backend: RedisBackend) -> None:
    broker = Broker(backend)

    @task(broker, queue="q")
    def nothing() -> None: ...

    async def submit() -> list[Message]:
        return await asyncio.gather(*[nothing.agenerate() for _ in range(100)])

    messages = asyncio.run(submit())

    assert {backend.keys.partition(message.uuid) for message in messages} == set(range(PARTITIONS))
    assert [queue.ready for queue in Inspector(broker).queues()] == [100]


def test_the_asynchronous_backend_reads_writes_scans_and_listens(cluster: Cluster) -> None:
    async def use() -> None:
        backend = AsyncRedisBackend(cluster.url, partitions=PARTITIONS)
        async with backend.listening("channel") as events:
            assert (await anext(events)).channel is None
            for i in range(10):
                await backend.set(f"value-{i}", i)
            await backend.announce("told", '"text"', "channel", 60_000)
            assert (await anext(events)).payload == b'"text"'
        assert [await backend.get(f"value-{i}") for i in range(10)] == list(range(10))
        assert {name async for name in backend.scan("value-*")} == {f"value-{i}" for i in range(10)}
        assert await backend.clear_namespace() == 11
        await backend.close()

    asyncio.run(use())


def test_a_backend_travels_to_another_process_without_connecting() -> None:
    backend = RedisBackend(f"redis+cluster://:s3cret@127.0.0.1:{free_port()},127.0.0.1:{free_port()}", partitions=4)

    twin = RedisBackend.decode(backend.encode())

    assert twin.settings == backend.settings
    assert twin.same_store(backend)
    assert "s3cret" not in repr(backend) + repr(twin)


def test_a_client_of_the_users_own_serves_as_well(cluster: Cluster, backend: RedisBackend) -> None:
    client = redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[2].port)
    own = RedisBackend(client, partitions=PARTITIONS)
    broker = Broker(own)

    broker.submit(Message("t", queue="q"))
    own.set("name", "value")

    assert [queue.ready for queue in Inspector(Broker(backend)).queues()] == [1]
    assert backend.get("name") == "value"
    client.close()


def test_a_cluster_where_nobody_answers_is_unavailable() -> None:
    backend = RedisBackend(f"redis+cluster://127.0.0.1:{free_port()}")

    with pytest.raises(BackendUnavailableError, match="did not answer"):
        backend.queue_names()
    with pytest.raises(BackendUnavailableError):
        backend.get("name", None)


def test_a_single_server_is_no_cluster(redis_url: str) -> None:
    backend = RedisBackend(redis_url.replace("redis://", "redis+cluster://"))

    with pytest.raises(BackendDataError, match="is no node of a cluster"):
        backend.queue_names()


@pytest.mark.timeout(400)
def test_slots_that_move_while_messages_run_lose_and_repeat_nothing(
    cluster: Cluster, processes: Processes, journal: Journal
) -> None:
    stage = Stage(cluster.url, PARTITIONS, processes, journal)
    pool = stage.pool()
    moved = 0
    with Producer(stage) as producer:
        for partition in (0, 3):
            producer.more(60)
            slot = slot_of(stage.broker.keys.tag(partition))
            source = cluster.serving(slot)
            target = next(node for node in cluster.nodes if node is not source)
            moved += cluster.migrate(slot, target)
            stage.submit("drift", "drift")
        producer.more(60)

    stage.drained()
    verdict = stage.verdict(max_duplicates=0)

    print(f"H3 moved slots: {verdict} keys moved={moved} refused={producer.refused}", flush=True)
    assert moved > 10
    assert pool.terminate() == 0
    stage.close()


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_primaries_that_die_while_messages_run_lose_nothing(processes: Processes, journal: Journal) -> None:
    deaths = chaos_size(2, 20)
    with Cluster(replicas=1) as cluster:
        stage = Stage(cluster.url, PARTITIONS, processes, journal)
        pool = stage.pool("worker", "--lease", "10")
        healed: list[float] = []
        kills: list[int] = []
        with Producer(stage) as producer:
            for death in range(deaths):
                producer.more(150)
                kills.append(time.monotonic_ns())
                killed = cluster.fail_over(slot_of(stage.broker.keys.tag(death % PARTITIONS)))
                since = time.monotonic()
                producer.more(PARTITIONS * 5)
                healed.append(time.monotonic() - since)
                killed.start()
                cluster.replica_of(cluster.serving(slot_of(stage.broker.keys.tag(death % PARTITIONS))))
            producer.more(100)

        stage.drained()
        verdict = stage.verdict(max_duplicates=None, kills=kills)

        print(
            f"H3 killed primaries: {verdict} deaths={deaths} refused={producer.refused} healed<={max(healed):.1f}s",
            flush=True,
        )
        assert pool.terminate() == 0
        stage.close()


def _end_of_sleep(consumer: Consumer) -> bool:
    ready, _, _ = select.select([consumer.fileno()], [], [], 0)
    if ready:
        consumer.wake_up()
    return bool(ready)


def _commands(cluster: Cluster) -> list[int]:
    return [node.commands_processed() for node in cluster.nodes]


def _cross_slot_errors(cluster: Cluster, node: int) -> object:
    return cluster.nodes[node].info("errorstats").get("errorstat_CROSSSLOT")
