"""The verbs for asyncio: all calls of one turn of the loop leave in one write, over one connection.

The twin of `link`: the same calls, errors and repeats. One instance belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from copy import copy
from random import random
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis import exceptions as redis_errors

from alsek.exceptions import AlsekError, BackendUnavailableError
from alsek.storage.backends.redis.async_submit import AsyncSubmits, Submitter
from alsek.storage.backends.redis.async_wire import Wire, WireBrokenError, open_wire, pack
from alsek.storage.backends.redis.errors import code_of, is_missing_script, translate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.connection import Connection

    from alsek.storage.backends.redis.link import Argument, Call
    from alsek.storage.backends.redis.verbs import NewMessage

#: As in `link`: bounds of the pause between two attempts, seconds (full jitter).
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0

_ASKING: Final = pack("ASKING")

#: A node of a cluster that says so is well: only the keys are not there, or not all of them.
_ELSEWHERE: Final = ("MOVED", "ASK", "TRYAGAIN")

#: Silence, while replies are due, after which the connection counts as dead; seconds.
_SILENCE_S: Final = 5.0


class AsyncRoute(Protocol):
    """A way to where keys live: an `AsyncLink`, or an `AsyncClusterLink` over many of them."""

    async def execute(self, call: Call, *, patience: float = 0.0, again: bool = False) -> Any:
        """Run one call; see `AsyncLink.execute`."""

    async def command(self, *args: Argument) -> Any:
        """Run one plain command without any repeat."""

    async def submit(
        self, submitter: Submitter, partition: int, queue: str, message: NewMessage, *, patience: float = 0.0
    ) -> int:
        """Store a message; see `AsyncLink.submit`."""

    def close(self) -> None:
        """Drop the connections. In the loop's thread only."""


class AsyncLink:
    """A connection that all tasks of one event loop share.

    Args:
        settings: Makes an unconnected redis-py connection; only its settings are read.
        silence_s: Seconds without a word, while replies are due, that end the connection.
    """

    def __init__(self, settings: Callable[[], Connection], silence_s: float | None = _SILENCE_S) -> None:
        self._settings = settings
        self._silence_s = silence_s
        self._wire: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None
        self._end: AsyncIterator[None] | None = None
        self._submits: AsyncSubmits | None = None

    async def execute(self, call: Call, *, patience: float = 0.0, again: bool = False) -> Any:
        """Run one call, together with the others of this turn of the loop.

        A caller that is cancelled leaves nobody else's reply in disorder; its own call may have run.

        Args:
            call: What to run.
            patience: Seconds for which an unreachable Redis is tried again.
            again: Whether it may have run before.

        Raises:
            BackendUnavailableError: Redis did not answer in time; `ambiguous` says if the call may have run.
            AlsekError: Any other row of the table in `errors`.
        """
        pause = _FIRST_PAUSE
        end: float | None = None
        while True:
            try:
                return await self.attempt(call, again)
            except BackendUnavailableError as error:
                again = again or error.ambiguous
                now = asyncio.get_running_loop().time()
                if end is None:
                    end = now + patience
                if now >= end:
                    error.ambiguous = again
                    raise
                await asyncio.sleep(min(end - now, random() * pause))  # noqa: S311  (jitter, not a secret)
                pause = min(_LONGEST_PAUSE, pause * 2)

    async def command(self, *args: Argument, asking: bool = False) -> Any:
        """Run one plain command without any repeat; `asking` as in `attempt`."""
        wire = self._wire
        if wire is None or not wire.usable:
            wire = await self._ready()
        if asking:
            wire.ask(_ASKING).add_done_callback(_retrieve)
        return await self._reply(wire, wire.ask(pack(*args)))

    async def submit(
        self, submitter: Submitter, partition: int, queue: str, message: NewMessage, *, patience: float = 0.0
    ) -> int:
        """Store a message, in one script with the others that are submitted in this turn of the loop.

        A caller cancelled before the turn ends has stored nothing.

        Returns:
            The message's code; errors as in `execute`.
        """
        if self._submits is None:
            self._submits = AsyncSubmits(self)
        return await self._submits.add(submitter, partition, queue, message, patience)

    def post(self, call: Call) -> asyncio.Future[Any] | None:
        """Send a call now, without any repeat; its reply may be an error reply, or `WireBrokenError` be raised.

        Returns:
            The future reply; `None` when it could not be sent: only `execute` helps.
        """
        wire = self._wire
        if wire is None or not wire.usable or call.script.digest not in wire.loaded:
            return None
        reply = wire.ask(call.packed())
        wire.flush()
        return reply

    @property
    def connected(self) -> bool:
        """Tell whether a connection stands."""
        return self._wire is not None and self._wire.usable

    def retire(self) -> None:
        """Have new calls go over a new connection; this one ends when it has its replies."""
        wire, self._wire = self._wire, None
        self._opening = None
        if wire is not None:
            wire.retire()

    def close(self) -> None:
        """Drop the connection; the next call makes a new one. In the loop's thread only."""
        wire, self._wire = self._wire, None
        self._opening = None
        if wire is not None:
            wire.close()

    async def attempt(self, call: Call, again: bool, *, asking: bool = False) -> Any:
        """Run a call once, having its script loaded where it is not known.

        Args:
            call: What to run.
            again: Whether it may have run before.
            asking: For a node of a cluster that only takes over the slot.
        """
        script = call.script
        while True:
            wire = self._wire
            if wire is None or not wire.usable:
                wire = await self._ready()
            loading: asyncio.Future[Any] | None = None
            if script.digest not in wire.loaded:
                wire.loaded.add(script.digest)
                # In front of the call, in the same write.
                loading = wire.ask(pack("SCRIPT", "LOAD", script.source))
                loading.add_done_callback(_retrieve)
            if asking:
                wire.ask(_ASKING).add_done_callback(_retrieve)
            try:
                return await self._reply(wire, wire.ask(call.packed(again=again)))
            except _ScriptMissing:
                wire.loaded.discard(script.digest)
                if loading is not None:
                    await self._reply(wire, loading)  # tells why it could not be loaded

    async def _reply(self, wire: Wire, pending: asyncio.Future[Any]) -> Any:
        try:
            reply = await pending
        except WireBrokenError as error:
            raise translate(error, sent=error.sent) from error
        if not isinstance(reply, redis_errors.ResponseError):
            return reply
        if is_missing_script(reply):
            raise _ScriptMissing
        failure = translate(reply, sent=True)
        if isinstance(failure, BackendUnavailableError) and code_of(reply) not in _ELSEWHERE:
            wire.retire()  # a server that cannot write now: the next one may be another
        raise failure from reply

    async def _ready(self) -> Wire:
        # One attempt for all who wait for it; a cancelled one among them does not end it.
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(open_wire(self._settings(), self._silence_s))
            self._opening.add_done_callback(_retrieve)
        opening = self._opening
        try:
            wire = await asyncio.shield(opening)
        except AlsekError as error:
            # Each caller gets an exception of its own: it will write into it.
            raise copy(error) from error
        self._wire = wire
        if self._end is None:
            self._end = self._close_with_loop()
            await anext(self._end)
        return wire

    async def _close_with_loop(self) -> AsyncIterator[None]:
        # `asyncio.run` finishes open async generators before it closes the loop, and so our connection.
        try:
            yield
        finally:
            self.close()
            self._end = None
            await asyncio.sleep(0)


class _ScriptMissing(Exception):
    """Redis does not know the script; it ran nothing."""


def _retrieve(reply: asyncio.Future[Any]) -> None:
    # Whoever waited has been told otherwise; asyncio complains about exceptions that nobody looked at.
    if not reply.cancelled():
        reply.exception()
