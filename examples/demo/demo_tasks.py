"""What the demo runs: one task for each thing it shows, each by the mechanism that suits it."""

import asyncio
import math

from alsek import Broker, Message, StatusTracker, task
from alsek.core.backoff import ConstantBackoff
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

backend = RedisBackend(namespace="demo")
broker = Broker(backend)
results = ResultStore(backend)
statuses = StatusTracker(backend)


@task(broker, queue="math_ops", result_store=results, status_tracker=statuses)
def add(a: int, b: int) -> int:
    """An ordinary task."""
    return a + b


@task(
    broker,
    queue="unsteady",
    max_retries=3,
    backoff=ConstantBackoff(constant=200, floor=None),
    result_store=results,
    status_tracker=statuses,
)
def unsteady(message: Message) -> str:
    """Fails twice before it succeeds; asks for the message to know which attempt this is."""
    if message.retries < 2:
        raise ConnectionError(f"attempt {message.retries + 1}: the service is not there")
    return f"well at attempt {message.retries + 1}"


@task(broker, queue="words", result_store=results, status_tracker=statuses)
def split(text: str) -> list[str]:
    """First link of a chain."""
    return text.split()


@task(broker, queue="words", result_store=results, status_tracker=statuses)
def longest(message: Message) -> str:
    """Second link: works on what the one before returned."""
    return max(message.previous_result, key=len)


@task(broker, queue="words", result_store=results, status_tracker=statuses)
def shout(message: Message) -> str:
    """Last link."""
    return f"{message.previous_result.upper()}!"


@task(broker, queue="primes", mechanism="process", result_store=results, status_tracker=statuses)
def count_primes(below: int) -> int:
    """Pure computing: a process of its own keeps it out of the way of the threads."""
    return sum(all(n % d for d in range(2, math.isqrt(n) + 1)) for n in range(2, below))


@task(broker, queue="pages", mechanism="async", result_store=results, status_tracker=statuses)
async def fetch(page: int) -> int:
    """Mostly waiting: a hundred of these share one thread."""
    await asyncio.sleep(0.05)
    return page
