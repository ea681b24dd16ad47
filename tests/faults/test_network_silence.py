"""N2: the line goes silent without a word. Nobody waits longer than the socket's timeout, and all heals by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from faults.arena import KINDS
from faults.weather import ACCOUNTABLE, Producer, Starts, pool_at
from harness.eventually import eventually
from harness.proxy import Direction, Proxy
from harness.seeds import chaos_size, variation

if TYPE_CHECKING:
    from faults.arena import Arena
    from harness.journal import Event

OPTIONS = ["--n-threads", "4", "--n-processes", "2", "--concurrency", "20"]

#: Longer than the socket's timeout of 5 s, shorter than a lease.
SILENCE_S = 6.5
#: Patience of a producer's call and one timeout more, for what was sent last.
LONGEST_CALL_S = 5 + 5 + 1.0
HEALED_S = 10.0


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("direction", ["both", variation("to_client")])
def test_a_line_that_is_silent_for_a_while(arena: Arena, direction: Direction) -> None:
    with Proxy(arena.server.port, record=False) as proxy:
        pool = pool_at(arena, proxy.url, "worker", *OPTIONS)
        producer = Producer(arena, proxy.url, ways=ACCOUNTABLE).start()
        back = []
        for _ in range(chaos_size(1, 100)):
            wanted = arena.tail.count("END") + 200
            eventually(lambda: arena.tail.count("END") >= wanted, 30, what="progress", interval=0.01)  # noqa: B023
            proxy.blackhole(direction)
            time.sleep(SILENCE_S)
            proxy.heal()
            back.append(time.monotonic_ns())
        wanted = arena.tail.count("END") + 200
        eventually(lambda: arena.tail.count("END") >= wanted, 30, what="progress", interval=0.01)
        producer.stop()
        arena.drained(60)

        verdict = arena.verdict()
        events = arena.events()
        starts, longest = Starts.of(events), _longest_call_s(events)
        healed = max(starts.first_after(t, kind, producer.kind_of) for t in back for kind in KINDS)
        print(
            f"N2 {direction} {SILENCE_S} s: {verdict} unknown={sum(event.kind == 'UNKNOWN' for event in events)} "
            f"healed<={healed:.2f}s longest-call={longest:.2f}s",
            flush=True,
        )
        verdict.assert_ok(max_duplicates=0)
        assert healed < HEALED_S
        assert longest < LONGEST_CALL_S
        assert pool.terminate() == 0


def test_a_sleeper_whose_connection_was_forgotten_wakes_up(arena: Arena) -> None:
    """It waits for a push on a connection that nobody serves any more, and TCP itself sees nothing wrong with it.

    Where TCP does see it (a peer that vanished), its keepalive ends the connection within 8 s.
    """
    lease_s = 10  # a sleeper looks around after half of it
    with Proxy(arena.server.port, record=False) as proxy:
        pool = pool_at(arena, proxy.url, "worker", "--lease", str(lease_s), *OPTIONS)
        for kind in KINDS:
            arena.one(f"in_{kind}")
        arena.drained()
        healed = []
        for _ in range(chaos_size(1, 20)):
            proxy.forget_all()
            begun = time.monotonic()
            for message in [arena.one(f"in_{kind}") for kind in KINDS]:
                arena.wait(message, "END", timeout=2 * HEALED_S)
            healed.append(time.monotonic() - begun)
        arena.drained()

        verdict = arena.verdict()
        print(f"N2 forgotten, lease {lease_s} s: {verdict} healed<={max(healed):.2f}s", flush=True)
        verdict.assert_ok(max_duplicates=0)
        assert max(healed) < HEALED_S
        assert pool.terminate() == 0


def _longest_call_s(events: list[Event]) -> float:
    """From a CALL to its answer, whatever that was."""
    called: dict[str, int] = {}
    longest = 0
    for event in events:
        if event.op == "submit" and event.kind == "CALL":
            called[event.uuid] = event.t
        elif event.op == "submit":
            longest = max(longest, event.t - called[event.uuid])
    return longest / 1e9
