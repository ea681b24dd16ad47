"""Tasks that say how far they have come, one set for each mechanism, with three kinds of tracker."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alsek
from alsek.core.broker import Broker
from alsek.core.status.standard import StatusTracker
from alsek.core.task import task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

if TYPE_CHECKING:
    from alsek.core.message import Message
    from alsek.core.status.types import TaskStatus

backend = RedisBackend()
broker = Broker(backend)
results = ResultStore(backend)


class Mirror(StatusTracker):
    """A tracker of the user's own: it is called for each status."""

    def set(self, message: Message, status: TaskStatus, details: Any | None = None) -> None:
        super().set(message, status, details)


tracker = StatusTracker(backend)
common: dict[str, Any] = {"result_store": results, "max_retries": 0}


def begin(how: str) -> int:
    """Say many things; gives how many calls there were."""
    now = alsek.current()
    if how == "wrong":
        now.progress(-1)
    calls = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        calls += 1
        now.progress(calls, 10_000_000, "counting")
    if how == "fail":
        now.progress(7, 8, "nearly")
        raise LookupError("the eighth is missing")
    now.progress(10, 10, "over")
    return calls


def may_leave() -> bool:
    return Path(os.environ["LEAVE"]).exists()


@task(broker, queue="threads", status_tracker=tracker, **common)
def in_thread(how: str) -> int:
    return begin(how)


@task(broker, queue="processes", status_tracker=tracker, mechanism="process", **common)
def in_process(how: str) -> int:
    return begin(how)


@task(broker, queue="loops", status_tracker=tracker, mechanism="async", **common)
async def in_loop(how: str) -> int:
    return begin(how)


@task(broker, queue="threads", status_tracker=Mirror(backend), **common)
def mirrored(how: str) -> int:
    return begin(how)


@task(broker, queue="threads", **common)
def untracked() -> None:
    alsek.current().progress(1, 4, "first")
    alsek.current().progress(2, 4, "second")
    while not may_leave():
        time.sleep(0.005)


@task(broker, queue="loops", mechanism="async", **common)
async def untracked_in_loop() -> None:
    alsek.current().progress(1, 4, "first")
    alsek.current().progress(2, 4, "second")
    while not may_leave():  # noqa: ASYNC110 - another process says so
        await asyncio.sleep(0.005)
