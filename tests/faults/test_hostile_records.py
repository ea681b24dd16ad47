"""Z3, for workers: whatever stands in Redis, the good messages around it are run, and nothing stops the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alsek.tools.fsck import audit
from faults.arena import POOLS, QUEUES, Arena, workers
from faults.hostile_records import ANY, DEAD, DROPPED, LATER, RUNS, WAITS, Hostile, corpus, plant
from harness.eventually import eventually

if TYPE_CHECKING:
    from alsek.core.message import Message

OPTIONS = {
    "thread": ["--n-threads", "4", "--n-processes", "1"],
    "process": ["--n-processes", "2"],
    "loop": ["--concurrency", "10"],
}


@pytest.mark.parametrize("kind", QUEUES)
def test_no_record_stops_a_worker_or_its_queue(arena: Arena, kind: str) -> None:
    queue, client = QUEUES[kind], arena.server.client(decode_responses=False)
    hostile = corpus(queue, f"in_{kind}")
    arena.dice.shuffle(hostile)
    good: list[Message] = []
    for record in hostile:
        plant(client, arena.broker.keys, queue, record)
        if arena.dice.random() < 0.3:
            good.append(arena.one(f"in_{kind}", "none"))
    good += [arena.one(f"in_{kind}", "none") for _ in range(20)]

    pool = arena.pool(POOLS[kind], *OPTIONS[kind])
    born = {child.pid for child in workers(pool)}
    for message in good:
        arena.wait(message, "END", timeout=30)
    eventually(
        lambda: not [record for record in hostile if _problem(arena, client, queue, record)],
        20,
        what=lambda: (
            "\n".join(
                f"{record.name}: {problem}" for record in hostile if (problem := _problem(arena, client, queue, record))
            )
            + arena.logs()
        ),
        interval=0.2,
    )
    later = arena.one(f"in_{kind}", "none")
    arena.wait(later, "END")

    named = {finding.uuid for finding in audit(arena.broker.redis).findings}
    dropped = {record.uuid for record in hostile if record.fate == DROPPED and record.kind != "none"}
    fates = {fate: sum(record.fate == fate for record in hostile) for fate in (DEAD, RUNS, WAITS, DROPPED, LATER, ANY)}
    print(f"Z3 {kind}: good={len(good) + 1} all ended, records={len(hostile)} {fates} seed={arena.seed}", flush=True)
    assert dropped <= named
    assert {child.pid for child in workers(pool)} == born
    assert "child.died" not in pool.log
    assert pool.terminate() == 0
    client.close()


@pytest.mark.parametrize("kind", QUEUES)
def test_a_newer_record_is_given_back_before_anybody_sleeps(arena: Arena, kind: str) -> None:
    """Alone in its queue: nothing that comes after it makes the worker settle what it cannot read."""
    queue, client = QUEUES[kind], arena.server.client(decode_responses=False)
    pool = arena.pool(POOLS[kind], *OPTIONS[kind])
    arena.asleep([pool])
    newer = next(record for record in corpus(queue, f"in_{kind}") if record.fate == WAITS)

    plant(client, arena.broker.keys, queue, newer)
    client.rpush(arena.broker.keys.wake(queue, 0), b"1")

    keys = arena.broker.keys
    # An idle worker looks around after 15 s at the latest: that would be too late.
    eventually(lambda: client.zscore(keys.delayed(queue, 0), newer.uuid), 12, what=arena.logs)
    assert pool.terminate() == 0
    client.close()


def _problem(arena: Arena, client: Any, queue: str, record: Hostile) -> str:
    """How far a record is from what is to become of it; empty when it is there."""
    uuid = record.uuid if isinstance(record.uuid, bytes) else record.uuid.encode()
    tag = arena.broker.keys.tag(0).encode()
    name, places = tag + b"m:" + uuid, {}
    for letter in "rdlx":
        if client.zscore(tag + f"{letter}:{queue}".encode(), uuid) is not None:
            places[letter] = True
    where = "".join(places)
    kind = client.type(name)
    if kind == b"string" and record.kind == "hash":
        ended = client.get(name)
        return (
            "" if ended[:1] == b"S" and record.fate in (RUNS, ANY) and not where else f"ended as {ended!r} in {where}"
        )
    if record.fate == DROPPED:
        return f"stands in {where}" if where else ""
    state, reason, error, deliveries, packed = client.hmget(name, "s", "a", "e", "d", "b")
    if record.fate == ANY:
        # An id that cannot be named dies of its deliveries; until then it is in nobody's way.
        return "" if where in ("x", "l", "r") else f"{state!r} in {where}"
    if record.fate == LATER:
        return "" if where == "d" and client.hget(name, "n") == b"1" else f"{state!r} in {where}"
    if record.fate == WAITS:
        untouched = packed == record.fields["b"] and deliveries in (None, b"0") and state in (b"d", b"r")
        return (
            ""
            if untouched and where in ("d", "r") and client.hget(name, "f")
            else f"{state!r} in {where}, d={deliveries!r}"
        )
    if record.fate == DEAD and where == "x":
        right = reason == record.reason.encode() and record.text.encode() in (error or b"")
        return "" if right and error else f"dead of {reason!r}: {error!r:.200}"
    return f"{state!r} in {where!r}: {reason!r} {error!r:.200}"
