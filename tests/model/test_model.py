"""The model judged by itself: what the specification promises, before any script is compared with it."""

from __future__ import annotations

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.verbs import Ack, Held, Interest, NewMessage, Policy, StoredResult
from harness.seeds import chaos_seed, chaos_size
from model.engine_under_test import CRASH_ERROR, EXPIRY_ERROR, REVOCATION_ERROR, STATUSES
from model.machine import LEASE_MS, QueueMachine, machine_settings
from model.queue_model import QueueModel

NOW = 1_700_000_000_000
QUEUE = Interest("q")


def new_model(**policy: int | None) -> QueueModel:
    chosen = Policy(**({"lease_ms": LEASE_MS, "dlq_ms": -1} | policy))  # type: ignore[arg-type]  # by keyword
    return QueueModel(chosen, STATUSES, CRASH_ERROR, EXPIRY_ERROR, REVOCATION_ERROR)


def submit(model: QueueModel, *uuids: str, now: int = NOW, **what: int) -> None:
    model.submit(now, "q", [NewMessage(uuid, "add", b"body", **what) for uuid in uuids])  # type: ignore[arg-type]  # by keyword


def claim(model: QueueModel, token: str, want: int = 10, now: int = NOW) -> list[str]:
    return [
        message.uuid for message in model.claim(now, [QUEUE], token, token.split("-", maxsplit=1)[0], want).messages
    ]


def lapse(model: QueueModel, until: int) -> None:
    """Others go on working: the clock of the partition never stands still."""
    clock = model.partition.meta["clock"]
    for now in [*range(clock, until, LEASE_MS // 3), until]:
        model.renew(now, [], [])


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
def test_no_history_loses_a_message_or_ends_it_twice() -> None:
    machine = seed(chaos_seed())(type("ModelAlone", (QueueMachine,), {}))

    run_state_machine_as_test(machine, settings=machine_settings(chaos_size(100, 5_000), chaos_size(30, 100)))


def test_lower_priorities_come_first_and_equals_in_order_of_arrival() -> None:
    model = new_model()
    submit(model, "late", now=NOW + 5)
    submit(model, "urgent-not", priority=3)
    submit(model, "early")

    assert claim(model, "w.0-1", now=NOW + 9) == ["early", "late", "urgent-not"]


def test_aging_lets_an_old_message_pass_a_more_urgent_new_one() -> None:
    model = new_model(aging_ms=1_000)
    submit(model, "old", priority=3)
    submit(model, "new", now=NOW + 3_001)

    assert claim(model, "w.0-1", now=NOW + 4_000) == ["old", "new"]


def test_a_delayed_message_queues_by_the_time_it_fell_due() -> None:
    model = new_model()
    submit(model, "delayed", delay_ms=1_000)

    hand = model.claim(NOW + 500, [Interest("other"), QUEUE], "w.0-1", "w.0", 1)
    submit(model, "later", now=NOW + 1_001)

    assert (hand.messages, hand.next_ms) == ([], 500)
    assert claim(model, "w.0-2", now=NOW + 2_000) == ["delayed", "later"]


def test_a_holder_may_settle_after_its_deadline_until_somebody_takes_the_message() -> None:
    model = new_model()
    submit(model, "m")
    claim(model, "w.0-1")

    assert model.ack(NOW + 10 * LEASE_MS, [Ack(Held("q", "m", "w.0-1"))]) == [Code.DONE]


def test_whoever_lost_its_lease_changes_nothing() -> None:
    model = new_model()
    submit(model, "m")
    claim(model, "w.0-1")
    lapse(model, NOW + LEASE_MS + 1)
    now = NOW + LEASE_MS + 2
    assert claim(model, "v.0-1", now=now) == ["m"]
    before = model.partition.dump()
    lost = Held("q", "m", "w.0-1")

    answers = [
        *model.ack(now, [Ack(lost, StoredResult("results:m", b"1", 1_000))]),
        *model.renew(now, ["q"], [lost]),
        *model.release(now, [lost]),
        model.retry(now, lost, 0, b"e"),
        model.fail(now, lost, "failed", b"e"),
        model.update(now, lost, b"b", 1, 1, b"e"),
    ]

    assert set(answers) == {Code.STALE}
    assert model.partition.dump() == before


def test_a_recovered_message_has_no_holder_even_before_the_next_claim() -> None:
    model = new_model()
    submit(model, "m", "n")
    claim(model, "w.0-1")
    lapse(model, NOW + LEASE_MS + 1)
    claim(model, "v.0-1", want=0, now=NOW + LEASE_MS + 2)

    assert model.retry(NOW + LEASE_MS + 3, Held("q", "m", "w.0-1"), 0, b"e") == Code.STALE


def test_a_message_that_keeps_killing_its_workers_dies_of_it() -> None:
    model = new_model(max_deliveries=2)
    submit(model, "m")
    claim(model, "w.0-1")
    lapse(model, NOW + LEASE_MS + 1)
    assert claim(model, "w.0-2", now=NOW + LEASE_MS + 2) == ["m"]
    lapse(model, NOW + 2 * LEASE_MS + 5)

    assert claim(model, "w.0-3", now=NOW + 2 * LEASE_MS + 6) == []
    assert model.partition.dump()["m:m"].value["a"] == "crash_loop"  # type: ignore[call-overload, index]  # a hash


def test_a_release_gives_the_delivery_back() -> None:
    model = new_model(max_deliveries=1)
    submit(model, "m")
    for turn in range(5):
        assert claim(model, f"w.0-{turn}") == ["m"]
        assert model.release(NOW, [Held("q", "m", f"w.0-{turn}")]) == [Code.DONE]


def test_after_an_outage_nobody_loses_a_lease_for_the_length_of_one() -> None:
    model = new_model()
    submit(model, "m")
    claim(model, "w.0-1")
    back = NOW + 60_000

    assert claim(model, "v.0-1", now=back) == []
    assert claim(model, "v.0-2", now=back + LEASE_MS // 2) == []
    assert claim(model, "v.0-3", now=back + LEASE_MS - 1) == []
    assert claim(model, "v.0-4", now=back + LEASE_MS) == ["m"]


def test_an_outage_a_little_shorter_than_a_lease_is_one_too() -> None:
    model = new_model()
    submit(model, "m")
    claim(model, "w.0-1")
    model.renew(NOW + LEASE_MS // 3, [], [])  # the last word of anybody, a third of a lease later
    back = NOW + LEASE_MS

    assert claim(model, "v.0-1", now=back) == []
    assert model.renew(back + 1, ["q"], [Held("q", "m", "w.0-1")]) == [Code.DONE]


def test_a_repeated_claim_brings_the_same_messages_and_no_others() -> None:
    model = new_model()
    submit(model, "m", "n", "o")
    model.claim(NOW, [QUEUE], "w.0-1", "w.0", 2)
    before = model.partition.dump()

    again = model.claim(NOW + 5, [QUEUE], "w.0-1", "w.0", 2, again=True)

    assert [message.uuid for message in again.messages] == ["m", "n"]
    assert model.partition.dump() == before


def test_a_claim_that_drops_rubbish_looks_again_at_once() -> None:
    model = new_model()
    submit(model, "gone", "m")
    del model.partition.records["gone"]

    hand = model.claim(NOW, [QUEUE], "w.0-1", "w.0", 1)

    assert (hand.messages, hand.next_ms) == ([], 0)
    assert claim(model, "w.0-2") == ["m"]


def test_a_revoked_message_tells_its_worker_and_its_worker_alone() -> None:
    model = new_model()
    submit(model, "m")
    claim(model, "w.0-1")

    assert model.revoke(NOW, "q", "m") == Code.INTERRUPTED

    assert ("alsek:worker:w", "revoke m") in model.published
    assert model.renew(NOW, ["q"], [Held("q", "m", "w.0-1")]) == [Code.REVOKED]


def test_a_callback_is_born_once() -> None:
    model = new_model()
    submit(model, "m")
    claim(model, "w.0-1")
    ack = Ack(Held("q", "m", "w.0-1"), None, ("q", NewMessage("child", "add", b"body")))

    assert model.ack(NOW, [ack]) == [Code.DONE]
    assert model.ack(NOW, [ack]) == [Code.REPEATED]
    assert claim(model, "w.0-2") == ["child"]


def test_only_what_is_over_vanishes_by_itself() -> None:
    model = new_model(dlq_ms=0)
    submit(model, "done", "failed", "waiting", kept_status_ms=500)
    claim(model, "w.0-1", want=2)
    model.ack(NOW, [Ack(Held("q", "done", "w.0-1"))])
    model.fail(NOW, Held("q", "failed", "w.0-1"), "failed", b"e")

    vanishing = {key for key, entry in model.partition.dump().items() if entry.has_ttl}

    assert vanishing == {"m:done", "m:failed", "status:q:add:done", "status:q:add:failed", "c:w.0"}
