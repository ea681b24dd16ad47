"""G6: Redis is away for longer than a lease while work runs. Nobody starts it a second time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from faults.arena import KINDS, Arena
from harness.seeds import chaos_size, variation

if TYPE_CHECKING:
    from alsek.core.message import Message

LEASE_S = 2
OPTIONS = ["--lease", str(LEASE_S), "--n-threads", "4", "--n-processes", "2", "--concurrency", "20"]

#: Longer than any lease, and a little shorter than one: both ends of what a silence can hide.
OUTAGES_S = {"long": 2.5 * LEASE_S, "short": 0.85 * LEASE_S}


@pytest.mark.parametrize(
    ("how", "length"),
    [("killed", "short"), ("frozen", "long"), variation("killed", "long"), variation("frozen", "short")],
)
@pytest.mark.timeout(3600)
def test_an_outage_starts_nothing_twice(lasting_arena: Arena, how: str, length: str) -> None:
    arena = lasting_arena
    seconds = OUTAGES_S[length]
    pools = [arena.pool("worker", *OPTIONS, wait=False) for _ in range(2)]
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)
    submitted: list[Message] = []
    healed = []
    for _ in range(chaos_size(1, 20)):
        # Some end while Redis is away, some long after; some have not been started when it goes.
        running = [
            arena.one(f"in_{kind}", "" if kind == "loop" else "nap", spell)
            for kind in KINDS
            for spell in (seconds / 2, seconds + 1.5 * LEASE_S)
        ]
        waiting = [arena.one(f"in_{kind}", delay=500 + 300 * number) for kind in KINDS for number in range(5)]
        for message in running:
            arena.wait(message, "START")
        submitted += running + waiting

        if how == "frozen":
            with arena.server.paused():
                time.sleep(seconds)
        else:
            arena.server.kill()
            time.sleep(seconds)
            arena.server.start()
        back = time.monotonic()
        fresh = arena.one("in_thread")
        arena.wait(fresh, "START")
        healed.append(time.monotonic() - back)
        submitted.append(fresh)
        arena.drained(seconds + 10)

    verdict = arena.verdict()
    print(f"G6 {how} {seconds:.1f} s, lease {LEASE_S} s: {verdict} healed<={max(healed):.2f}s", flush=True)
    assert verdict.submitted == verdict.ended == len(submitted)
    verdict.assert_ok(max_duplicates=0)
    for pool in pools:
        assert pool.terminate() == 0
