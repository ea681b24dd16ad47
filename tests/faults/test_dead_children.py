"""C3: children of a process pool die of what they run: killed, crashed, exited, starved of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.seeds import chaos_size

if TYPE_CHECKING:
    from faults.arena import Arena

DEATHS = ("kill", "segfault", "exit", "abort", "starve")

#: From the last sign of life to the next start, on a busy machine of two cores.
RECOVERY_S = 2.0


@pytest.mark.timeout(3600)
def test_what_kills_its_child_runs_again_at_once(arena: Arena) -> None:
    total = chaos_size(150, 5_000)
    pool = arena.pool("process-pool", "--n-processes", "3")
    deadly = [arena.make("in_process", how) for how in DEATHS for _ in range(max(1, total // 100))]
    messages = deadly + [arena.make("in_process", seconds=0.01) for _ in range(total - len(deadly))]
    arena.dice.shuffle(messages)
    for start in range(0, total, 25):
        arena.submit(*messages[start : start + 25])
        arena.drained(20)

    verdict = arena.verdict()
    starts = {message.uuid: arena.events(message, "START") for message in deadly}
    slowest = max(runs[1].t - runs[0].t for runs in starts.values()) / 1e9
    cut_short = len(arena.events(kind="START")) - len(arena.events(kind="END"))
    print(f"C3: {verdict} deaths={len(deadly)} cut-short={cut_short} again<={slowest:.2f}s", flush=True)
    assert verdict.submitted == verdict.ended == total
    assert cut_short == len(deadly)
    # What had just ended in the same child, and whose ack was under way, may run again as well.
    assert verdict.duplicated <= 5 * len(deadly)
    assert slowest < RECOVERY_S
    for message in deadly:
        runs = starts[message.uuid]
        assert [event.fields["deliveries"] for event in runs] == list(range(1, len(runs) + 1))
        if message.kwargs["how"] != "starve":  # that one may live to see its MemoryError, an exception like others
            assert all(event.fields["retries"] == 0 for event in runs)
    assert pool.alive
    assert pool.terminate() == 0
