"""Deadlines and revocations of work that runs, in all kinds at once: nothing waits for a lease to lapse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek.storage.backends.redis.scripts import Code
from alsek.storage.result import ResultStore
from faults.arena import KINDS, Arena
from faults.ends import ended
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from alsek.core.message import Message

#: Far longer than any test: what is not settled by its worker stays open, and shows.
LEASE_S = 300
OPTIONS = ["--lease", str(LEASE_S), "--n-threads", "4", "--n-processes", "3", "--concurrency", "10"]
WAYS = {
    "sure_thread": ("nap", "cling", "sleep"),
    "calm_thread": ("nap",),
    "sure_process": ("nap", "cling", "hold"),
    "sure_loop": ("await",),
}
#: In small steps, so that an interruption comes through at once.
STEPWISE = {"thread": "nap", "process": "nap", "loop": "await"}
TIMEOUT_MS = 400

#: From the deadline to the next attempt: interruption, grace, settlement, backoff and a busy machine.
SETTLED_S = 1.5


@pytest.mark.timeout(3600)
def test_work_is_settled_at_its_deadline_whatever_it_does(arena: Arena) -> None:
    rounds = chaos_size(1, 20)
    pool = arena.pool("worker", *OPTIONS)
    messages: list[Message] = []
    for _ in range(rounds):
        late = [arena.make(task, how, 2.5, timeout=TIMEOUT_MS) for task, ways in WAYS.items() for how in ways]
        arena.submit(*late)
        arena.drained(30)
        messages += late

    verdict = arena.verdict()
    pauses = {f"{m.task_name} {m.kwargs['how']}": _pause(arena, m) for m in messages}
    print(f"limits: {verdict} after the deadline: {pauses}", flush=True)
    assert verdict.submitted == verdict.ended == len(messages)
    assert verdict.duplicated == len(messages)  # the second attempts
    assert max(pauses.values()) < SETTLED_S
    store = ResultStore(arena.broker.backend)
    for message in messages:
        first, second = arena.events(message, "START")
        assert (first.fields["retries"], second.fields["retries"]) == (0, 1)
        assert store.get(message) == second.token
        if message.mechanism == "thread" or message.kwargs["how"] in ("cling", "hold"):
            assert first.pid != second.pid
    assert pool.terminate() == 0


@pytest.mark.timeout(3600)
def test_work_that_ends_just_at_its_deadline_is_settled_once(arena: Arena) -> None:
    each = chaos_size(15, 300)
    pool = arena.pool("worker", *OPTIONS)
    messages = [
        arena.make(f"in_{kind}", STEPWISE[kind], arena.dice.uniform(0.09, 0.11), times=9, timeout=100)
        for kind in KINDS
        for _ in range(each)
    ]

    arena.submit(*messages)
    arena.drained(30 + each)

    verdict = arena.verdict(expect_end=False)
    print(f"at the deadline: {verdict}", flush=True)
    assert verdict.submitted == verdict.ended == len(messages)
    assert set(ended(arena.broker).values()) <= {"succeeded", "failed"}
    for message in messages:
        retries = [event.fields["retries"] for event in arena.events(message, "START")]
        assert retries == list(range(len(retries)))
    assert pool.terminate() == 0


@pytest.mark.timeout(3600)
def test_revoked_work_ends_revoked_or_done(arena: Arena) -> None:
    each = chaos_size(20, 500)
    pool = arena.pool("worker", *OPTIONS)
    messages = [
        arena.make(f"{form}_{kind}", STEPWISE[kind], arena.dice.uniform(0.0, 0.1))
        for kind in KINDS
        for form in ("in", "sure")
        for _ in range(each // 2)
    ]
    arena.dice.shuffle(messages)
    codes: dict[str, Code] = {}
    for start in range(0, len(messages), 10):
        batch = messages[start : start + 10]
        arena.submit(*batch)
        arena.wait(arena.dice.choice(batch), "START")
        for message in arena.dice.sample(batch, 7):
            codes[message.uuid] = arena.broker.revoke(message)

    arena.drained(20)

    verdict = arena.verdict(expect_end=False)
    ends = ended(arena.broker)
    print(f"revoked: {verdict} {sum(code.accepted for code in codes.values())} of {len(codes)} in time", flush=True)
    assert verdict.submitted == verdict.ended == len(messages)
    assert verdict.duplicated == 0
    for message in messages:
        code = codes.get(message.uuid, Code.MISSING)
        assert ends[message.uuid] == ("revoked" if code.accepted else "succeeded"), (code, arena.events(message))
    after = [arena.make(f"in_{kind}") for kind in KINDS for _ in range(4)]
    arena.submit(*after)
    arena.drained(10)
    assert pool.terminate() == 0


def test_what_user_code_puts_into_its_message_does_not_keep_it_from_being_settled(arena: Arena) -> None:
    pool = arena.pool("worker", *OPTIONS)
    messages = [
        arena.make(f"{form}_{kind}", "spoil", times=times)
        for kind in KINDS
        for form in ("in", "sure")
        for times in (1, 9)
    ]

    arena.submit(*messages)
    arena.drained(20)

    verdict = arena.verdict()
    ends = ended(arena.broker)
    print(f"spoilt: {verdict}", flush=True)
    assert verdict.submitted == verdict.ended == len(messages)
    assert verdict.duplicated == 0
    for message in messages:
        assert ends[message.uuid] == ("succeeded" if message.kwargs["times"] == 1 else "failed")
    assert pool.terminate() == 0


def _pause(arena: Arena, message: Message) -> float:
    """From the deadline of the first attempt to the next, seconds."""
    starts = arena.events(message, "START")
    assert len(starts) == 2, f"{message.kwargs}: {starts}\n{arena.logs()}"
    return round((starts[1].t - starts[0].t) / 1e9 - TIMEOUT_MS / 1000, 2)
