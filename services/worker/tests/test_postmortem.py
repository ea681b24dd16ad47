"""What a dead child held comes back, also what it did not live to write down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek.core.consumer import Consumer
from alsek.core.message import Message
from alsek.core.settlement import Succeeded
from alsek_worker.claims import unwritten
from alsek_worker.ledger import Ledger
from alsek_worker.postmortem import Postmortem
from alsek_worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.core.broker import Broker

SETTINGS = Settings(worker_id="worker", child=7, subset={"one": (), "two": ()})


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    consumer = Consumer(broker, SETTINGS.subset, worker_id="worker", name="7", fair=True)
    yield consumer
    consumer.close()


def claimed(broker: Broker, consumer: Consumer, count: int = 4) -> list[Message]:
    for number in range(count):
        broker.submit(Message("work", queue="one" if number % 2 else "two"))
    messages = consumer.exchange((), count).messages
    assert len(messages) == count
    return messages


def state(broker: Broker, message: Message) -> tuple[str, int]:
    record = broker.redis.record(message.uuid)
    return record[b"s"].decode(), int(record.get(b"d", 0))


def test_a_claim_that_nobody_wrote_down_is_found(broker: Broker, consumer: Consumer) -> None:
    first, *others = claimed(broker, consumer)

    found = unwritten(broker, "worker.7", {first.uuid})

    assert {message.uuid for message in found} == {message.uuid for message in others}
    assert {message.queue for message in found} == {"one", "two"}


def test_what_was_settled_since_is_not_found(broker: Broker, consumer: Consumer) -> None:
    first, *others = claimed(broker, consumer)
    consumer.exchange([Succeeded(first)], 0)

    assert first.uuid not in {message.uuid for message in unwritten(broker, "worker.7", ())}
    assert unwritten(broker, "worker.8", ()) == []
    assert len(others) == 3


def test_everything_a_dead_child_held_is_given_back(broker: Broker, consumer: Consumer) -> None:
    ledger = Ledger(8)
    messages = claimed(broker, consumer)
    running, held, *unknown = messages
    for message in (running, held):
        assert message.lease is not None
        slot = ledger.hold(message.uuid, message.lease.token, SETTINGS.queues.index(message.queue))
        if message is running:
            ledger.start(slot, 1, 0)
    postmortem = Postmortem(broker, {}, 5_000)

    postmortem.release(ledger.entries(), SETTINGS, "was killed by SIGKILL")
    postmortem.wait(10)

    assert state(broker, running) == ("r", 1)
    assert [state(broker, message) for message in (held, *unknown)] == [("r", 0)] * 3


def test_what_another_worker_has_by_now_is_left_to_it(broker: Broker, consumer: Consumer) -> None:
    ledger = Ledger(8)
    [message] = claimed(broker, consumer, 1)
    assert message.lease is not None
    ledger.hold(message.uuid, "worker.7-0", SETTINGS.queues.index(message.queue))
    postmortem = Postmortem(broker, {}, 5_000)

    postmortem.release(ledger.entries(), SETTINGS)
    postmortem.wait(10)

    assert state(broker, message) == ("l", 1)
