"""C1: a client dies, or loses an answer, before and after each of its Redis commands.

Whatever the point, the state is that before the verb or that after it, never one between; a fresh client that repeats
the verb brings about exactly the state after it; a fresh worker then ends every message once.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.consumer import Consumer
from alsek.core.settlement import Succeeded
from alsek.exceptions import AlsekError
from faults import crash_scenarios as scenarios
from faults.compare import comparable, difference
from faults.ends import assert_sound, ended, states
from faults.tally import Tally
from harness.checker import check
from harness.crashpoint import CrashPoint, Variant, sweep
from harness.journal import Event, Journal, read_journal
from harness.seeds import chaos_size
from model.redis_dump import TimeMachine

if TYPE_CHECKING:
    from pathlib import Path

    from harness.server import Server

VARIANTS: tuple[Variant, ...] = (
    "kill_before",
    "kill_after_reply_dropped",
    "drop_reply_keep_client",
    "cut_before_keep_client",
)
#: Verbs that are several calls, and so may be found half done, by whole calls.
STEPWISE = {"submit_many", "settle_and_claim"}
#: A second client is another worker here: its claim is a claim of its own.
UNREPEATABLE = {"claim", "reap", "settle_and_claim"}


class Bench:
    """One verb under the sweep, and what is known of it."""

    def __init__(self, verb: str, server: Server, seed: int) -> None:
        self.verb = verb
        self.server = server
        self.client = server.client()
        self.broker = scenarios.broker_at(server.url)
        self.tag = self.broker.keys.tag(0)
        self.tally = Tally(f"C1 {verb}", seed)
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}

    def prepare(self) -> None:
        scenarios.fill(self.broker)
        if self.verb == "reap":
            self.client.hset(f"{self.tag}m:{scenarios.LEASED[-1]}", "d", self.broker.max_deliveries)
            self._pass_time(self.broker.lease_ms + 1)
        self.before = self._state()
        self.client.script_flush()  # so that the loading of scripts is under the sweep, too

    def check(self, point: CrashPoint) -> None:
        found = self._state()
        assert_sound(self.broker)
        if not point.k:
            self.after = found
            assert found != self.before or self.verb == "renew"
        self._compare(point, found)
        if self.verb not in UNREPEATABLE:
            self._repeat(point)
        self._recover(point)

    def _compare(self, point: CrashPoint, found: dict[str, Any]) -> None:
        if point.exit_code == 0:
            assert found == self.after, f"answered, but {difference(found, self.after)}"
        elif self.verb not in STEPWISE:
            assert found in (self.before, self.after), f"half done: {difference(found, self.after)}"

    def _repeat(self, point: CrashPoint) -> None:
        """Let a fresh client do it again, as somebody would who never got an answer."""
        folder = point.journal / "repeat"
        with contextlib.suppress(AlsekError, KeyError):
            scenarios.VERBS[self.verb](self.server.url, str(folder))
        shutil.rmtree(folder, ignore_errors=True)
        found = self._state()
        assert found == self.after, f"repeated, but {difference(found, self.after)}"
        assert_sound(self.broker)

    def _recover(self, point: CrashPoint) -> None:
        """Let all leases lapse and a fresh worker run what is there."""
        self._pass_time(self.broker.lease_ms + 10_000)
        journal = Journal(point.journal)
        consumer = Consumer(self.broker, [scenarios.QUEUE])
        done: list[Succeeded] = []
        while True:
            codes, messages = consumer.exchange(done, 500)
            assert all(code.accepted for code in codes), codes
            if not messages and not done:
                break
            for message in messages:
                assert message.lease is not None
                journal.start(message.uuid, message.lease.token)
                journal.end(message.uuid, message.lease.token)
            done = [Succeeded(message) for message in messages]
        consumer.close()
        assert_sound(self.broker)
        verdict = check([*self._history(), *read_journal(point.journal)], ended(self.broker), seed=self.tally.seed)
        self.tally.add(verdict)
        assert not [uuid for uuid, state in states(self.broker).items() if state in "rdl"]
        # What was leased to somebody who crashed may run once more; nothing else.
        verdict.assert_ok(max_duplicates=len(scenarios.LEASED))

    def _history(self) -> list[Event]:
        """What `fill` did."""
        known = (*scenarios.LEASED, *scenarios.DEAD, *scenarios.WAITING, scenarios.DELAYED, scenarios.OLD)
        calls = [Event(kind, uuid, 1, 0, None, "submit", {}) for kind in ("CALL", "OK") for uuid in known]
        token = scenarios.TOKEN
        runs = [Event(kind, uuid, 2, 0, token, "", {}) for kind in ("START", "END") for uuid in scenarios.LEASED]
        return [*calls, *runs]

    def _pass_time(self, ms: int) -> None:
        TimeMachine(self.client, self.tag).advance(ms, clock_too=False)

    def _state(self) -> dict[str, Any]:
        return comparable(self.client, self.tag)

    def close(self) -> None:
        self.client.close()
        self.broker.redis.close()


@pytest.mark.parametrize("verb", scenarios.VERBS)
def test_no_crash_point_leaves_a_message_between_two_states(
    verb: str, server: Server, seed: int, tmp_path: Path
) -> None:
    bench = Bench(verb, server, seed)

    report = sweep(
        f"{scenarios.__name__}:{verb}",
        server=server,
        directory=tmp_path / "runs",
        prepare=bench.prepare,
        check=bench.check,
        variants=VARIANTS,
        sample=chaos_size(6, 10_000),
        seed=seed,
    )

    print(bench.tally, f"commands={len(report.commands)} unreached={len(report.unreached)}", flush=True)
    bench.close()
    assert len(report.commands) >= 2  # the loading of the script, the verb
