"""C3: children of a process pool die of what they run: killed, crashed, exited, starved of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.arena import Arena
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from alsek.core.message import Message

DEATHS = ("kill", "segfault", "exit", "abort", "starve")

#: From the last sign of life to the next start, on a busy machine of two cores.
RECOVERY_S = 2.0


@pytest.mark.timeout(3600)
def test_what_kills_its_child_runs_again_at_once(arena: Arena) -> None:
    total = chaos_size(150, 5_000)
    pool = arena.pool("process-pool", "--n-processes", "3")
    deadly = [arena.make("in_process", how) for how in DEATHS for _ in range(max(1, total // 100))]
    messages = deadly + [arena.make("in_process", seconds=0.005) for _ in range(total - len(deadly))]
    arena.dice.shuffle(messages)
    for start in range(0, total, 25):
        arena.submit(*messages[start : start + 25])
        arena.drained(20)

    verdict = arena.verdict()
    slowest = max(_pause(arena, message) for message in deadly)
    print(f"C3: {verdict} deaths={len(deadly)} again<={slowest:.2f}s", flush=True)
    assert verdict.submitted == verdict.ended == total
    assert verdict.duplicated == len(deadly)
    assert slowest < RECOVERY_S
    for message in deadly:
        assert [event.fields["deliveries"] for event in arena.events(message, "START")] == [1, 2]
        if message.kwargs["how"] != "starve":  # that one may live to see its MemoryError, an exception like others
            assert [event.fields["retries"] for event in arena.events(message, "START")] == [0, 0]
    assert pool.alive
    assert pool.terminate() == 0


def _pause(arena: Arena, message: Message) -> float:
    first, second = arena.events(message, "START")
    return (second.t - first.t) / 1e9
