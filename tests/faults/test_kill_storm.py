"""C2: random processes of two pools are killed, again and again, while they work."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from faults.arena import KINDS, Arena, fork_servers, workers
from faults.recovery import Kill, recoveries
from harness.eventually import eventually
from harness.procfs import descendants, running, send
from harness.seeds import chaos_size, variation

if TYPE_CHECKING:
    from alsek.core.message import Message
    from harness.processes import Process

LEASE_S = 2
#: Threads, processes and coroutines at a time of one pool.
SLOTS = 2 * 3 + 2 + 6
OPTIONS = ["--lease", str(LEASE_S), "--n-threads", "3", "--n-processes", "2", "--concurrency", "6"]
#: What is killed, in these shares.
BLOWS = ("supervisor", "child", "fork server", "child", "child", "child")
#: A busy machine of two cores starts late what is ready.
SLACK_S = 3.5
#: What ended is settled in gathered writes: by so much a settlement may lag behind.
LAST_MOMENT_S = 0.5


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("partitions", [4, variation(1)])
def test_a_storm_of_kills_loses_nothing(arena: Arena, partitions: int) -> None:
    arena.spread(partitions)
    total, blows = chaos_size(300, 10_000), chaos_size(6, 150)
    pools = [arena.pool("worker", *OPTIONS, wait=False) for _ in range(2)]
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)
    plan = [BLOWS[number % len(BLOWS)] for number in range(blows)]
    arena.dice.shuffle(plan)
    kills: list[Kill] = []
    submitted = 0
    while submitted < total or len(kills) < blows:
        if submitted < total and arena.open().total() < 3 * SLOTS:
            arena.submit(*(_any(arena) for _ in range(20)))
            submitted += 20
        if arena.tail.count("END") >= total * (len(kills) + 1) / (blows + 1) and len(kills) < blows:
            kills.append(_strike(arena, pools, plan[len(kills)]))
        if submitted >= total and not arena.open().total():
            break

    arena.drained(60)

    verdict = arena.verdict()
    recovered = recoveries(arena.events(), kills)
    slowest = {what: max((one.seconds for one in recovered if one.kill.what == what), default=0) for what in BLOWS}
    print(
        f"C2: {verdict} kills={len(kills)} again={len(recovered)} "
        + " ".join(
            f"{what.replace(' ', '-')}:{sum(kill.what == what for kill in kills)}<={seconds:.2f}s"
            for what, seconds in slowest.items()
        ),
        flush=True,
    )
    assert verdict.submitted == verdict.ended == total
    assert len(kills) == blows
    assert verdict.duplicated <= len(kills) * SLOTS
    assert slowest["child"] < SLACK_S
    assert slowest["fork server"] < SLACK_S + 1
    assert slowest["supervisor"] < LEASE_S + SLACK_S
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)
        assert pool.terminate() == 0


@pytest.mark.parametrize("turn", range(chaos_size(1, 12)))
def test_an_idle_neighbour_takes_over_as_soon_as_the_lease_is_over(arena: Arena, turn: int) -> None:
    """Nothing wakes it: it has to look by itself, in time."""
    kind = KINDS[(arena.seed + turn) % len(KINDS)]
    pools = [arena.pool("worker", *OPTIONS, wait=False) for _ in range(2)]
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)
    arena.asleep(pools)
    message = arena.one(f"in_{kind}", seconds=2.0)
    first = arena.wait(message, "START")
    [victim] = [pool for pool in pools if first.pid in {found.pid for found in workers(pool)}]

    kill = _kill_all(victim, "supervisor")

    arena.drained(LEASE_S + SLACK_S + 5)
    [recovery] = recoveries(arena.events(), [kill])
    verdict = arena.verdict()
    print(f"C2 idle neighbour: {verdict} {kind} again after {recovery.seconds:.2f} s")
    assert verdict.duplicated == 1
    assert recovery.seconds < LEASE_S + SLACK_S
    eventually(lambda: not victim.orphans(), 2, what="no child outlives its supervisor")


def _any(arena: Arena) -> Message:
    how = arena.dice.choice(["", "", "", "cpu", "fail"])
    task = f"{arena.dice.choice(['in', 'sure'])}_{arena.dice.choice(KINDS)}"
    return arena.make(task, how, arena.dice.uniform(0.005, 0.05 if how != "cpu" else 0.01))


def _strike(arena: Arena, pools: list[Process], what: str) -> Kill:
    """Kill a child, a fork server or a whole pool; a killed pool is started again."""
    number = arena.dice.randrange(len(pools))
    pool = pools[number]
    if what == "supervisor":
        # When nobody at all is alive for a lease, that reads as an outage, and recovery waits for those who come back.
        pools[1 - number].wait_for_line("Worker pool online.", 30)
        kill = _kill_all(pool, what)
        pools[number] = arena.pool("worker", *OPTIONS, wait=False)
        return kill
    children = [child.pid for child in workers(pool)]  # none while it starts
    victims = fork_servers(pool) if what == "fork server" else workers(pool)
    t = time.monotonic_ns()
    if not victims:
        return Kill(what, frozenset(), t)
    victim = arena.dice.choice(victims).pid
    send(victim, signal.SIGKILL)
    return Kill(what, frozenset(children if what == "fork server" else [victim]), t)


def _kill_all(pool: Process, what: str) -> Kill:
    pids = frozenset(found.pid for found in descendants(pool.pid))
    t = time.monotonic_ns()
    pool.kill()
    eventually(lambda: not any(map(running, pids)), 2, what="no child outlives its supervisor")
    return Kill(what, pids, t)


@pytest.mark.timeout(3600)
def test_a_kill_amid_short_tasks_repeats_only_the_last_moment(arena: Arena) -> None:
    """Many messages are in hand when tasks are short: those that ran again ended just before the blow, if at all."""
    blows = chaos_size(3, 60)
    pool = arena.pool("worker", *OPTIONS)
    kills: list[Kill] = []
    for _ in range(blows):
        wanted = arena.tail.count("END") + 300
        arena.submit(*(arena.make(f"in_{kind}") for kind in KINDS for _ in range(200)))
        eventually(lambda at=wanted: arena.tail.count("END") >= at, 20, what="progress", interval=0.001)
        busiest = max(workers(pool), key=lambda child: arena.tail.count_of(child.pid))
        kills.append(Kill("child", frozenset([busiest.pid]), time.monotonic_ns()))
        send(busiest.pid, signal.SIGKILL)
        arena.drained(20)

    verdict = arena.verdict()
    ends: dict[str, int] = {}
    for event in arena.events(kind="END"):
        ends.setdefault(event.uuid, event.t)
    again = [one for one in recoveries(arena.events(), kills) if one.uuid in ends]
    oldest = max(((one.kill.t - ends[one.uuid]) / 1e9 for one in again), default=0.0)
    print(f"C2 short: {verdict} kills={blows} ended-before-the-blow<={oldest:.3f}s", flush=True)
    assert verdict.submitted == verdict.ended == 600 * blows
    assert oldest < LAST_MOMENT_S
    assert pool.terminate() == 0
