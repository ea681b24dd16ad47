"""The tasks of `pool_tasks`, and one that is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pool_tasks import behave, broker, in_loop, in_process, in_thread

from alsek.core.task import task

if TYPE_CHECKING:
    from alsek.core.message import Message

__all__ = ["in_loop", "in_process", "in_thread", "in_thread_again"]


@task(broker, queue="threads", max_retries=2)
def in_thread_again(message: Message, how: str = "sleep", seconds: float = 0) -> None:
    behave(message, how, seconds)
