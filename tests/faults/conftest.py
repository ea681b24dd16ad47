"""Real servers, real pools and a journal that survives both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faults.arena import Arena
from harness.fixtures import *  # noqa: F403 - works with and without a root conftest
from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.journal import Journal
    from harness.processes import Processes


@pytest.fixture
def arena(processes: Processes, journal: Journal, server: Server, seed: int, tmp_path: Path) -> Iterator[Arena]:
    """Everything a storm needs."""
    arena = Arena(processes, journal, server, seed)
    yield arena
    arena.close()


@pytest.fixture
def lasting_arena(processes: Processes, journal: Journal, seed: int) -> Iterator[Arena]:
    """Whose server has on disk what it answered: with a sync each second, a slow disk lets a killed server forget."""
    with Server(appendfsync="always") as server:
        arena = Arena(processes, journal, server, seed)
        yield arena
        arena.close()
