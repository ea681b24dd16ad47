"""What became of a message, step by step, and what happened in a queue, minute by minute."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message
from alsek.core.consumer import Consumer
from alsek.core.envelope import pack_error
from alsek.core.failure import parse_exception
from alsek.core.settlement import Failed, Released, Retried, Succeeded
from alsek.exceptions import ValidationError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.counts import Counts
from alsek.storage.backends.redis.notes import note_of
from alsek.storage.backends.redis.registry import Registry
from alsek.storage.keys import Keys
from alsek.tools.fsck import audit
from alsek.tools.inspector import Inspector
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis


@pytest.fixture(params=[1, 4])
def broker(redis_url: str, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker of the test alone; everything holds for several partitions, too."""
    broker = Broker(RedisBackend(redis_url, namespace="shop", partitions=request.param))
    yield broker
    assert not audit(broker.redis).findings
    broker.redis.close()


@pytest.fixture
def inspector(broker: Broker) -> Iterator[Inspector]:
    """Looks at it."""
    inspector = Inspector(broker)
    yield inspector
    inspector.close()


def submit(broker: Broker, **fields: Any) -> Message:
    message = Message("send", queue="mail", **fields)
    broker.submit(message)
    return message


def claim(broker: Broker, worker: str = "cafe") -> list[Message]:
    """Everything that can be had now."""
    consumer = Consumer(broker, ["mail"], worker_id=worker)
    claimed: list[Message] = []
    for _ in range(2 * broker.keys.partitions):
        claimed += consumer.exchange((), 1_000).messages
    consumer.close()
    return claimed


def error(text: str = "no\nroute") -> bytes:
    return pack_error(parse_exception(ConnectionError(text)))


def retry(broker: Broker, message: Message) -> None:
    broker.settle([Retried(message, 0, error(), broker.pack(message.clone().increment_retries()))])


def steps(inspector: Inspector, message: Message) -> list[tuple[str, str, str]]:
    return [(step.what, step.worker, step.note) for step in inspector.message(message.uuid).timeline]


# -- timelines -------------------------------------------------------------------------------------------------------


def test_a_message_that_waits_was_submitted(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)

    (step,) = inspector.message(message.uuid).timeline

    assert (step.what, step.at, step.duration_ms) == ("submitted", message.created_at, None)


def test_a_message_that_runs_says_where_and_how_long(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)
    before = inspector.now_ms()
    claim(broker)
    Registry(broker.redis).beat("cafe", 1_000, b"{}", b'{"host":"web1"}')

    info = inspector.message(message.uuid)

    running = info.timeline[-1]
    assert (running.what, running.worker, running.host) == ("running", "cafe", "web1")
    assert before <= running.at <= inspector.now_ms()
    assert info.claimed_at == running.at
    assert running.duration_ms is not None
    assert 0 <= running.duration_ms < 60_000


def test_what_went_well_is_known_for_a_while(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)
    held = claim(broker)
    eventually(lambda: inspector.now_ms() > (inspector.message(message.uuid).claimed_at or 0) + 5, what="some ms")
    broker.settle([Succeeded(held[0])])

    info = inspector.message(message.uuid)

    (step,) = info.timeline
    assert (step.what, step.worker, info.reason) == ("succeeded", "cafe", "")
    assert step.duration_ms is not None
    assert 5 <= step.duration_ms < 60_000
    assert info.ended_at == step.at + step.duration_ms


def test_each_attempt_is_told_with_its_error(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)
    retry(broker, claim(broker, "one")[0])
    broker.settle([Released(claim(broker, "two")[0], counts=True)])
    broker.settle([Released(claim(broker, "three")[0])])  # given back unharmed: no attempt
    broker.settle([Failed(claim(broker, "four")[0], "failed", error("gone"))])

    assert steps(inspector, message) == [
        ("submitted", "", ""),
        ("retried", "one", "ConnectionError: no route"),
        ("crashed", "two", "CrashLoopError: its workers kept dying while they ran it"),
        ("failed", "four", "ConnectionError: gone"),
        ("dead", "", "failed"),
    ]
    moments = [step.at for step in inspector.message(message.uuid).timeline]
    assert moments == sorted(moments)


def test_a_replay_goes_on_with_the_history(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)
    broker.settle([Failed(claim(broker)[0], "rejected", error())])
    inspector.replay(message.uuid)

    assert [what for what, _, _ in steps(inspector, message)] == ["submitted", "failed", "replayed"]


def test_revoked_snoozed_and_lapsed_attempts_are_told(redis_url: str) -> None:
    broker = Broker(RedisBackend(redis_url, namespace="shop"), lease_ms=50)
    inspector = Inspector(broker)
    message = submit(broker)
    broker.settle([Released(claim(broker, "one")[0], delay_ms=1)])
    eventually(lambda: claim(broker, "two"), what="it is due")
    eventually(lambda: claim(broker, "three"), what="the lease is over")
    inspector.revoke(message.uuid)

    assert steps(inspector, message) == [
        ("submitted", "", ""), ("postponed", "one", ""), ("lapsed", "two", ""), ("revoked", "three", ""),
        ("dead", "", "revoked"),
    ]  # fmt: skip
    inspector.close()


def test_the_last_ten_attempts_are_kept(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)
    for n in range(13):
        retry(broker, claim(broker, f"w{n}")[0])

    told = [worker for what, worker, _ in steps(inspector, message) if what == "retried"]

    assert told == [f"w{n}" for n in range(3, 13)]


def test_a_note_is_one_short_line() -> None:
    note = note_of(pack_error(parse_exception(ValueError("a\n  b " + "x" * 500))))

    assert note.startswith("ValueError: a b xxx")
    assert len(note) == 200
    assert note_of(b"") == note_of(b"no json") == ""


# -- counts ----------------------------------------------------------------------------------------------------------


def test_what_happens_is_counted(broker: Broker, inspector: Inspector) -> None:
    for _ in range(9):
        submit(broker)
    broker.submit_many([Message("send", queue="mail", priority=n % 2) for n in range(6)])
    submit(broker, delay=60_000)
    held = claim(broker)
    broker.settle([Succeeded(message) for message in held[:8]])
    broker.settle([Retried(message, 60_000, error()) for message in held[8:10]])
    broker.settle([Failed(held[10], "failed", error()), Failed(held[11], "rejected", error())])
    inspector.revoke(held[12].uuid)

    minutes = inspector.throughput("mail", 3)

    total = {
        name: sum(getattr(minute, name) for minute in minutes)
        for name in ("submitted", "claimed", "succeeded", "retried", "failed")
    }
    assert total == {"submitted": 16, "claimed": 15, "succeeded": 8, "retried": 2, "failed": 2}
    dead: dict[str, int] = {}
    for minute in minutes:
        dead |= minute.dead
    assert dead == {"failed": 1, "rejected": 1, "revoked": 1}
    busy = [minute for minute in minutes if minute.claimed]
    assert all(minute.wait_ms is not None and 0 <= minute.wait_ms < 60_000 for minute in busy)
    assert all(minute.held_ms is None or 0 <= minute.held_ms < 60_000 for minute in minutes)
    assert [minute.at % 60_000 for minute in minutes] == [0, 0, 0]
    assert [minute.at for minute in minutes] == sorted(minute.at for minute in minutes)


def test_many_queues_are_told_of_at_once(broker: Broker, inspector: Inspector) -> None:
    submit(broker)
    broker.settle([Succeeded(message) for message in claim(broker)])

    def by_minute(*queues: str) -> list[dict[int, int]]:
        return [
            {minute.at: minute.succeeded for minute in minutes if minute.succeeded}
            for minutes in inspector.throughput_of(queues)
        ]

    before = inspector.now_ms() - 60_000
    assert inspector.throughput_of([]) == []
    nothing, mail, none = by_minute("other", "mail", "another")
    assert (nothing, none, sum(mail.values())) == ({}, {}, 1)
    assert all(at > before - 60_000 for at in mail)
    assert [len(minutes) for minutes in inspector.throughput_of(["mail", "other"], 7)] == [7, 7]


def test_waits_do_not_depend_on_priorities_or_aging(redis_url: str) -> None:
    broker = Broker(RedisBackend(redis_url, namespace="shop"), aging_ms=5_000)
    inspector = Inspector(broker)
    for priority in (0, 3, 4_000):
        submit(broker, priority=priority)
    eventually(lambda: inspector.queue("mail").waiting_ms >= 0, what="a look")
    assert len(claim(broker)) == 3

    waits = [minute.wait_ms for minute in inspector.throughput("mail", 2) if minute.wait_ms is not None]

    assert waits
    assert max(waits) < 60_000
    inspector.close()


def test_the_pace_of_a_queue_tells_when_it_will_be_drained(broker: Broker, inspector: Inspector) -> None:
    broker.submit_many([Message("send", queue="mail") for _ in range(40)])
    held = claim(broker)
    broker.settle([Succeeded(message) for message in held])
    broker.submit_many([Message("send", queue="mail") for _ in range(10)])

    queue = inspector.queue("mail")

    assert queue.submitted_per_minute == pytest.approx(queue.finished_per_minute * 50 / 40, rel=0.01)
    assert queue.drain_ms == pytest.approx(10 / queue.finished_per_minute * 60_000, rel=0.01)


def test_a_quiet_queue_has_no_pace(broker: Broker, inspector: Inspector) -> None:
    submit(broker, delay=60_000)

    queue = inspector.queue("mail")

    assert (queue.finished_per_minute, queue.drain_ms) == (0.0, 0)
    submit(broker)
    assert inspector.queue("mail").drain_ms is None
    assert all(minute.claimed == 0 for minute in inspector.throughput("mail", 360))


@pytest.mark.parametrize("minutes", [0, 361])
def test_counts_are_kept_for_six_hours(minutes: int, inspector: Inspector) -> None:
    with pytest.raises(ValidationError, match=f"minutes has to be 1 to 360: {minutes}"):
        inspector.throughput("mail", minutes)


def test_counts_vanish_by_themselves(broker: Broker, redis_client: redis.Redis) -> None:
    for message in (submit(broker), submit(broker, priority=3)):
        assert message
    broker.settle([Succeeded(message) for message in claim(broker)])

    keys = list(redis_client.scan_iter("{shop:*}:n:*"))

    assert keys
    assert all(0 < redis_client.pttl(key) <= 22_500_000 for key in keys)


def test_a_strange_key_in_the_place_of_counts_costs_no_message(
    broker: Broker, inspector: Inspector, redis_client: redis.Redis
) -> None:
    quarter = inspector.now_ms() // 900_000
    for partition in range(broker.keys.partitions):
        for one in (quarter, quarter + 1):
            redis_client.set(broker.keys.counts("mail", partition, one), "strange", ex=60)

    message = submit(broker)
    broker.settle([Succeeded(one) for one in claim(broker)])

    assert inspector.message(message.uuid).state == "succeeded"
    assert inspector.queue("mail").ready == 0


def test_minutes_are_read_from_the_quarters_that_hold_them() -> None:
    counts = Counts(Keys("shop", 2))
    now = (4 * 15 + 1) * 60_000 + 5  # the second minute of the fifth quarter

    commands = counts.of_minutes("mail", now, 3)
    answers = [[b"14s", b"2"], [b"0s", b"3", b"1k", b"1"], [b"14s", b"5", b"13s", b"9"], []]
    minutes = counts.read_minutes(answers, now, 3)

    keys = [re.sub(r".*\}:", "", name) for _, name in commands]
    assert keys == ["n:mail:3", "n:mail:4", "n:mail:3", "n:mail:4"]
    assert minutes == [(59 * 60_000, {"s": 7}), (60 * 60_000, {"s": 3}), (61 * 60_000, {"k": 1})]


def test_the_pace_is_told_over_the_time_since_the_first_sign_of_life() -> None:
    counts = Counts(Keys("shop", 1))
    now = (4 * 15 + 1) * 60_000 + 30_000

    commands = counts.of_pace("mail", now, 5)
    quiet, busy = [None] * 9, [None] * 3
    pace = counts.read_pace(iter([[*quiet, b"10", b"4", b"2"], [*busy, b"5", None, None]]), now, 5)

    assert [len(command) - 2 for command in commands] == [12, 6]
    # Two whole minutes and a half.
    assert pace == (15 / 2.5, 6 / 2.5)
