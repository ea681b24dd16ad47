"""A server and two pools for the whole folder: what is tested is what upstream's programs see, not how pools start."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alsek import Broker
from alsek.storage.backends.redis import RedisBackend
from harness.fixtures import *  # noqa: F403 - works with and without a root conftest
from harness.processes import Process, Processes, alsek
from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PROGRAMS = Path(__file__).with_name("programs")
sys.path.append(str(PROGRAMS))


@pytest.fixture(scope="session")
def stage() -> Iterator[ModuleType]:
    """The module of the tasks, on a server of its own; nobody works yet."""
    import upstream_tasks

    with Server(appendonly=False) as server:
        os.environ[upstream_tasks.URL_VARIABLE] = server.url
        yield upstream_tasks
        del os.environ[upstream_tasks.URL_VARIABLE]


@pytest.fixture(scope="session")
def pools(stage: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Process]]:
    """A thread pool and a process pool that run the tasks, started as upstream's command line starts them."""
    started = Processes(tmp_path_factory.mktemp("pools"))
    commands = (
        ("thread-pool", "upstream_tasks", "--queues", "threads", "--n_threads", "4", "--n_processes", "2"),
        ("process-pool", "upstream_tasks", "--queues", "processes", "--n_processes", "2"),
    )
    pools = [started.start(alsek(*words), cwd=PROGRAMS) for words in commands]
    for pool in pools:
        pool.wait_for_line("Worker pool online.")
    yield pools
    started.close()


@pytest.fixture
def worked(stage: ModuleType, pools: list[Process]) -> ModuleType:
    """The module of the tasks, with pools at work on them."""
    assert all(pool.alive for pool in pools)
    return stage


@pytest.fixture
def backend(redis_url: str, namespace: str) -> Iterator[RedisBackend]:
    """A backend of this test alone, on an empty server."""
    backend = RedisBackend(redis_url, namespace=namespace)
    yield backend
    backend.close()


@pytest.fixture
def broker(backend: RedisBackend) -> Broker:
    """A broker of this test alone."""
    return Broker(backend)
