"""The tasks, for dramatiq."""

import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from peerkit import tally
from peerkit.adapter import options

_options = options()
# Against crashes: a worker is missed after 5 s, and each command looks for missing ones.
_safety = {"heartbeat_timeout": 5_000, "maintenance_chance": 100_000} if _options.safe else {}
broker = RedisBroker(url=_options.redis_url, **_safety)
if _options.results:
    broker.add_middleware(Results(backend=RedisBackend(url=_options.redis_url)))
dramatiq.set_broker(broker)


@dramatiq.actor
def mark(number):
    tally.started(number)


@dramatiq.actor(**({"store_results": True} if _options.results else {}))
def double(number):
    tally.started(number)
    return 2 * number


@dramatiq.actor
def nap(number, seconds):
    tally.started(number)
    time.sleep(seconds)
    tally.ended(number)


@dramatiq.actor
def add(a, b):
    return a + b
