"""Real servers, real pools and a journal that survives both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.arena import Arena
from harness.fixtures import *  # noqa: F403 - works with and without a root conftest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.journal import Journal
    from harness.processes import Processes
    from harness.server import Server

#: Modules that kill, stop or starve whole pools: they need a machine of their own, and run in `make chaos`.
LONG = {
    "test_blocked_workers", "test_crash_of_a_life", "test_dead_children", "test_kill_storm",
    "test_network_lost_replies",
    "test_network_silence", "test_network_vanished", "test_redis_outages", "test_redis_restarts",
    "test_rolling_restarts", "test_time_limits", "test_zombies",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the long ones out of `make test`."""
    for item in items:
        if item.path.parent.name == "faults" and item.path.stem in LONG:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def arena(processes: Processes, journal: Journal, server: Server, seed: int, tmp_path: Path) -> Iterator[Arena]:
    """Everything a storm needs."""
    arena = Arena(processes, journal, server, seed)
    yield arena
    arena.close()
