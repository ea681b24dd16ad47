"""Tasks that take a lot, and return what cannot be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.task import Task, task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from harness.journal import Journal

if TYPE_CHECKING:
    from alsek.core.message import Message

#: Instead of the 64 MiB of everybody else.
MAX_RESULT_BYTES = 2_000_000

broker = Broker(RedisBackend(), receipt_ms=86_400_000)
results = ResultStore(broker.backend, max_result_bytes=MAX_RESULT_BYTES)
journal = Journal.from_env()

RESULTS: dict[str, Any] = {
    "large": lambda: "x" * MAX_RESULT_BYTES,
    "wide": lambda: "ß" * (MAX_RESULT_BYTES // 2),
    "object": object,
    "set": lambda: {"a", "b"},
    "nan": lambda: [1.0, float("nan")],
    "surrogate": lambda: {"text": "\ud800"},
    "deep": lambda: nested(100_000),
    "circle": lambda: circle(),
    "huge": lambda: 10**5_000,
}


class Careful(Task):
    """Has something to do afterwards, so its messages are settled alone."""

    def on_success(self, message: Message, result: Any) -> None:
        journal.write("NOTE", message.uuid, op="on_success")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def give(message: Message, what: str) -> Any:
    assert message.lease is not None
    journal.start(message.uuid, message.lease.token)
    result = RESULTS[what]() if what in RESULTS else what
    if what in RESULTS:
        journal.fail(message.uuid, message.lease.token)  # what follows is a retry
    else:
        journal.end(message.uuid, message.lease.token)
    return result


settings: dict[str, Any] = {
    "max_retries": 1,
    "backoff": ConstantBackoff(10, floor=0, zero_override=False),
    "result_store": results,
}


@task(broker, queue="threads", **settings)
def in_thread(message: Message, what: str) -> Any:
    return give(message, what)


@task(broker, queue="threads", base_task=Careful, **settings)
def careful_thread(message: Message, what: str) -> Any:
    return give(message, what)


@task(broker, queue="processes", mechanism="process", **settings)
def in_process(message: Message, what: str) -> Any:
    return give(message, what)


@task(broker, queue="loops", mechanism="async", **settings)
async def in_loop(message: Message, what: str) -> Any:
    return give(message, what)


@task(broker, queue="threads", **settings)
def double(message: Message, what: str) -> str:
    """Its own arguments fit into a message, its result does not fit into that of its callback."""
    assert message.lease is not None
    journal.start(message.uuid, message.lease.token)
    journal.fail(message.uuid, message.lease.token)
    return what * 2
