"""Tasks for `map`: a quick one, one in a loop, and one that may fail."""

from __future__ import annotations

import asyncio

from alsek.core.broker import Broker
from alsek.core.task import task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

backend = RedisBackend()
broker = Broker(backend)
results = ResultStore(backend)


@task(broker, queue="maps", result_store=results, unique_for=60_000)
def add(a: int, b: int = 0) -> int:
    return a + b


@task(broker, queue="loops", result_store=results, mechanism="async")
async def double(a: int) -> int:
    await asyncio.sleep(0.001 * (a % 3))
    return 2 * a


@task(broker, queue="maps", result_store=results, max_retries=0)
def odd(n: int) -> int:
    if n % 2 == 0:
        raise ValueError(f"{n} is even")
    return n


@task(broker, queue="maps")
def forgetful(n: int) -> int:
    return n
