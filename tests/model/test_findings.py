"""What the comparison with the model once found in the scripts, each as a short story on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.verbs import Ack, Held, Interest, NewMessage, Policy
from model.engine_under_test import EngineUnderTest, scripts_under_test

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.server import Server

QUEUE = [Interest("q")]
MINE = Held("q", "1", "w.0-1")
ANYBODYS = Held("q", "1", "")


@pytest.fixture
def engine(model_server: Server) -> Iterator[EngineUnderTest]:
    engine = EngineUnderTest(model_server, scripts_under_test())
    engine.start(Policy(dlq_ms=100_000, max_deliveries=2))
    yield engine
    engine.close()


def submit(engine: EngineUnderTest, *uuids: str, delay_ms: int = 0) -> None:
    engine.submit("q", [NewMessage(uuid, "add", b"body", delay_ms=delay_ms) for uuid in uuids])


def claim(engine: EngineUnderTest, token: str = "w.0-1", want: int = 5, *, again: bool = False) -> list[str]:
    consumer = token.partition("-")[0]
    return [message.uuid for message in engine.claim(QUEUE, token, consumer, want, again=again).messages]


def lapse(engine: EngineUnderTest) -> None:
    """The lease of message 1 ends while other workers go on, and somebody looks."""
    engine.machine.advance(31_000, clock_too=False)
    claim(engine, "other.0-1", want=0)


@pytest.mark.parametrize("field", ["p", "n", "d", "f", "x"])
def test_a_number_that_cannot_be_read_stops_nobody(engine: EngineUnderTest, field: str) -> None:
    submit(engine, "1", "2", delay_ms=10)
    engine.client.hset(engine.keys.record("1"), field, "garbage")
    engine.machine.advance(20)

    assert claim(engine) == ["1", "2"]
    assert claim(engine, again=True) == ["1", "2"]


@pytest.mark.parametrize("field", ["s", "b", "T"])
def test_a_record_that_cannot_be_read_stops_nobody(engine: EngineUnderTest, field: str) -> None:
    submit(engine, "1", "2")
    engine.client.hdel(engine.keys.record("1"), field)

    assert claim(engine) == ["2"]


@pytest.mark.parametrize("field", ["b", "T"])
def test_a_repeated_claim_leaves_out_what_cannot_be_read_any_more(engine: EngineUnderTest, field: str) -> None:
    submit(engine, "1", "2")
    claim(engine)
    engine.client.hdel(engine.keys.record("1"), field)

    assert claim(engine, again=True) == ["2"]


def test_rubbish_in_front_does_not_put_a_worker_to_sleep(engine: EngineUnderTest) -> None:
    submit(engine, "1", "2")
    engine.client.delete(engine.keys.record("1"))

    hand = engine.claim(QUEUE, "w.0-1", "w.0", 1)

    assert (hand.messages, hand.next_ms) == ([], 0)


def test_retries_written_before_the_first_claim_are_handed_out(engine: EngineUnderTest) -> None:
    submit(engine, "1", "2")
    engine.update(ANYBODYS, b"body", 0, 2, b"error")
    engine.retry(Held("q", "2", ""), 0, b"error")

    hand = engine.claim(QUEUE, "w.0-1", "w.0", 2)

    assert [(message.retries, message.error) for message in hand.messages] == [(2, b"error"), (1, b"error")]


def test_only_a_lease_can_be_renewed(engine: EngineUnderTest) -> None:
    submit(engine, "1")

    assert engine.renew(["q"], [ANYBODYS]) == [Code.STALE]
    assert claim(engine) == ["1"]


def test_an_id_left_over_in_the_wrong_index_does_not_run(engine: EngineUnderTest) -> None:
    submit(engine, "1")
    engine.client.delete(engine.keys.record("1"))
    submit(engine, "1", delay_ms=60_000)

    assert claim(engine) == []


def test_tidying_dead_letters_deletes_no_living_message(engine: EngineUnderTest) -> None:
    submit(engine, "1")
    engine.fail(ANYBODYS, "failed", b"error")
    engine.client.delete(engine.keys.record("1"))
    submit(engine, "1")
    engine.machine.advance(200_000)

    engine.renew(["q"], [])

    assert claim(engine) == ["1"]


def test_whoever_lost_a_lease_hears_so_before_the_next_claim(engine: EngineUnderTest) -> None:
    submit(engine, "1")
    claim(engine)
    lapse(engine)

    answers = [
        engine.retry(MINE, 0, b"error"),
        engine.fail(MINE, "failed", b"error"),
        *engine.release([MINE]),
        *engine.ack([Ack(MINE)]),
        *engine.renew(["q"], [MINE]),
    ]

    assert set(answers) == {Code.STALE}


def test_whoever_lost_a_lease_to_a_crash_loop_hears_so(engine: EngineUnderTest) -> None:
    submit(engine, "1")
    claim(engine, "v.0-1")
    lapse(engine)
    claim(engine)
    lapse(engine)

    assert engine.fail(MINE, "failed", b"error") == Code.STALE


def test_a_leased_message_without_a_token_can_be_revoked(engine: EngineUnderTest) -> None:
    submit(engine, "1")
    claim(engine)
    engine.client.hdel(engine.keys.record("1"), "t")

    assert engine.revoke("q", "1") == Code.INTERRUPTED


def test_a_new_priority_puts_nobody_into_the_line(engine: EngineUnderTest) -> None:
    submit(engine, "1")
    engine.client.zrem(engine.keys.ready("q", 0), "1")

    engine.update(ANYBODYS, b"body", 3, 0, b"")

    assert not engine.client.exists(engine.keys.ready("q", 0))


def test_a_very_large_hand_loses_nothing(engine: EngineUnderTest) -> None:
    """Lua passes at most some 8,000 values on to a command: more messages at once must not fall between two indexes."""
    for start in range(0, 5_000, 500):
        submit(engine, *(f"{number:04d}" for number in range(start, start + 500)))

    brought = [claim(engine, f"w.0-{turn}", 5_000) for turn in range(12)]

    assert sum(len(messages) for messages in brought) == 5_000
