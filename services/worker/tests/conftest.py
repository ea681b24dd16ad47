"""Real pools on a real server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.fixtures import *  # noqa: F403  (works with and without a root conftest)
from harness.journal import Journal
from harness.processes import Processes

from alsek.core.broker import Broker
from alsek.storage.backends.redis import RedisBackend

sys.path.append(str(Path(__file__).parent))

from worker_stage import Stage  # noqa: E402  (found by the line above)


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    """The broker of the test itself."""
    broker = Broker(RedisBackend(redis_url))
    yield broker
    broker.redis.links.close()


@pytest.fixture
def stage(processes: Processes, journal: Journal, broker: Broker, redis_url: str) -> Stage:
    """Everything a pool needs."""
    return Stage(processes, journal, broker, redis_url)
