"""Real pools on a real server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from alsek.core.broker import Broker
from alsek.storage.backends.redis import RedisBackend
from harness.fixtures import *  # noqa: F403  (works with and without a root conftest)

sys.path.append(str(Path(__file__).parent))

from typing import TYPE_CHECKING

from worker_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.journal import Journal
    from harness.processes import Processes


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
