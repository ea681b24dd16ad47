"""pytest's part: `alsek_runner`, `alsek_broker`, `alsek_server`. Nothing starts before a test asks for one of them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.core.broker import Broker
    from alsek_worker.testing.runner import Runner
    from alsek_worker.testing.server import TestServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting `alsek_tasks`."""
    parser.addini("alsek_tasks", "modules and packages whose tasks `alsek_runner` runs", type="args", default=[])


@pytest.fixture(scope="session")
def alsek_server() -> Iterator[TestServer]:
    """A server of this test session alone: the bundled Valkey, started when the first test needs it."""
    from alsek_worker.testing.server import TestServer

    with TestServer() as server:
        yield server


@pytest.fixture(scope="session")
def alsek_tasks(pytestconfig: pytest.Config) -> list[Any]:
    """What `alsek_runner` runs: the ini setting `alsek_tasks`. Override it to give tasks or modules."""
    named: list[Any] = pytestconfig.getini("alsek_tasks")
    if not named:
        raise pytest.UsageError(
            "alsek_runner does not know your tasks: set `alsek_tasks = your_package.tasks` in the pytest section of "
            "your configuration, or override the fixture alsek_tasks"
        )
    return named


@pytest.fixture
def alsek_runner(alsek_server: TestServer, alsek_tasks: list[Any]) -> Iterator[Runner]:
    """Everything your program enqueues goes to an empty test server, and `run_until_empty()` runs it here."""
    with alsek_server.runner(*alsek_tasks) as runner:
        yield runner


@pytest.fixture
def alsek_broker(alsek_server: TestServer) -> Iterator[Broker]:
    """A broker of this test alone on the test server, in a namespace of its own, for tasks that the test defines."""
    from alsek.core.broker import Broker
    from alsek.storage.backends.redis import RedisBackend

    with alsek_server.detour():
        backend = RedisBackend(alsek_server.url, namespace=f"test-{uuid.uuid4().hex[:12]}")
        yield Broker(backend)
        backend.close()
