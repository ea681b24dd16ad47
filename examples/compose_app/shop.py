"""The example application of `docker compose up`: what a small shop does after an order came in."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time

from alsek import Broker, Message, StatusTracker, task
from alsek.core.backoff import ConstantBackoff
from alsek.settings import load
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

settings = load()
backend = RedisBackend(settings.redis_url, namespace=settings.namespace, partitions=settings.partitions)
broker = Broker(backend)
results = ResultStore(backend)
statuses = StatusTracker(backend)


@task(broker, queue="orders", result_store=results, status_tracker=statuses)
def confirm(order: str, amount: float) -> str:
    """Give the order its receipt."""
    return hashlib.sha256(f"{order}:{amount:.2f}".encode()).hexdigest()[:12]


@task(
    broker,
    queue="orders",
    max_retries=5,
    backoff=ConstantBackoff(constant=1_000, floor=None),
    result_store=results,
    status_tracker=statuses,
)
def charge(order: str, message: Message) -> str:
    """Ask a bank that does not answer the first time."""
    if message.retries == 0:
        raise ConnectionError("the bank does not answer")
    return f"{order} is paid at attempt {message.retries + 1}"


@task(broker, queue="mail", mechanism="async", result_store=results, status_tracker=statuses)
async def notify(address: str, text: str) -> str:
    """Wait for a mail server, beside hundreds of others who do."""
    await asyncio.sleep(0.1)
    return f"told {address}: {text}"


@task(broker, queue="reports", mechanism="process", timeout=120_000, result_store=results, status_tracker=statuses)
def report(days: int) -> int:
    """Compute, in a process of its own."""
    return sum(math.isqrt(day * 86_400) for day in range(days))


@task(broker, queue="reports", result_store=results, status_tracker=statuses)
def sleep(seconds: float) -> float:
    """Take long: what happens to it when its worker is stopped or killed?"""
    time.sleep(seconds)
    return seconds
