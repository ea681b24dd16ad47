"""Fixtures on real servers and processes; a root conftest says `pytest_plugins = ["harness.fixtures"]`."""

import functools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.journal import JOURNAL_VARIABLE, Journal
from harness.processes import Processes
from harness.proxy import Proxy
from harness.seeds import chaos_seed
from harness.server import Server
from harness.terminal import Terminal

if TYPE_CHECKING:
    import redis

__all__ = [
    "journal",
    "namespace",
    "own_server",
    "processes",
    "proxy",
    "redis_client",
    "redis_url",
    "seed",
    "server",
    "shared_server",
    "terminals",
]


@functools.cache
def _server() -> Server:
    return Server().start()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """The server of this test process (one per xdist worker), as the last test left it."""
    server = _server()
    yield server
    server.close()
    _server.cache_clear()


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared server, running, with its own settings and empty.

    A test may kill, pause and reconfigure it: the next test gets it restored.
    """
    shared_server.reset()
    return shared_server


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server of this test alone, for tests that ruin its data; started."""
    with Server() as server:
        yield server


@pytest.fixture
def redis_url(server: Server) -> str:
    """Address of an empty server."""
    return server.url


@pytest.fixture
def redis_client(server: Server) -> "Iterator[redis.Redis]":
    """A client of that server, without retries."""
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def namespace() -> str:
    """A prefix no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before that server, without faults."""
    with Proxy(server.port, password=server.password) as proxy:
        yield proxy


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A journal announced to child processes by `ALSEK_JOURNAL`."""
    folder = tmp_path / "journal"
    folder.mkdir()
    monkeypatch.setenv(JOURNAL_VARIABLE, str(folder))
    return Journal(folder)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts programs and ends them, with all descendants, after the test."""
    started = Processes(tmp_path / "processes")
    yield started
    started.close()


@pytest.fixture
def seed(tmp_path: Path) -> int:
    """Seed of this random test, printed; `ALSEK_CHAOS_SEED` replays it."""
    return chaos_seed(tmp_path)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Those that a test opens; closed after it."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()
