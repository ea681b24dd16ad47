"""The verbs on a cluster for asyncio: the twin of `cluster_link`, over one shared connection to each node."""

from __future__ import annotations

import asyncio
from functools import partial
from random import random
from typing import TYPE_CHECKING, Any, Final

from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis.async_link import AsyncLink
from alsek.storage.backends.redis.async_submit import AsyncSubmits, Submitter
from alsek.storage.backends.redis.cluster_link import MOST_HOPS, key_of
from alsek.storage.backends.redis.errors import redirect_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from alsek.storage.backends.redis.link import Argument, Call
    from alsek.storage.backends.redis.slots import Node, Slots
    from alsek.storage.backends.redis.verbs import NewMessage

#: As in `link`: bounds of the pause between two attempts, seconds (full jitter).
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


async def _attempt(call: Call, again: bool, link: AsyncLink, asking: bool) -> Any:
    return await link.attempt(call, again, asking=asking)


class AsyncClusterLink:
    """A connection to each node that is needed, which all tasks of one event loop share.

    Args:
        slots: Tells which node serves what.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._links: dict[Node, AsyncLink] = {}
        self._submits: AsyncSubmits | None = None

    async def execute(self, call: Call, *, patience: float = 0.0, again: bool = False) -> Any:
        """Run one call on the node of its keys; see `AsyncLink.execute`."""
        pause = _FIRST_PAUSE
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while True:
            try:
                return await self._follow(call.keys[0], partial(_attempt, call, again))
            except BackendUnavailableError as error:
                again = again or error.ambiguous
                now = loop.time()
                if now >= end:
                    error.ambiguous = again
                    raise
                await asyncio.sleep(min(end - now, random() * pause))  # noqa: S311  (jitter, not a secret)
                pause = min(_LONGEST_PAUSE, pause * 2)

    async def command(self, *args: Argument) -> Any:
        """Run one plain command without any repeat but where it is redirected."""
        return await self._follow(key_of(args), lambda link, asking: link.command(*args, asking=asking))

    async def submit(
        self, submitter: Submitter, partition: int, queue: str, message: NewMessage, *, patience: float = 0.0
    ) -> int:
        """Store a message, in one script with others of its partition; see `AsyncLink.submit`."""
        if self._submits is None:
            self._submits = AsyncSubmits(self)
        return await self._submits.add(submitter, partition, queue, message, patience)

    def post(self, call: Call) -> asyncio.Future[Any] | None:
        """Send a call at once, if it is known where to; see `AsyncLink.post`."""
        return self._link(self._slots.node_of(call.keys[0])).post(call) if self._slots.settled else None

    @property
    def connected(self) -> bool:
        """Tell whether a connection stands."""
        return any(link.connected for link in self._links.values())

    def close(self) -> None:
        """Drop the connections; the next call makes new ones. In the loop's thread only."""
        while self._links:
            self._links.popitem()[1].close()

    async def _follow(self, key: Argument | None, run: Callable[[AsyncLink, bool], Awaitable[Any]]) -> Any:
        node, asking = await self._node_of(key), False
        for _ in range(MOST_HOPS):
            try:
                return await run(self._link(node), asking)
            except BackendUnavailableError as error:
                redirect = redirect_of(error.__cause__)
                if redirect is None:
                    self._slots.doubt()
                    raise
                node, asking = self._slots.moved(redirect, node), redirect.once
        raise BackendUnavailableError("Redis cannot serve now: the nodes of the cluster send us in circles")

    async def _node_of(self, key: Argument | None) -> Node:
        slots = self._slots
        if not slots.settled:  # the nodes are asked in a way that blocks
            await asyncio.to_thread(slots.primaries)
        return slots.primaries()[0] if key is None else slots.node_of(key)

    def _link(self, node: Node) -> AsyncLink:
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = AsyncLink(lambda: self._slots.connection_to(node, 5.0))
        return link
