"""The whole life of a chain in one process, by the code that a worker's child runs: claim, run, settle, submit what
follows. Its links lie in different partitions, so that each follow-up is a write of its own."""

from __future__ import annotations

from itertools import count, pairwise
from typing import TYPE_CHECKING

from alsek.core.broker import Broker
from alsek.core.consumer import Consumer
from alsek.core.message import Message
from alsek.core.task import Task
from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from alsek_worker.attempt import Attempt
from alsek_worker.execution import Execution
from harness.journal import Journal

if TYPE_CHECKING:
    from alsek.core.settlement import Settlement

QUEUE, PARTITIONS = "chain", 4


def broker_at(url: str) -> Broker:
    return Broker(RedisBackend(url, partitions=PARTITIONS), receipt_ms=3_600_000)


def chain(broker: Broker) -> list[Message]:
    """Four links: one into another partition, one into the same, one into another again."""
    partition = broker.keys.partition
    names = (f"link-{number}" for number in count())
    uuids = [next(names)]
    for elsewhere in (True, False, True):
        uuids.append(next(name for name in names if (partition(name) != partition(uuids[-1])) == elsewhere))
    links = [Message("link", queue=QUEUE, uuid=uuid, kwargs={"number": i}) for i, uuid in enumerate(uuids)]
    for link, following in reversed(list(pairwise(links))):
        link.update(callback_message_data=following.data)
    return links


def live(url: str, journal: str) -> None:
    """Run until nothing is left to do."""
    broker, notes = broker_at(url), Journal(journal)
    execution = Execution({"link": _task(broker, notes)}, broker)
    consumer = Consumer(broker, [QUEUE])
    settlements: list[Settlement] = []
    while True:
        try:
            codes, messages = consumer.exchange(settlements, PARTITIONS)
        except BackendUnavailableError:
            continue
        for settlement, code in zip(settlements, codes, strict=True):
            held = settlement.message
            assert held.lease is not None
            (notes.ok if code.accepted else notes.err)("ack", held.uuid, held.lease.token)
        if not messages and not settlements:
            return
        settlements = []
        for message in messages:
            attempt = Attempt(message, execution.recipe(message), -1)
            execution.run(attempt)
            assert attempt.settlement is not None
            notes.call("ack", message.uuid, message.lease and message.lease.token)
            settlements.append(attempt.settlement)


def _task(broker: Broker, notes: Journal) -> Task:
    def link(message: Message, number: int) -> list[object]:
        assert message.lease is not None
        notes.start(message.uuid, message.lease.token)
        following = message.callback_message_data
        if following is not None:
            notes.call("submit", following["uuid"])
        notes.end(message.uuid, message.lease.token)
        return [number, message.previous_result]

    return Task(link, broker, queue=QUEUE, result_store=ResultStore(broker.backend))
