"""Tasks that decide for themselves what becomes of their message, one set for each mechanism."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import alsek
from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.task import task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

backend = RedisBackend()
broker = Broker(backend)
results = ResultStore(backend)

common: dict[str, Any] = {
    "result_store": results,
    "max_retries": 3,
    "backoff": ConstantBackoff(10, floor=0, ceiling=10, zero_override=False),
    "retry_on": (ConnectionError, TimeoutError),
    "no_retry_on": ConnectionAbortedError,
}


def choose(how: str) -> dict[str, Any]:
    """Do as asked; gives what `current()` knows."""
    now = alsek.current()
    first = now.fence == 1
    if how == "snooze" and first:
        raise alsek.Snooze(0.05)
    if how == "reject":
        raise alsek.Reject("no such customer")
    if how == "retry" and first:
        raise ConnectionResetError("try again")
    if how == "abort":
        raise ConnectionAbortedError("do not")
    if how == "surprise":
        raise KeyError("nobody asked to try this again")
    return {
        "uuid": now.message.uuid,
        "attempt": now.attempt,
        "deliveries": now.deliveries,
        "fence": now.fence,
        "left": now.deadline - time.monotonic(),
        "cancelled": now.cancelled,
    }


@task(broker, queue="threads", timeout=60_000, **common)
def in_thread(how: str) -> dict[str, Any]:
    return choose(how)


@task(broker, queue="processes", timeout=60_000, mechanism="process", **common)
def in_process(how: str) -> dict[str, Any]:
    return choose(how)


@task(broker, queue="loops", timeout=60_000, mechanism="async", **common)
async def in_loop(how: str) -> dict[str, Any]:
    await asyncio.sleep(0)
    return choose(how)


@task(broker, queue="threads", result_store=results, interrupt=False, max_retries=0)
def polite() -> str:
    """Works until it is told that nobody wants the result."""
    results.set(alsek.current().message.clone().update(uuid="polite-started"), True, nx=False)
    end = time.monotonic() + 60
    while not alsek.current().cancelled and time.monotonic() < end:
        time.sleep(0.005)
    results.set(alsek.current().message.clone().update(uuid="polite-ended"), alsek.current().cancelled, nx=False)
    return "done"
