"""Things of which each running event loop has its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One thing for each running event loop; safe for threads.

    Args:
        make: Makes it; must not connect.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def current(self) -> T:
        """Give that of the running loop."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            with self._lock:
                for closed in [known for known in self._made if known.is_closed()]:
                    del self._made[closed]
                made = self._made.setdefault(loop, self._make())
        return made
