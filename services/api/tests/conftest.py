"""A running service on a real server, and real workers beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.fixtures import *  # noqa: F403  (works with and without a root conftest)

sys.path.append(str(Path(__file__).parent))

from typing import TYPE_CHECKING

from api_stage import Stage
from dashboard_site import Site

from harness.processes import Processes
from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stage(processes: Processes, server: Server) -> Iterator[Stage]:
    """A server, and whatever a test starts on it."""
    stage = Stage(processes, server)
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The dashboard of one service, for all tests that only look and keep to a queue of their own."""
    processes = Processes(tmp_path_factory.mktemp("processes"))
    with Server() as server:
        stage = Stage(processes, server)
        site = Site(stage)
        try:
            yield site
        finally:
            site.close()
            processes.close()
            stage.close()


@pytest.fixture(scope="session")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One service for all tests of this process that leave it as it was (a start takes seconds), on its own server."""
    processes = Processes(tmp_path_factory.mktemp("shared"))
    with Server() as server:
        stage = Stage(processes, server)
        stage.running = stage.serve("--max-wrong-keys", "1000000")
        yield stage
        stage.close()
        processes.close()


@pytest.fixture
def shared(shared_stage: Stage) -> Stage:
    """The shared service, on an empty server."""
    shared_stage.server.reset()
    return shared_stage


@pytest.fixture
def working(shared: Stage) -> Stage:
    """The shared service, and the shared worker beside it."""
    shared.work()
    return shared
