"""The tasks, for huey."""

import time

from huey import RedisHuey

from peerkit import tally
from peerkit.adapter import options

_options = options()
huey = RedisHuey("bench", url=_options.redis_url, results=_options.results, notify_result=_options.results)


@huey.task()
def mark(number):
    tally.started(number)


@huey.task()
def double(number):
    tally.started(number)
    return 2 * number


@huey.task()
def nap(number, seconds):
    tally.started(number)
    time.sleep(seconds)
    tally.ended(number)


@huey.task()
def add(a, b):
    return a + b
