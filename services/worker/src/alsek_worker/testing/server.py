"""A server for tests alone, and the detour that sends a program's backends to it for a while."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

from alsek.embedded import EmbeddedServer
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek_worker.testing.runner import Runner, gathered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from alsek.core.task import Task

#: Where a backend without an address looks.
_URL_VARIABLE: Final = "ALSEK_REDIS_URL"


class TestServer:
    """The bundled Valkey on a free port, with a folder of its own; nothing is left of it. A context manager.

    Attributes:
        url: Its address, once it runs.
    """

    __test__ = False  # not a test class, whatever its name

    def __init__(self) -> None:
        self.url = ""
        self._running = ExitStack()

    def start(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            MissingExtraError: The extra `embedded` of alsek-core is not installed.
            BackendUnavailableError: It did not start.
        """
        with ExitStack() as starting:
            folder = starting.enter_context(TemporaryDirectory(prefix="alsek-test-", ignore_cleanup_errors=True))
            server = starting.enter_context(EmbeddedServer("redis://127.0.0.1:0/0", data_dir=folder))
            self.url = server.url
            self._running = starting.pop_all()
        return self

    def stop(self) -> None:
        """End it, and delete its folder."""
        self._running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def detour(self) -> Iterator[Self]:
        """Send every Redis backend of this process here, and empty the server before and after.

        Backends keep their namespace, serializer and partitions, so tasks, brokers, result stores and statuses that
        hang on them need not know. `ALSEK_REDIS_URL` leads here as well, for backends made meanwhile without an
        address, and for child processes. Afterwards all lead where they led before.
        """
        self.empty()
        before = os.environ.get(_URL_VARIABLE)
        os.environ[_URL_VARIABLE] = self.url
        with ExitStack() as back:
            for backend in _backends():
                back.enter_context(_led_to(backend, self.url))
            try:
                yield self
            finally:
                if before is None:
                    del os.environ[_URL_VARIABLE]
                else:
                    os.environ[_URL_VARIABLE] = before
                self.empty()

    @contextmanager
    def runner(self, *tasks: Task | ModuleType | str) -> Iterator[Runner]:
        """Import what defines tasks, send every backend here, and give a `Runner` of the tasks."""
        found = gathered(tasks)
        with self.detour(), Runner(self.url, *found) as runner:
            yield runner

    def empty(self) -> None:
        """Delete everything on it."""
        backend = RedisBackend(self.url)
        backend.links.command("FLUSHALL")
        backend.close()


def _backends() -> list[RedisBackend | AsyncRedisBackend]:
    # By type(), not isinstance(): that would wake objects that only pretend to be of a class.
    return [found for found in gc.get_objects() if issubclass(type(found), RedisBackend | AsyncRedisBackend)]


@contextmanager
def _led_to(backend: RedisBackend | AsyncRedisBackend, url: str) -> Iterator[None]:
    before = dict(vars(backend))
    if isinstance(backend, RedisBackend):
        RedisBackend.__init__(backend, url, backend.namespace, backend.serializer, backend.partitions)
        for name in ("_async_links", "_async_subscribers"):
            vars(backend).pop(name, None)
    else:
        AsyncRedisBackend.__init__(backend, url, backend.namespace, backend.serializer, backend.partitions)
    try:
        yield
    finally:
        if isinstance(backend, RedisBackend):
            backend.close()
        vars(backend).clear()
        vars(backend).update(before)
