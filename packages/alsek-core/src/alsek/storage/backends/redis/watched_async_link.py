"""The asyncio twin of `WatchedLink`: the Sentinels are asked beside the work."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from alsek.storage.backends.redis.async_link import AsyncLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.connection import Connection

    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.primary_watch import PrimaryWatch


class WatchedAsyncLink(AsyncLink):
    """A link that goes over a new connection when the primary is another.

    Args:
        settings: See `AsyncLink`.
        watch: Of the backend.
    """

    def __init__(self, settings: Callable[[], Connection], watch: PrimaryWatch) -> None:
        super().__init__(settings)
        self._watch = watch
        self._generation = 0
        self._looking: asyncio.Task[None] | None = None

    async def attempt(self, call: Call, again: bool, *, asking: bool = False) -> Any:
        """Run a call once; see `AsyncLink.attempt`."""
        self._look()
        return await super().attempt(call, again, asking=asking)

    def post(self, call: Call) -> asyncio.Future[Any] | None:
        """Send a call at once; see `AsyncLink.post`."""
        self._look()
        return super().post(call)

    def _look(self) -> None:
        if self._watch.due and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        generation = await asyncio.to_thread(self._watch.look)
        if generation != self._generation:
            self._generation = generation
            self.retire()
