"""What the workers of the tests run."""

from __future__ import annotations

import time

from alsek import Broker, Message, StatusTracker, task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

backend = RedisBackend()
broker = Broker(backend)
store = ResultStore(backend)
options = {"result_store": store, "status_tracker": StatusTracker(backend)}


@task(broker, queue="math", **options)
def add(a: int, b: int = 0) -> int:
    return a + b


@task(broker, queue="math", **options)
def double(message: Message) -> int:
    return 2 * message.previous_result


@task(broker, queue="math", max_retries=0, **options)
def divide(a: int, b: int) -> float:
    return a / b


@task(broker, queue="math", **options)
def echo(value: object = None, **more: object) -> object:
    return [value, more]


@task(broker, queue="slow", **options)
def nap(seconds: float) -> str:
    # In small steps: a thread in one long sleep cannot be interrupted.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    return "awake"


@task(broker, queue="math")
def nothing() -> None:
    """Keeps no result."""
