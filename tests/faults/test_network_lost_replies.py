"""N1: replies get lost on the way back, so that nobody knows what was done.

Every call is repeated, and nothing happens twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.weather import Producer, pool_at
from harness.proxy import Proxy
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from faults.arena import Arena

OPTIONS = ["--n-threads", "4", "--n-processes", "2", "--concurrency", "20"]

#: Of a hundred replies.
LOST = 0.02


@pytest.mark.timeout(3600)
def test_lost_replies_lose_nothing_and_repeat_nothing(arena: Arena) -> None:
    total = chaos_size(3_000, 60_000)
    with (
        Proxy(arena.server.port, record=False) as to_producers,
        Proxy(arena.server.port, record=False) as to_workers,
    ):
        pool = pool_at(arena, to_workers.url, "worker", *OPTIONS)
        to_producers.drop_replies(LOST, arena.seed)
        to_workers.drop_replies(LOST, arena.seed + 1)
        producers = [
            Producer(arena, to_producers.url, number=number, total=total // 3, revokes=True).start()
            for number in range(3)
        ]
        for producer in producers:
            producer.join(300)
        arena.drained(120)
        verdict = arena.verdict()
        late = _started_after_revocation(arena)
        revoked = sum(producer.revoked for producer in producers)
        commands = to_producers.count + to_workers.count
        dropped = len(to_producers.fired) + len(to_workers.fired)
        to_workers.heal()

        print(
            f"N1: {verdict} revoked={revoked} revoked-started={len(late)} commands={commands} dropped={dropped}",
            flush=True,
        )
        assert verdict.submitted == verdict.ended == sum(producer.submitted for producer in producers)
        assert not late
        assert dropped > commands * LOST / 2
        verdict.assert_ok(max_duplicates=0)
        assert pool.terminate() == 0


def _started_after_revocation(arena: Arena) -> list[str]:
    """What was started although its producer had been told that it never would be (G15)."""
    revoked: dict[str, int] = {}
    late = []
    for event in arena.events():
        if event.op == "revoked":
            revoked[event.uuid] = event.t
        elif event.kind == "START" and event.uuid in revoked:
            late.append(event.uuid)
    return late
