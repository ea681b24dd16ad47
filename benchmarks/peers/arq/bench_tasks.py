"""The tasks, for arq."""

import asyncio

from arq.connections import RedisSettings

from peerkit import tally
from peerkit.adapter import options

_options = options()


async def mark(_context, number):
    tally.started(number)


async def double(_context, number):
    tally.started(number)
    return 2 * number


async def nap(_context, number, seconds):
    tally.started(number)
    await asyncio.sleep(seconds)
    tally.ended(number)


async def add(_context, a, b):
    return a + b


class WorkerSettings:
    functions = (mark, double, nap, add)
    redis_settings = RedisSettings.from_dsn(_options.redis_url)
    max_jobs = _options.concurrency or 100
    poll_delay = 0.01
    keep_result = 60 if _options.results else 0
    job_timeout = 10 if _options.safe else 300
