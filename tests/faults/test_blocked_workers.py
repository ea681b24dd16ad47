"""C5: tasks hold the GIL, or block the loop, for longer than a lease; their workers live, so nobody else runs them."""

from __future__ import annotations

import pytest

from faults.arena import KINDS, Arena
from harness.seeds import chaos_size

LEASE_S = 3
OPTIONS = ["--lease", str(LEASE_S), "--n-threads", "2", "--n-processes", "2", "--concurrency", "2"]
#: The loop is blocked by a call that lets other threads run, too.
WAYS = [(f"in_{kind}", "hold") for kind in KINDS] + [("in_loop", "sleep")]


@pytest.mark.timeout(3600)
def test_who_blocks_its_process_keeps_its_lease(arena: Arena) -> None:
    rounds = chaos_size(1, 13)
    pools = [arena.pool("worker", *OPTIONS, wait=False) for _ in range(2)]
    for pool in pools:
        pool.wait_for_line("Worker pool online.", 30)
    for _ in range(rounds):
        blocking = [arena.make(task, how, 1.8 * LEASE_S) for task, how in WAYS]
        quick = [arena.make(f"in_{kind}") for kind in KINDS for _ in range(10)]
        arena.submit(*blocking, *quick)
        arena.drained(30)

    verdict = arena.verdict()
    print(f"C5: {verdict} rounds={rounds} blocked={len(WAYS) * rounds}", flush=True)
    assert verdict.submitted == verdict.ended
    assert verdict.duplicated == 0
    assert {event.fields["deliveries"] for event in arena.events(kind="START")} == {1}
    for pool in pools:
        assert pool.terminate() == 0
