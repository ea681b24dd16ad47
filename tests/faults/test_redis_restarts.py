"""R1: the server is killed under load and comes back with its append-only file, again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from faults.arena import KINDS, Arena
from faults.ends import assert_sound, ended
from faults.weather import ACCOUNTABLE, EVERYSEC_LOSS_S, Producer, Restart, Starts
from harness.checker import check
from harness.eventually import eventually
from harness.seeds import chaos_size, variation
from harness.server import Server

if TYPE_CHECKING:
    from harness.journal import Event, Journal
    from harness.processes import Processes

#: An ack that `everysec` lost leaves a lease that nobody renews: its message runs again when that is over.
OPTIONS = ["--lease", "10", "--n-threads", "4", "--n-processes", "2", "--concurrency", "20"]

#: G19: every service works again this long after Redis does, seconds.
HEALED_S = 10.0


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("appendfsync", ["always", variation("everysec")])
def test_a_server_that_is_killed_again_and_again_loses_nothing(
    processes: Processes, journal: Journal, seed: int, appendfsync: str
) -> None:
    total, deaths = chaos_size(1_500, 50_000), chaos_size(5, 100)
    with Server(appendfsync=appendfsync) as server:
        arena = Arena(processes, journal, server, seed)
        pool = arena.pool("worker", *OPTIONS)
        producer = Producer(arena, ways=ACCOUNTABLE).start()
        restarts = [_kill(arena, total // deaths) for _ in range(deaths)]
        eventually(lambda: producer.submitted >= total, 120, what="everything is enqueued", interval=0.05)
        producer.stop()
        arena.drained(60)
        events = arena.events()
        starts = Starts.of(events)
        healed = max(one.healed_s for one in restarts)

        assert_sound(arena.broker)
        verdict = check(events, ended(arena.broker), seed=seed)
        print(f"R1 {appendfsync}: {verdict} restarts={deaths} healed<={healed:.2f}s", flush=True)
        if appendfsync == "always":
            verdict.assert_ok(max_duplicates=0)
        else:
            assert not verdict.unexpected
            assert not verdict.done_without_end
            _assert_within_the_window(events, verdict.lost, starts, restarts)
        assert healed < HEALED_S
        assert pool.terminate() == 0
        arena.close()


def _kill(arena: Arena, more: int) -> Restart:
    """Kill the server once so much more was done, and start it again."""
    wanted = arena.tail.count("END") + arena.dice.randrange(more // 2, more)
    eventually(lambda: arena.tail.count("END") >= wanted, 60, what=lambda: f"progress\n{arena.logs()}", interval=0.01)
    killed = time.monotonic_ns()
    arena.server.kill()
    arena.server.start()
    ready = time.monotonic_ns()
    marks = [("START", arena.one(f"in_{kind}").uuid) for kind in KINDS]
    eventually(lambda: all(arena.tail.look()[mark] for mark in marks), 30, what=arena.logs, interval=0.01)
    return Restart(killed, ready, (time.monotonic_ns() - ready) / 1e9)


def _assert_within_the_window(
    events: list[Event], lost: tuple[str, ...], starts: Starts, restarts: list[Restart]
) -> None:
    """What is gone was accepted just before a kill; what ran again had run just before one."""
    window = int(EVERYSEC_LOSS_S * 1e9)
    accepted = {event.uuid: event.t for event in events if event.kind == "OK" and event.op == "submit"}
    for uuid in lost:
        assert any(one.killed - window <= accepted[uuid] <= one.ready for one in restarts), uuid
    last = {event.uuid: event.t for event in events if event.kind == "END"}
    for uuid, times in starts.repeated().items():
        assert any(one.killed - window <= last[uuid] and one.killed < times[-1] for one in restarts), uuid
