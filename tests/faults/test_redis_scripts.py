"""R8: the script cache is flushed at random moments; nothing is lost by it, and nothing done twice."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import redis

from faults.weather import Producer
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from faults.arena import Arena

OPTIONS = ["--n-threads", "4", "--n-processes", "2", "--concurrency", "20"]


class Flusher:
    """A thread that empties the script cache every few milliseconds, also between two commands of one write."""

    def __init__(self, arena: Arena, longest_pause_s: float) -> None:
        self.flushes = 0
        self._dice = random.Random(f"{arena.seed}/flusher")
        self._longest_pause_s = longest_pause_s
        self._client = arena.server.client()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)

    def start(self) -> Flusher:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(10)
        self._client.close()

    def _run(self) -> None:
        while not self._ended.wait(self._dice.uniform(0, self._longest_pause_s)):
            with suppress(redis.RedisError):  # the server is being restarted
                self._client.script_flush("SYNC")
                self.flushes += 1


@pytest.mark.timeout(3600)
def test_scripts_that_vanish_are_loaded_again(lasting_arena: Arena) -> None:
    arena = lasting_arena
    total, restarts = chaos_size(1_500, 50_000), chaos_size(2, 20)
    pool = arena.pool("worker", *OPTIONS)
    flusher = Flusher(arena, 0.02).start()
    producers = [Producer(arena, number=number, total=total // 2).start() for number in range(2)]
    for number in range(1, restarts + 1):
        wanted = total * number // (restarts + 1)
        eventually(lambda: arena.tail.count("END") >= wanted, 120, what=lambda: f"progress\n{arena.logs()}")  # noqa: B023
        _come_back_without_scripts(arena)
    for producer in producers:
        producer.join(300)

    arena.drained(60)
    flusher.stop()
    verdict = arena.verdict()

    print(f"R8: {verdict} flushes={flusher.flushes} restarts={restarts}", flush=True)
    assert verdict.submitted == verdict.ended == sum(producer.submitted for producer in producers)
    assert flusher.flushes >= total / 50
    verdict.assert_ok(max_duplicates=0)
    assert pool.terminate() == 0


def test_an_idle_pool_works_again_after_its_scripts_vanished(arena: Arena) -> None:
    pool = arena.pool("worker", *OPTIONS)
    for kind in ("thread", "process", "loop"):
        arena.one(f"in_{kind}")
    arena.drained()
    rounds = chaos_size(3, 200)

    slowest = 0.0
    for _ in range(rounds):
        arena.broker.redis.conn.script_flush()
        for kind in ("thread", "process", "loop"):
            message = arena.one(f"in_{kind}")
            begun = time.monotonic()
            arena.wait(message, "END")
            slowest = max(slowest, time.monotonic() - begun)
    arena.drained()

    verdict = arena.verdict()
    print(f"R8 idle: {verdict} rounds={rounds} slowest={slowest:.2f}s", flush=True)
    verdict.assert_ok(max_duplicates=0)
    assert slowest < 2
    assert pool.terminate() == 0


def _come_back_without_scripts(arena: Arena) -> None:
    arena.server.kill()
    arena.server.start()
