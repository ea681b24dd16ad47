"""Tasks that write down that they ran; where their Redis is, the environment says."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from alsek.core.broker import Broker
from alsek.core.task import task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from harness.journal import Journal

if TYPE_CHECKING:
    from alsek.core.message import Message

#: Receipts outlast the longest run: the judge reads them.
broker = Broker(RedisBackend(partitions=int(os.environ.get("ROAM_PARTITIONS", "1"))), receipt_ms=86_400_000)
results = ResultStore(broker.backend)
journal = Journal.from_env()


def _token(message: Message) -> str:
    assert message.lease is not None
    return message.lease.token


@task(broker, queue="roam")
def wander(message: Message, seconds: float = 0.0) -> None:
    journal.start(message.uuid, _token(message))
    time.sleep(seconds)
    journal.end(message.uuid, _token(message))


@task(broker, queue="roam", result_store=results)
def add(message: Message, a: int, b: int) -> int:
    journal.start(message.uuid, _token(message))
    journal.end(message.uuid, _token(message))
    return a + b


@task(broker, queue="drift", mechanism="async")
async def drift(message: Message, seconds: float = 0.0) -> None:
    journal.start(message.uuid, _token(message))
    await asyncio.sleep(seconds)
    journal.end(message.uuid, _token(message))
