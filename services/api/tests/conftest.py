"""A running service on a real server, and real workers beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.fixtures import *  # noqa: F403  (works with and without a root conftest)

sys.path.append(str(Path(__file__).parent))

from typing import TYPE_CHECKING

from api_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.processes import Processes
    from harness.server import Server


@pytest.fixture
def stage(processes: Processes, server: Server) -> Iterator[Stage]:
    """A server, and whatever a test starts on it."""
    stage = Stage(processes, server)
    yield stage
    stage.close()
