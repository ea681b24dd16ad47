"""A program as users have it: module-level objects, an address of its own, every mechanism."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import alsek
from alsek import Broker, Message, StatusTracker, task
from alsek.core.backoff import ConstantBackoff
from alsek.core.task import Task
from alsek.storage.async_result import AsyncResultStore
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.result import ResultStore

# Nobody listens there: whatever reaches it fails.
backend = RedisBackend("redis://127.0.0.1:1/0", namespace="production")
broker = Broker(backend)
results = ResultStore(backend)
statuses = StatusTracker(backend)
async_backend = AsyncRedisBackend("redis://127.0.0.1:1/0", namespace="production")
async_results = AsyncResultStore(backend)
other_broker = Broker(RedisBackend("redis://127.0.0.1:1/0", namespace="elsewhere"))

told: list[Any] = []


class Telling(Task):
    def pre_op(self, message: Message) -> None:
        told.append(("pre_op", message.args))

    async def on_success(self, message: Message, result: Any) -> None:
        told.append(("on_success", result))

    def on_retry(self, message: Message, exception: BaseException) -> None:
        told.append(("on_retry", message.retries))

    def on_failure(self, message: Message, exception: BaseException) -> None:
        told.append(("on_failure", type(exception).__name__))

    def on_revocation(self, message: Message, exception: BaseException | None, result: Any) -> None:
        told.append(("on_revocation", result))


hourly = ConstantBackoff(3_600_000, floor=None, ceiling=None)
everything: dict[str, Any] = {"result_store": results, "status_tracker": statuses, "base_task": Telling}


@task(broker, queue="sums", **everything)
def add(a: int, b: int) -> int:
    return a + b


@task(broker, queue="sums", mechanism="process", **everything)
def double(message: Message) -> int:
    return 2 * message.previous_result


@task(broker, queue="pages", mechanism="async", **everything)
async def fetch(page: int) -> int:
    await asyncio.sleep(0)
    return (await add.adelay(page, 1)).args[0]


@task(broker, queue="bank", max_retries=2, backoff=hourly, **everything)
def charge(card: str, message: Message) -> str:
    if card == "expired":
        raise ValueError("this card has expired")
    if message.retries < 2:
        raise ConnectionError("the bank does not answer")
    return f"charged at attempt {message.retries + 1}"


@task(broker, queue="bank", unique_for=60_000, result_store=results)
def remind(whom: str) -> str:
    if alsek.current().fence == 1:
        raise alsek.Snooze(86_400)
    return f"reminded {whom}"


@task(broker, queue="slow", timeout=200, max_retries=0, **everything)
def slow() -> None:
    while True:
        time.sleep(0.01)


@task(broker, queue="slow", mechanism="async", timeout=200, max_retries=0, **everything)
async def slow_page() -> None:
    await asyncio.sleep(60)


@task(broker, queue="slow", **everything)
def revoke_myself(message: Message) -> str:
    revoke_myself.revoke(message)
    return "too late"


@task(broker, queue="again")
def again() -> None:
    again.delay()


@task(broker, queue="stop")
def stop() -> None:
    raise KeyboardInterrupt


@task(other_broker, queue="sums")
def elsewhere(n: int) -> None:
    add.delay(n, n)
