"""Fixtures of the scheduler's tests: a real server, and schedulers that end with their test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker
from alsek.core.schedules import ScheduleStore
from alsek.storage.backends.redis import RedisBackend
from alsek_scheduler.candidate import candidates
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from harness.fixtures import *  # noqa: F403 - works with and without a root conftest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Short enough for tests, long enough for a busy machine.
LEASE_MS = 2_000


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
def broker(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Broker]:
    """The broker of the test itself."""
    backend = RedisBackend(redis_url, partitions=request.param)
    yield Broker(backend)
    backend.close()


@pytest.fixture
def store(broker: Broker) -> ScheduleStore:
    """The schedules."""
    return ScheduleStore(broker)


@pytest.fixture
def start_at(redis_url: str) -> Iterator[Callable[..., Scheduler]]:
    """Starts schedulers for so many partitions in this process, each with connections of its own."""
    running: list[Scheduler] = []

    def begin(partitions: int, *tasks: Any, package: str | None = None, lease_ms: int = LEASE_MS) -> Scheduler:
        own = Broker(RedisBackend(redis_url, partitions=partitions))
        scheduler = Scheduler(own, tasks, package, Settings(lease_ms=lease_ms)).start()
        running.append(scheduler)
        return scheduler

    yield begin
    for scheduler in running:
        scheduler.stop()
        scheduler.store.broker.backend.close()


@pytest.fixture
def start(broker: Broker, start_at: Callable[..., Scheduler]) -> Callable[..., Scheduler]:
    """Starts schedulers for the partitions of the test."""
    return partial(start_at, broker.keys.partitions)


@pytest.fixture
def no_candidates() -> Iterator[None]:
    """Ends what `generate()` started."""
    yield
    candidates.stop()
