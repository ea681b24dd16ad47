"""C8: workers are told to stop, in every way there is, while they work."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from faults.arena import KINDS, Arena, workers
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from alsek.core.message import Message
    from harness.processes import Process

OPTIONS = ["--n-threads", "3", "--n-processes", "2", "--concurrency", "6"]
SLOTS = 2 * 3 + 2 + 6

#: For children told to stop at once: SIGTERM's second, and the pool's own end.
HURRY_S = 6.0


@pytest.mark.timeout(3600)
def test_a_rolling_restart_runs_everything_once(arena: Arena) -> None:
    """With time to drain nothing runs twice; the next worker is up before the last one goes."""
    restarts, total = chaos_size(3, 50), chaos_size(300, 20_000)
    pools = [arena.pool("worker", *OPTIONS) for _ in range(2)]
    submitted = done = 0
    while submitted < total or done < restarts:
        if submitted < total and arena.open().total() < 3 * SLOTS:
            arena.submit(*(_any(arena, 0.05) for _ in range(20)))
            submitted += 20
        if done < restarts and arena.tail.count("END") >= total * (done + 1) / (restarts + 1):
            pools.append(arena.pool("worker", *OPTIONS))
            _stop(pools.pop(0), arena.dice.choice([signal.SIGTERM, signal.SIGINT]))
            done += 1

    arena.drained(30)
    verdict = arena.verdict()
    print(f"C8 drained: {verdict} restarts={restarts}", flush=True)
    assert verdict.submitted == verdict.ended == total
    assert verdict.duplicated == 0
    assert {event.fields["deliveries"] - event.fields["retries"] for event in arena.events(kind="START")} == {1}
    for pool in pools:
        _stop(pool, signal.SIGTERM)


@pytest.mark.timeout(3600)
def test_work_that_gets_no_time_is_given_back_as_if_never_taken(arena: Arena) -> None:
    """No time to drain at all, or somebody hurries: it runs again, and neither a retry nor a delivery was spent."""
    restarts = chaos_size(3, 50)
    hasty = [*OPTIONS, "--drain-timeout", "0"]
    pools = [arena.pool("worker", *hasty, wait=False), arena.pool("worker", *OPTIONS, wait=False)]
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)
    stopped = 0
    for turn in range(restarts):
        messages = [_long(arena) for _ in range(2 * SLOTS)]
        began = arena.tail.count("START")
        arena.submit(*messages)
        eventually(
            lambda at=began: arena.tail.count("START") >= at + SLOTS // 2,
            20,
            what=lambda: f"work has begun\n{arena.logs()}",
        )
        options = [hasty, OPTIONS][turn % 2]
        pools.append(arena.pool("worker", *options, wait=False))
        _hurry(pools.pop(0), twice=options is OPTIONS, number=arena.dice.choice([signal.SIGTERM, signal.SIGINT]))
        stopped += 1
        arena.drained(60)

    verdict = arena.verdict()
    print(f"C8 hurried: {verdict} restarts={stopped}", flush=True)
    assert verdict.submitted == verdict.ended == 2 * SLOTS * restarts
    assert verdict.duplicated <= restarts * SLOTS
    spent = [event for event in arena.events(kind="START") if event.fields["deliveries"] > 1 or event.fields["retries"]]
    assert not spent, f"{spent[:5]}\n{arena.logs()}"
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)  # the last one may not own its signals yet
        _stop(pool, signal.SIGTERM)


def _any(arena: Arena, longest: float) -> Message:
    kind = arena.dice.choice(KINDS)
    how = arena.dice.choice(["", "", "cpu", "fail"])
    return arena.make(f"{arena.dice.choice(['in', 'sure'])}_{kind}", how, arena.dice.uniform(0.005, longest))


def _long(arena: Arena) -> Message:
    kind = arena.dice.choice(KINDS)
    how = {"thread": ["nap", "sleep"], "process": ["nap", "cpu"], "loop": ["await"]}[kind]
    return arena.make(f"in_{kind}", arena.dice.choice(how), arena.dice.uniform(0.1, 0.5))


def _stop(pool: Process, number: signal.Signals) -> None:
    pool.signal(number)
    assert pool.wait(30) == 0, pool.log
    eventually(lambda: not pool.orphans(), 2, what="no child is left")


def _hurry(pool: Process, *, twice: bool, number: signal.Signals) -> None:
    children = workers(pool)
    assert children
    pool.signal(number)
    if twice:
        pool.wait_for_line("shutting down")
        pool.signal(number)
    assert pool.wait(HURRY_S) == 0, pool.log
    eventually(lambda: not pool.orphans(), 2, what="no child is left")
