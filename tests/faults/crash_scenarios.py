"""One verb each, as a client calls it: what the sweep crashes at every command, and what the test repeats afterwards.

Uuids, times and tokens are fixed, so that two runs can be compared key by key.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from alsek.core import async_generate
from alsek.core.broker import Broker
from alsek.core.consumer import Consumer
from alsek.core.failure import parse_exception
from alsek.core.message import Lease, Message
from alsek.core.settlement import Failed, Released, Retried, Succeeded
from alsek.exceptions import AlsekError, BackendUnavailableError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.verbs import Held, NewMessage, StoredResult
from alsek.storage.result import ResultStore
from harness.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

QUEUE = "q"
#: Token under which the leased messages of `fill` are held: the first claim of that consumer.
TOKEN = "crashed.0-1"
WAITING, LEASED, DEAD = ("r1", "r2"), ("l1", "l2", "l3"), ("x1",)
DELAYED, OLD = "d1", "d2"
#: More than two calls of a script.
MANY = 1_100
#: Long ago, and the same in every run.
BORN = 1_700_000_000_000
ERROR = b'["ValueError","no",null]'


def broker_at(url: str, partitions: int = 1) -> Broker:
    return Broker(RedisBackend(url, partitions=partitions))


def message(uuid: str, **fields: Any) -> Message:
    return Message("work", queue=QUEUE, uuid=uuid, created_at=BORN, updated_at=BORN, **fields)


def leased(uuid: str) -> Message:
    """A message of `fill` as its holder has it."""
    held = message(uuid)
    held.exception_details = parse_exception(ValueError("no"))._replace(traceback=None)
    held.lease = Lease(TOKEN, 1, 1, 0.0)
    return held


def fill(broker: Broker) -> None:
    """Put messages into every state: leased by somebody, dead, waiting."""
    for uuid in LEASED:
        broker.submit(message(uuid), kept_status_ms=60_000)
    worker_id, _, rest = TOKEN.partition(".")
    consumer = Consumer(broker, [QUEUE], worker_id=worker_id, name=rest.partition("-")[0])
    claimed = consumer.exchange((), len(LEASED)).messages
    consumer.close()
    assert [(one.uuid, one.lease and one.lease.token) for one in claimed] == [(uuid, TOKEN) for uuid in LEASED]
    for uuid in DEAD:
        broker.submit(message(uuid))
        broker.fail(message(uuid))
    for uuid in WAITING:
        broker.submit(message(uuid), kept_status_ms=60_000)
    broker.submit(message(DELAYED, delay=1_000))
    broker.submit(message(OLD, delay=500), ttl=800)


# -- verbs -------------------------------------------------------------------------------------------------------


def submit(url: str, journal: str) -> None:
    with _calling(journal, "submit", "s1"):
        broker_at(url).submit(message("s1"))


def submit_async(url: str, journal: str) -> None:
    with _calling(journal, "submit", "s1"):
        asyncio.run(async_generate.submit_async(broker_at(url), message("s1")))


def submit_many(url: str, journal: str) -> None:
    notes = Journal(journal)
    uuids = [f"s{number}" for number in range(MANY)]
    for uuid in uuids:
        notes.call("submit", uuid)
    broker_at(url).submit_many(message(uuid) for uuid in uuids)
    for uuid in uuids:
        notes.ok("submit", uuid)


def claim(url: str, journal: str) -> None:
    _exchange(url, journal, [])


def reap(url: str, journal: str) -> None:
    """A claim that finds lapsed leases, one of them of poison, a message that is due and one that is too old."""
    _exchange(url, journal, [])


def settle_and_claim(url: str, journal: str) -> None:
    """What a busy worker does: three outcomes and the next claim in one write."""
    done, again, failed = (leased(uuid) for uuid in LEASED)
    child = NewMessage("c1", "work", broker_at(url).pack(message("c1")))
    settlements = [
        Succeeded(done, StoredResult("results:l1", '"r"', 60_000), (QUEUE, child)),
        Retried(again, 5_000, ERROR),
        Failed(failed, "failed", ERROR),
    ]
    with _calling(journal, "submit", "c1"):
        _exchange(url, journal, settlements)


def renew(url: str, journal: str) -> None:
    broker = broker_at(url)
    with _calling(journal, "renew", "l1", TOKEN):
        _until_answered(lambda: broker.renew([Held(QUEUE, uuid, TOKEN) for uuid in LEASED], [QUEUE]))


def ack(url: str, journal: str) -> None:
    broker = broker_at(url)
    child = NewMessage("c1", "work", broker.pack(message("c1")))
    with _calling(journal, "submit", "c1"), _calling(journal, "ack", "l1", TOKEN):
        broker.ack(leased("l1"), result=StoredResult("results:l1", '"r"', 60_000), callback=(QUEUE, child))


def retry(url: str, journal: str) -> None:
    with _calling(journal, "retry", "l1", TOKEN):
        broker_at(url).retry(leased("l1"), delay_ms=5_000)


def fail(url: str, journal: str) -> None:
    with _calling(journal, "fail", "l1", TOKEN):
        broker_at(url).fail(leased("l1"))


def release(url: str, journal: str) -> None:
    with _calling(journal, "release", "l1", TOKEN):
        assert broker_at(url).release(leased("l1")).accepted


def release_counted(url: str, journal: str) -> None:
    with _calling(journal, "release", "l1", TOKEN):
        assert broker_at(url).settle([Released(leased("l1"), counts=True, delay_ms=1_000)])[0].accepted


def revoke_waiting(url: str, journal: str) -> None:
    with _calling(journal, "revoke", "r1"):
        assert broker_at(url).revoke(message("r1")).accepted


def revoke_running(url: str, journal: str) -> None:
    with _calling(journal, "revoke", "l1"):
        assert broker_at(url).revoke(message("l1")).accepted


def store_result(url: str, journal: str) -> None:
    with _calling(journal, "result", "r1"):
        ResultStore(broker_at(url).backend).set(message("r1"), "result")


def replay(url: str, journal: str) -> None:
    with _calling(journal, "replay", "x1"):
        broker_at(url).replay(message("x1"))


VERBS: dict[str, Callable[[str, str], None]] = {
    verb.__name__: verb
    for verb in (
        submit,
        submit_async,
        submit_many,
        claim,
        reap,
        settle_and_claim,
        renew,
        ack,
        retry,
        fail,
        release,
        release_counted,
        revoke_waiting,
        revoke_running,
        replay,
        store_result,
    )
}


def _exchange(url: str, journal: str, settlements: list[Any]) -> None:
    """As the intake of a worker does it: repeated until Redis answers."""
    notes = Journal(journal)
    consumer = Consumer(broker_at(url), [QUEUE], worker_id="claimer", name="0")
    for settlement in settlements:
        notes.call(_verb(settlement), settlement.message.uuid, TOKEN)
    exchange = _until_answered(lambda: consumer.exchange(settlements, 2))
    assert all(code.accepted for code in exchange.codes), exchange.codes
    for settlement in settlements:
        notes.ok(_verb(settlement), settlement.message.uuid, TOKEN)
    for one in exchange.messages:
        assert one.lease is not None
        notes.ok("claim", one.uuid, one.lease.token)


def _until_answered(ask: Callable[[], T]) -> T:
    """What asks without patience of its own is asked again, as its callers do."""
    for _ in range(3):
        with suppress(BackendUnavailableError):
            return ask()
    return ask()


def _verb(settlement: Any) -> str:
    return {"Succeeded": "ack", "Retried": "retry", "Failed": "fail"}[type(settlement).__name__]


@contextmanager
def _calling(journal: str, op: str, uuid: str, token: str | None = None) -> Iterator[None]:
    with Journal(journal).calling(op, uuid, token, unknown=(BackendUnavailableError,)):
        try:
            yield
        except AlsekError:
            print(f"{op} {uuid} in {os.getpid()}", flush=True)
            raise
