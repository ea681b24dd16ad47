"""The tasks, for streaq."""

import asyncio

from streaq import Worker

from peerkit import tally
from peerkit.adapter import options

_options = options()
worker = Worker(
    redis_url=_options.redis_url,
    concurrency=_options.concurrency or 64,
    anyio_kwargs={"use_uvloop": True},
    **({"idle_timeout": 5} if _options.safe else {}),
)
_settings = {"silent": True, "ttl": 60 if _options.results else 0}


@worker.task(**_settings)
async def mark(number):
    tally.started(number)


@worker.task(**_settings)
async def double(number):
    tally.started(number)
    return 2 * number


@worker.task(**_settings)
async def nap(number, seconds):
    tally.started(number)
    await asyncio.sleep(seconds)
    tally.ended(number)


@worker.task(**_settings)
async def add(a, b):
    return a + b
