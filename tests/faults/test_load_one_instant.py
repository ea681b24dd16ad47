"""L1: a great many messages fall due in the same millisecond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from alsek.core.consumer import Consumer
from alsek.core.settlement import Succeeded
from faults.weather import task_of
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from faults.arena import Arena

QUEUE = "threads"

#: Messages that one call promotes at most; each of them costs the server some microseconds.
BATCH = 100
SLOW_MS = 10


def test_they_are_promoted_in_small_batches_and_in_order(arena: Arena) -> None:
    uuids = _plant(arena, chaos_size(5_000, 50_000))
    names = [f"{arena.broker.keys.tag(0)}{letter}:{QUEUE}" for letter in "dr"]
    client = arena.broker.redis.conn
    arena.server.config_set("slowlog-log-slower-than", SLOW_MS * 1000)
    client.slowlog_reset()

    consumer = Consumer(arena.broker, [QUEUE])
    order: list[str] = []
    promoted: list[int] = []
    done: list[Succeeded] = []
    while len(order) < len(uuids):
        before = client.zcard(names[0])
        codes, messages = consumer.exchange(done, 50)
        promoted.append(before - client.zcard(names[0]))
        assert all(code.accepted for code in codes)
        order += [message.uuid for message in messages]
        done = [Succeeded(message) for message in messages]
        for message in messages:
            arena.journal.start(message.uuid, message.lease and message.lease.token)
            arena.journal.end(message.uuid)
    consumer.exchange(done, 0)
    consumer.close()

    slow = [entry for entry in client.slowlog_get(1000) if b"EVALSHA" in entry["command"]]
    verdict = arena.verdict()
    print(f"L1: {verdict} calls={len(promoted)} largest={max(promoted)} slow={len(slow)}", flush=True)
    assert order == uuids
    assert max(promoted) <= BATCH
    verdict.assert_ok(max_duplicates=0)


def test_a_pool_runs_them_all_at_once(arena: Arena) -> None:
    pool = arena.pool("thread-pool", "--n-threads", "1", "--n-processes", "1")
    uuids = _plant(arena, chaos_size(5_000, 50_000), in_ms=1_000)
    begun = time.monotonic()

    arena.drained(120)

    seconds = time.monotonic() - begun
    starts = [event.uuid for event in arena.events(kind="START")]
    verdict = arena.verdict()
    print(f"L1 pool: {verdict} in {seconds:.1f} s", flush=True)
    assert starts == uuids
    verdict.assert_ok(max_duplicates=0)
    assert pool.terminate() == 0


def _plant(arena: Arena, count: int, in_ms: int = 300) -> list[str]:
    """Enqueue messages with a delay each, and move them all to one instant; gives their uuids in order."""
    task = task_of("thread", arena.broker)
    messages = task.generate_many([{"kwargs": {"how": "none"}}] * count, delay=60_000)
    for message in messages:
        arena.journal.call("submit", message.uuid)
        arena.journal.ok("submit", message.uuid)
    client = arena.broker.redis.conn
    name = f"{arena.broker.keys.tag(0)}d:{QUEUE}"
    seconds, micros = client.time()
    due = seconds * 1000 + micros // 1000 + in_ms
    for start in range(0, count, 1_000):
        client.zadd(name, {message.uuid: due for message in messages[start : start + 1_000]})
    marker = f"{arena.broker.keys.tag(0)}w:{QUEUE}"
    client.delete(marker)
    client.lpush(marker, "1")  # their delay was changed: tell who sleeps
    eventually(lambda: client.time() >= (due // 1000, due % 1000 * 1000), what="they are due")
    return [message.uuid for message in messages]
