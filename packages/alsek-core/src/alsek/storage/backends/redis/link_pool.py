"""The links of one process, lent out to its threads."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from alsek.exceptions import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from alsek.storage.backends.redis.link import Argument, Call, Command, Route

#: Links that one process keeps open for its callers; more callers at a time wait for one.
_MOST_LINKS: Final = 32


class LinkPool:
    """Links that the callers of one process share, one caller at a time each.

    Safe for threads; a forked child gets links of its own.

    Args:
        new_link: Makes an unconnected link.
        most: That are open at a time.
    """

    def __init__(self, new_link: Callable[[], Route], most: int = _MOST_LINKS) -> None:
        self._new_link = new_link
        self._most = most
        self._reset()

    def execute(self, calls: Sequence[Call], *, patience: float = 0.0) -> list[Any]:
        """Run calls on a free link; see `Link.execute`."""
        link = self._take()
        try:
            return link.execute(calls, patience=patience)
        finally:
            self._give_back(link)

    def stream(self, calls: Iterable[Call], *, patience: float = 0.0) -> Iterator[Any]:
        """Run calls one ahead of their replies on a free link; see `Link.stream`."""
        with self._link() as link:
            yield from link.stream(calls, patience=patience)

    def command(self, *args: Argument) -> Any:
        """Run a reading command on a free link; a connection that broke while it was idle is made anew."""
        with self._link() as link:
            try:
                return link.command(*args)
            except BackendUnavailableError:
                return link.command(*args)

    def ask(self, commands: Sequence[Command], *, key: str | None = None) -> list[Any]:
        """Run reading commands in as few writes as possible on a free link; as `command` in all else."""
        with self._link() as link:
            try:
                return link.ask(commands, key=key)
            except BackendUnavailableError:
                return link.ask(commands, key=key)

    def close(self) -> None:
        """Drop all connections that nobody uses at the moment."""
        closed: list[Route] = []
        with suppress(IndexError):
            while True:
                closed.append(self._idle.pop())
        for link in closed:
            link.close()
            self._give_back(link)

    @contextmanager
    def _link(self) -> Iterator[Route]:
        link = self._take()
        try:
            yield link
        finally:
            self._give_back(link)

    def _take(self) -> Route:
        if self._pid != os.getpid():
            self._reset()
        try:
            return self._idle.pop()
        except IndexError:
            return self._make_or_wait()

    def _make_or_wait(self) -> Route:
        with self._freed:
            # Counted before the last look: who gives a link back either is seen by it, or sees that somebody waits.
            self._waiting += 1
            try:
                while True:
                    with suppress(IndexError):
                        return self._idle.pop()
                    if self._made < self._most:
                        self._made += 1
                        return self._new_link()
                    self._freed.wait()
            finally:
                self._waiting -= 1

    def _give_back(self, link: Route) -> None:
        self._idle.append(link)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Route] = []
        self._made = 0
        self._waiting = 0
        self._freed = threading.Condition()
