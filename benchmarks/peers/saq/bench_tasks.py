"""The tasks, for saq."""

import asyncio

from saq import Queue

from peerkit import tally
from peerkit.adapter import options

_options = options()
queue = Queue.from_url(_options.redis_url)


async def mark(_context, *, number):
    tally.started(number)


async def double(_context, *, number):
    tally.started(number)
    return 2 * number


async def nap(_context, *, number, seconds):
    tally.started(number)
    await asyncio.sleep(seconds)
    tally.ended(number)


async def add(_context, *, a, b):
    return a + b


settings = {
    "queue": queue,
    "functions": [mark, double, nap, add],
    "concurrency": _options.concurrency or 30,
    "timers": {"sweep": 3} if _options.safe else {},
}
