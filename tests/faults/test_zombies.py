"""C4: a worker is stopped for twice its lease and wakes up believing that its work is still its own."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from alsek.core.message import Lease
from alsek.core.settlement import Failed, Released, Retried, Settlement, Succeeded
from alsek.storage.backends.redis.verbs import Held, StoredResult
from alsek.storage.result import ResultStore
from faults.arena import KINDS, Arena, workers
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from alsek.core.message import Message
    from harness.journal import Event
    from harness.processes import Process

LEASE_S = 2
#: Two slots of each kind.
OPTIONS = ["--lease", str(LEASE_S), "--n-threads", "2", "--n-processes", "2", "--concurrency", "2"]
#: How tasks wait: so that they are raised out of it, and so that they are not and end late.
WAYS = {"thread": ("nap", "cling"), "process": ("nap", "cling"), "loop": ("await", "await")}


@pytest.mark.timeout(3600)
def test_a_zombie_changes_nothing(arena: Arena) -> None:
    rounds = chaos_size(1, 67)
    pools = [arena.pool("worker", *OPTIONS, wait=False) for _ in range(2)]
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)
    taken: Counter[str] = Counter()
    refused = 0
    for _ in range(rounds):
        arena.asleep(pools)
        messages = [arena.make(f"sure_{kind}", how, 1.5) for kind in KINDS for how in WAYS[kind] for _ in range(2)]
        arena.submit(*messages)
        firsts = {message.uuid: arena.wait(message, "START") for message in messages}
        zombie = arena.dice.choice([pool for pool in pools if _taken(pool, firsts)])
        lost = [message for message in messages if firsts[message.uuid].pid in _taken(zombie, firsts)]
        taken.update(message.mechanism for message in lost)

        zombie.pause_tree()
        stopped = time.monotonic()
        for message in lost:
            arena.wait(message, "START", 2, timeout=LEASE_S + 10)
        refused += sum(_writes_are_refused(arena, message, firsts[message.uuid]) for message in lost)
        eventually(lambda at=stopped: time.monotonic() > at + 2 * LEASE_S, 2 * LEASE_S + 1, what="two leases passed")
        zombie.resume_tree()

        for message in lost:
            _zombie_is_done(arena, zombie, message, firsts[message.uuid])
        arena.drained(20)
        for message in messages:
            _outcome_is_the_last_claims(arena, message)

    verdict = arena.verdict()
    print(f"C4: {verdict} rounds={rounds} taken-over={dict(taken)} direct-writes-refused={refused}", flush=True)
    assert verdict.submitted == verdict.ended == 12 * rounds
    assert verdict.duplicated == taken.total()
    assert len(taken) == len(KINDS)
    assert not verdict.stale_writes_accepted
    for pool in pools:
        assert pool.terminate() == 0


def _taken(pool: Process, firsts: dict[str, Event]) -> set[int]:
    """Processes of a pool that run something."""
    return {found.pid for found in workers(pool)} & {event.pid for event in firsts.values()}


def _writes_are_refused(arena: Arena, message: Message, first: Event) -> int:
    """Ask for every write there is under the lost token, while the new holder runs; all are refused."""
    broker, token = arena.broker, first.token
    assert token is not None
    stale = message.clone()
    stale.lease = Lease(token, 1, 1, 0.0)
    renewal = broker.renew([Held(stale.queue, stale.uuid, token)], [stale.queue])
    writes: list[Settlement] = [
        Succeeded(stale, StoredResult(f"results:{stale.uuid}", '"late"', 60_000)),
        Retried(stale, 0, b""),
        Failed(stale, "failed", b""),
        Released(stale),
        Released(stale, counts=True),
    ]
    codes = [*renewal, *broker.settle(writes)]
    for verb, code in zip(("renew", "ack", "retry", "fail", "release", "release"), codes, strict=True):
        (arena.journal.ok if code.accepted else arena.journal.err)(verb, stale.uuid, token)
    assert not any(code.accepted for code in codes), codes
    return len(codes)


def _zombie_is_done(arena: Arena, zombie: Process, message: Message, first: Event) -> None:
    """It was raised out of its work, told to drop it, or refused when it came too late."""
    uuid = message.uuid

    def done() -> bool:
        late = f"{uuid}" in zombie.log and any(
            uuid in line and ("message.dropped" in line or "too late" in line or "lease is lost" in line)
            for line in zombie.log.splitlines()
        )
        ended = any(event.token == first.token for event in arena.events(message, "END"))
        return late or ended

    eventually(done, 10, what=lambda: f"{zombie.pid} let go of {uuid}\n{arena.logs()}", interval=0.05)


def _outcome_is_the_last_claims(arena: Arena, message: Message) -> None:
    """The result, and the confirmation, are those of the claim that came last."""
    last = arena.events(message, "START")[-1].token
    assert ResultStore(arena.broker.backend).get(message, timeout=5_000) == last

    def confirmed() -> set[str | None]:
        return {event.token for event in arena.events(message, "OK") if event.op == "ack"}

    assert eventually(confirmed, 5, what="the hook ran") == {last}
