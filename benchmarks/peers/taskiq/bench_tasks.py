"""The tasks, for taskiq."""

import asyncio

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from peerkit import tally
from peerkit.adapter import options

_options = options()
if _options.variant == "stream":
    _safety = {"idle_timeout": 6_000, "unacknowledged_lock_timeout": 5} if _options.safe else {}
    broker = RedisStreamBroker(_options.redis_url, consumer_id="0", **_safety)
else:
    broker = ListQueueBroker(_options.redis_url)
broker = broker.with_serializer(ORJSONSerializer())
if _options.results:
    broker = broker.with_result_backend(RedisAsyncResultBackend(_options.redis_url, serializer=ORJSONSerializer()))


@broker.task
async def mark(number):
    tally.started(number)


@broker.task
async def double(number):
    tally.started(number)
    return 2 * number


@broker.task
async def nap(number, seconds):
    tally.started(number)
    await asyncio.sleep(seconds)
    tally.ended(number)


@broker.task
async def add(a, b):
    return a + b
