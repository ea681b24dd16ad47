"""C6: messages that kill whatever runs them, and messages that nobody can read, among good ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek.defaults import DEFAULT_MAX_DELIVERIES
from faults.ends import ended
from harness.checker import longest_silence_s
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from faults.arena import Arena

DEATHS = ("kill", "segfault", "exit", "abort")

#: The others go on all the time, however busy the machine is.
SILENCE_S = 3.0


@pytest.mark.timeout(3600)
def test_poison_ends_among_the_dead_letters_and_nothing_else_does(arena: Arena) -> None:
    pills = [arena.make("in_process", DEATHS[number % len(DEATHS)], times=1_000) for number in range(chaos_size(4, 20))]
    garbage = [arena.make("in_process") for _ in range(chaos_size(4, 20))]
    good = [arena.make("in_process", seconds=0.01) for _ in range(chaos_size(200, 2_000))]
    messages = pills + good
    arena.dice.shuffle(messages)
    arena.submit(*garbage)
    for message in garbage:
        arena.broker.redis.conn.hset(arena.broker.keys.record(message.uuid), "b", b"\x01\xc1 not a message")
    pool = arena.pool("process-pool", "--n-processes", "3")

    arena.submit(*messages)
    arena.drained(60)

    poison = [pill.uuid for pill in pills]
    unreadable = {message.uuid for message in garbage}
    verdict = arena.verdict(poison=poison, damaged=unreadable)
    ends = ended(arena.broker)
    starts = [len(arena.events(pill, "START")) for pill in pills]
    silence = longest_silence_s(arena.events(), without=poison)
    print(
        f"C6: {verdict} pills={len(pills)} starts={sum(starts)} garbage={len(garbage)} silence<={silence:.2f}s",
        flush=True,
    )
    assert verdict.submitted == verdict.ended == len(messages) + len(garbage)
    assert {ends[uuid] for uuid in poison} == {"crash_loop"}
    assert set(starts) == {DEFAULT_MAX_DELIVERIES}
    assert {ends[uuid] for uuid in unreadable} == {"corrupt"}
    assert {ends[message.uuid] for message in good} == {"succeeded"}
    assert silence < SILENCE_S
    assert pool.alive
    assert pool.terminate() == 0
