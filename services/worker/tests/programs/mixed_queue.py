"""Tasks of several mechanisms on one queue."""

from pool_tasks import behave, broker

from alsek.core.message import Message
from alsek.core.task import task


@task(broker, queue="mixed")
def threaded(message: Message) -> None:
    behave(message, "sleep", 0)


@task(broker, queue="mixed", mechanism="process")
def processed(message: Message) -> None:
    behave(message, "sleep", 0)


@task(broker, queue="mixed", mechanism="async")
async def awaited(message: Message) -> None:
    behave(message, "sleep", 0)
