"""Tasks whose hooks are coroutines, in all three mechanisms."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.task import Task, task
from alsek.storage.backends.redis import RedisBackend
from harness.journal import Journal

if TYPE_CHECKING:
    from alsek.core.message import Message

broker = Broker(RedisBackend())
journal = Journal.from_env()


class Patient(Task):
    """Every hook waits a moment before it writes down that it ran."""

    async def pre_op(self, message: Message) -> None:
        await note(message, "on_pre_op")

    async def post_op(self, message: Message, result: Any) -> None:
        await note(message, "on_post_op")

    async def on_retry(self, message: Message, exception: BaseException) -> None:
        await note(message, "on_retry")

    async def on_failure(self, message: Message, exception: BaseException) -> None:
        await note(message, "on_failure")

    async def on_success(self, message: Message, result: Any) -> None:
        await note(message, "on_success")

    async def do_retry(self, message: Message, exception: BaseException) -> bool:
        await asyncio.sleep(0)
        return message.retries < 1


async def note(message: Message, op: str) -> None:
    await asyncio.sleep(0.001)
    journal.write("NOTE", message.uuid, op=op)


def behave(message: Message, how: str) -> None:
    journal.start(message.uuid)
    if how == "fail":
        raise ValueError(how)
    journal.end(message.uuid)


settings: dict[str, Any] = {"backoff": ConstantBackoff(10, floor=0, zero_override=False), "base_task": Patient}


@task(broker, queue="threads", **settings)
def in_thread(message: Message, how: str) -> None:
    behave(message, how)


@task(broker, queue="processes", mechanism="process", **settings)
def in_process(message: Message, how: str) -> None:
    behave(message, how)


@task(broker, queue="loops", mechanism="async", **settings)
async def in_loop(message: Message, how: str) -> None:
    behave(message, how)


@task(broker, queue="loops", mechanism="async")
async def tick(message: Message, seconds: float) -> None:
    """Write down every now and then that the loop is free."""
    for _ in range(int(seconds / 0.05)):
        journal.write("NOTE", message.uuid, op="tick")
        await asyncio.sleep(0.05)
