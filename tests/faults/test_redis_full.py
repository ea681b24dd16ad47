"""R5: Redis has no memory left. Nothing new gets in, and all that is in gets out (G18)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from alsek.core.consumer import Consumer
from alsek.core.settlement import Failed, Released, Retried, Settlement, Succeeded, held_by
from alsek.exceptions import BackendFullError
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.result import ResultStore
from faults.arena import KINDS
from faults.weather import task_of
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.core.message import Message
    from faults.arena import Arena

QUEUE = "threads"


@pytest.fixture
def full(arena: Arena) -> Iterator[Arena]:
    """An arena whose server takes no more, with many messages under leases and as many waiting."""
    live = chaos_size(2_000, 10_000)
    for kind in KINDS:
        arena.submit(*(arena.make(f"in_{kind}") for _ in range(live // 3)))
    arena.submit(*(arena.make("in_thread") for _ in range(live)))
    return arena


def test_a_full_server_refuses_work_and_gives_back_what_it_has(full: Arena) -> None:
    broker, results = full.broker, ResultStore(full.broker.backend)
    consumer = Consumer(broker, [QUEUE])
    held: list[Message] = []
    while len(held) < chaos_size(2_000, 10_000):
        held += consumer.exchange((), 500).messages
    _fill(full)
    keys, waiting = full.broker.redis.conn.dbsize(), full.open()

    refused = _refuse(full)

    assert full.broker.redis.conn.dbsize() == keys
    assert full.open() == waiting
    assert set(broker.renew([held_by(message) for message in held], [QUEUE])) == {Code.DONE}
    ways: list[Settlement] = []
    for number, message in enumerate(held):
        full.journal.start(message.uuid, message.lease and message.lease.token)
        if number % 10 == 0:
            ways.append(Failed(message, "failed", b'["ValueError","no",null]'))
        elif number % 10 == 1:
            full.journal.fail(message.uuid)
            ways.append(Retried(message, 100, b'["ValueError","again",null]'))
        elif number % 10 == 2:
            full.journal.fail(message.uuid)
            ways.append(Released(message))
        else:
            full.journal.end(message.uuid)
            ways.append(Succeeded(message, results.wire(message, "x" * 100)))
    codes: list[Code] = []
    for start in range(0, len(ways), 200):
        exchange = consumer.exchange(ways[start : start + 200], 0)
        codes += exchange.codes
    assert set(codes) == {Code.DONE}
    consumer.close()

    pool = full.pool("worker", "--n-threads", "4", "--n-processes", "2", "--concurrency", "20")
    full.drained(60)

    verdict = full.verdict()
    print(f"R5: {verdict} leases={len(held)} refused={refused}", flush=True)
    verdict.assert_ok(max_duplicates=0)
    assert verdict.submitted == verdict.ended
    assert "OOM" not in pool.log
    assert "Redis refused" not in pool.log
    full.server.config_set("maxmemory", 0)
    full.one("in_thread")  # taken again as soon as there is room
    full.drained()
    assert pool.terminate() == 0


def test_a_pool_works_on_while_its_server_is_full(full: Arena) -> None:
    """It fills up under running tasks: heartbeats, claims, acks with results and retries go on."""
    pool = full.pool("worker", "--lease", "2", "--n-threads", "4", "--n-processes", "2", "--concurrency", "20")
    running = [full.one(f"in_{kind}", "" if kind == "loop" else "nap", 3) for kind in KINDS]
    failing = [full.one(f"in_{kind}", "fail", times=2) for kind in KINDS]
    _fill(full)
    with pytest.raises(BackendFullError):
        full.broker.submit(full.make("in_thread"))

    full.drained(90)

    verdict = full.verdict()
    print(f"R5 under running work: {verdict} running={len(running)} failing={len(failing)}", flush=True)
    verdict.assert_ok(max_duplicates=0)
    assert "OOM" not in pool.log
    assert pool.terminate() == 0


def _fill(full: Arena) -> None:
    """Leave no doubt: it has twice as much as it may."""
    full.server.config_set("maxmemory", full.server.info("memory")["used_memory"] // 2)


def _refuse(full: Arena) -> int:
    """Try every way in; each says in one line what is wrong and that nothing was stored."""
    broker = full.broker
    task = task_of("thread", broker)
    for way in (
        lambda: broker.submit(full.make("in_thread")),
        lambda: broker.submit_many([full.make("in_thread") for _ in range(1_200)]),
        lambda: task.generate(),
        lambda: task.generate(delay=1_000),
        lambda: task.generate_many([{} for _ in range(600)]),
        lambda: asyncio.run(_agenerate(task)),
    ):
        with pytest.raises(BackendFullError, match="Redis is full and refused the write; nothing was stored") as info:
            way()
        assert "\n" not in str(info.value)
    return 6


async def _agenerate(task: object) -> None:
    await asyncio.gather(*(task.agenerate() for _ in range(5)))  # type: ignore[attr-defined]
