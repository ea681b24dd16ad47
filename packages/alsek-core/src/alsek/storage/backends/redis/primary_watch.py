"""Whether the primary is still the one that the Sentinels name.

A primary that was replaced while it was frozen, or by order, goes on taking writes until the Sentinels make it a
replica, ten seconds later; and all of them are lost. Whoever is connected to it has to find out sooner. (A server with
`min-replicas-to-write` refuses them from the first on.)
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from alsek.storage.backends.redis.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable


#: A busy connection has the Sentinels asked this often, seconds; an idle one never.
_LOOK_S: Final = 0.5


class PrimaryWatch:
    """Asks the Sentinels now and then, for all links of a process; safe for threads.

    Args:
        ask: Gives the primary's address.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._address: Any = None
        self._next_look = 0.0
        self._guard = (os.getpid(), threading.Lock())
        #: Grows with every change of the primary that was seen.
        self.generation = 0

    @property
    def due(self) -> bool:
        """Whether it is time to ask again."""
        return time.monotonic() >= self._next_look

    def look(self) -> int:
        """Give the generation, after having asked if it is time; whoever comes meanwhile gets the old one."""
        if not self.due:
            return self.generation
        pid, lock = self._guard
        if pid != os.getpid():  # our parent's may be held by a thread that is not here
            self._guard = (os.getpid(), lock := threading.Lock())
        if lock.acquire(blocking=False):
            try:
                self._next_look = time.monotonic() + _LOOK_S
                address = self._ask()
                if self._address not in (None, address):
                    self.generation += 1
                self._address = address
            except (redis_errors.RedisError, OSError):
                pass  # no Sentinel says otherwise
            finally:
                lock.release()
        return self.generation


class WatchedLink(Link):
    """A link that connects anew when the primary is another.

    Args:
        connect: See `Link`.
        watch: Of the backend.
    """

    def __init__(self, connect: Callable[[], Any], watch: PrimaryWatch) -> None:
        super().__init__(connect)
        self._watch = watch
        self._generation = 0

    def _ready(self) -> Any:
        generation = self._watch.look()
        if generation != self._generation:
            self._generation = generation
            self.close()
        return super()._ready()
