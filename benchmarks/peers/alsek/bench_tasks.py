"""The tasks, for Alsek, by the mechanism that the variant names."""

import asyncio
import os
import time

from alsek import Broker, task
from alsek.storage.backends.redis import RedisBackend
from peerkit import tally
from peerkit.adapter import options

if os.environ.get("BENCH_BARE"):
    import bare

    bare.strip()
_options = options()
backend = RedisBackend(_options.redis_url)
broker = Broker(backend)
result_store = None
if _options.results:
    from alsek.storage.result import ResultStore

    result_store = ResultStore(backend)
_settings = {"queue": "bench", "mechanism": _options.variant}

if _options.variant == "async":

    @task(broker, **_settings)
    async def mark(number):
        tally.started(number)

    @task(broker, result_store=result_store, **_settings)
    async def double(number):
        tally.started(number)
        return 2 * number

    @task(broker, **_settings)
    async def nap(number, seconds):
        tally.started(number)
        await asyncio.sleep(seconds)
        tally.ended(number)

    @task(broker, **_settings)
    async def add(a, b):
        return a + b

else:

    @task(broker, **_settings)
    def mark(number):
        tally.started(number)

    @task(broker, result_store=result_store, **_settings)
    def double(number):
        tally.started(number)
        return 2 * number

    @task(broker, **_settings)
    def nap(number, seconds):
        tally.started(number)
        time.sleep(seconds)
        tally.ended(number)

    @task(broker, **_settings)
    def add(a, b):
        return a + b
