"""One pub/sub connection for all who wait in an event loop, however many they are: the twin of `subscriber`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from copy import copy
from random import random
from typing import TYPE_CHECKING, Any, Final, Self, cast

from redis import exceptions as redis_errors

from alsek.exceptions import AlsekError, BackendUnavailableError
from alsek.storage.backends.redis.async_wire import Wire, open_wire, pack
from alsek.storage.backends.redis.listener import LOOK, MOST_WAITING, Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    from redis.connection import Connection

__all__ = ["AsyncSubscriber", "AsyncSubscription", "Event"]

#: Seconds after which a silent connection is asked whether it lives, and what it has to answer within.
_CHECK_S: Final = 15.0
_PATIENCE_S: Final = 5.0

#: Pauses between attempts to reach Redis, seconds: full jitter, as in `link`.
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class PushWire(Wire):
    """A connection on which Redis speaks without being asked."""

    def __init__(self, patience_s: float | None) -> None:
        super().__init__(patience_s)
        self.heard: Callable[[list[Any]], None] = lambda _: None
        self.lost: Callable[[], None] = lambda: None
        self._untold: list[bytes] = []

    def tell(self, packed: bytes) -> None:
        """Send a command whose reply is a push, in one write with the others of this turn of the loop."""
        if not self._untold:
            self._loop.call_soon(self._tell_all)
        self._untold.append(packed)

    def _tell_all(self) -> None:
        packed = b"".join(self._untold)
        self._untold.clear()
        if self.usable and self._transport is not None:
            self._transport.write(packed)

    def data_received(self, data: bytes) -> None:
        """Hand pushes to who hears them, and replies to who asked."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, list) and reply[0] != b"pong":
                    self.heard(reply)
                elif self._due:
                    future = self._due.popleft()
                    if not future.done():
                        future.set_result(reply)
                else:  # a farewell
                    self._ending = str(reply)
                    self.close()
                    return
        except redis_errors.InvalidResponse as error:
            self._ending = f"this does not speak like Redis: {error}"
            self.close()
            return
        self._heard_at = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who listens."""
        super().connection_lost(exc)
        self.lost()


class AsyncSubscriber:
    """Gives out subscriptions that share one connection of one event loop; it is replaced when it breaks.

    Args:
        connect: Makes an unconnected redis-py connection; only its settings are read.
        check_s: Silence after which the connection is asked whether it lives.
    """

    def __init__(self, connect: Callable[[], Connection], check_s: float = _CHECK_S) -> None:
        self.error: BackendUnavailableError | None = None
        """Why there is no connection."""
        self._settings = connect
        self._check_s = check_s
        self._wire: PushWire | None = None
        self._opening: asyncio.Task[None] | None = None
        self._checking: asyncio.TimerHandle | None = None
        #: Longest pause before the next attempt to connect, seconds; 0 while Redis speaks with us.
        self._pause_s = 0.0
        self._end: AsyncIterator[None] | None = None
        self._wanted: dict[str, list[AsyncSubscription]] = {}
        #: Number of SUBSCRIBE replies that are still to come for a channel.
        self._pending: dict[str, int] = {}

    def open(self, channels: Iterable[str]) -> AsyncSubscription:
        """Subscribe; the first event says that the subscription stands. Use it in an `async with` block."""
        return AsyncSubscription(self, channels)

    def join(self, subscription: AsyncSubscription, channels: Iterable[str]) -> None:
        """Let a subscription hear channels."""
        fresh = []
        standing = self._wire is not None and self._wire.usable
        for channel in channels:
            listeners = self._wanted.setdefault(channel, [])
            if not listeners:
                fresh.append(channel)
            listeners.append(subscription)
            if channel in self._pending or channel in fresh or not standing:
                subscription.missing.add(channel)
        if not subscription.missing:
            subscription.deliver(LOOK)
        elif standing:
            self._subscribe(fresh)
        elif self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._connect())

    def leave(self, subscription: AsyncSubscription, channels: Iterable[str]) -> None:
        """Let a subscription hear channels no more."""
        gone = []
        for channel in channels:
            listeners = self._wanted.get(channel, [])
            if subscription in listeners:
                listeners.remove(subscription)
            if not listeners and self._wanted.pop(channel, None) is not None:
                gone.append(channel)
        if gone and self._wire is not None:
            self._wire.tell(pack("UNSUBSCRIBE", *gone))

    def end(self) -> None:
        """End all subscriptions; whoever waits is told. In the loop's thread only."""
        for subscription in {one for listeners in self._wanted.values() for one in listeners}:
            subscription.close()

    def close(self) -> None:
        """Drop the connection; whoever waits gets a new one. In the loop's thread only."""
        wire, self._wire = self._wire, None
        if self._checking is not None:
            self._checking.cancel()
        if wire is not None:
            wire.close()

    async def _connect(self) -> None:
        while self._wanted:
            if self._pause_s:
                await asyncio.sleep(random() * self._pause_s)  # noqa: S311 - jitter, not a secret
            try:
                wire = await self._open()
            except BackendUnavailableError as error:
                self.error = error
                self._slow_down()
            except AlsekError as error:
                for subscription in {one for listeners in self._wanted.values() for one in listeners}:
                    subscription.fail(error)
                return
            else:
                await self._take(wire)
                return

    async def _open(self) -> PushWire:
        # To ask a cluster for its nodes blocks.
        settings = await asyncio.to_thread(self._settings)
        patience_s = min(_PATIENCE_S, self._check_s)
        wire = cast("PushWire", await open_wire(settings, patience_s, PushWire))  # what we make is what we get
        if not wire.usable:
            raise BackendUnavailableError("Redis did not answer: it closed the connection at once")
        return wire

    def _slow_down(self) -> None:
        self._pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * self._pause_s))

    async def _take(self, wire: PushWire) -> None:
        wire.heard = self._hear
        wire.lost = lambda: self._lose(wire)
        self._wire, self.error = wire, None
        self._pending.clear()
        for channel, listeners in self._wanted.items():
            for subscription in listeners:
                subscription.missing.add(channel)
        self._subscribe(list(self._wanted))
        self._checking = asyncio.get_running_loop().call_later(self._check_s, self._check, wire)
        if self._end is None:
            self._end = self._close_with_loop()
            await anext(self._end)

    def _subscribe(self, channels: list[str]) -> None:
        if channels and self._wire is not None:
            for channel in channels:
                self._pending[channel] = self._pending.get(channel, 0) + 1
            self._wire.tell(pack("SUBSCRIBE", *channels))

    def _hear(self, reply: list[Any]) -> None:
        self._pause_s = 0.0
        kind, channel = reply[0], reply[1].decode()
        if kind == b"message":
            event = Event(channel, reply[2])
            for subscription in self._wanted.get(channel, ()):
                subscription.deliver(event)
        elif kind == b"subscribe":
            left = self._pending.pop(channel, 1) - 1
            if left:
                self._pending[channel] = left
                return
            for subscription in self._wanted.get(channel, ()):
                subscription.confirm((channel,))

    def _lose(self, wire: PushWire) -> None:
        if self._wire is not wire:
            return
        self._wire = None
        self._slow_down()
        if self._wanted and (self._opening is None or self._opening.done()):
            self._opening = asyncio.get_running_loop().create_task(self._connect())

    def _check(self, wire: PushWire) -> None:
        if wire is self._wire and wire.usable:
            wire.ask(pack("PING")).add_done_callback(lambda pong: pong.cancelled() or pong.exception())
            self._checking = asyncio.get_running_loop().call_later(self._check_s, self._check, wire)

    async def _close_with_loop(self) -> AsyncIterator[None]:
        # `asyncio.run` finishes open async generators before it closes the loop, and so our connection.
        try:
            yield
        finally:
            self.close()
            self._end = None
            await asyncio.sleep(0)


class AsyncSubscription:
    """What one coroutine waits for."""

    def __init__(self, hub: AsyncSubscriber, channels: Iterable[str]) -> None:
        self.missing: set[str] = set()
        """Channels whose subscription has not been confirmed."""
        self.closed = False
        """Whether nothing will follow."""
        self._hub = hub
        self._channels = dict.fromkeys(channels)
        self._inbox: deque[Event | AlsekError] = deque()
        self._bell = asyncio.Event()
        hub.join(self, self._channels)

    async def next(self, deadline: float | None = None) -> Event | None:
        """Wait for an event; as `Subscription.next`.

        Args:
            deadline: Monotonic seconds; `None` waits for ever.

        Returns:
            The event; `None` when the deadline passed, or the subscription was closed.

        Raises:
            BackendUnavailableError: The deadline passed while Redis could not be reached.
            BackendAuthenticationError: Redis refuses us.
        """
        while not self._inbox:
            if self.closed:
                return None
            self._bell.clear()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                async with asyncio.timeout(left):
                    await self._bell.wait()
            except TimeoutError:
                if self._inbox:
                    break
                if self._hub.error is not None:
                    raise BackendUnavailableError(str(self._hub.error)) from self._hub.error
                return None
        event = self._inbox.popleft()
        if isinstance(event, AlsekError):
            raise copy(event) from event
        return event

    def add(self, channels: Iterable[str]) -> None:
        """Listen to more channels; if some are new, an event without a channel says when all stand."""
        new = [channel for channel in channels if channel not in self._channels]
        if new:
            self._channels |= dict.fromkeys(new)
            self._hub.join(self, new)

    def drop(self, channels: Iterable[str]) -> None:
        """Listen to some channels no more."""
        gone = [channel for channel in channels if channel in self._channels]
        for channel in gone:
            del self._channels[channel]
        self._hub.leave(self, gone)
        self.confirm(gone)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Give the events until the subscription is closed; errors are those of `next`."""
        while (event := await self.next()) is not None:
            yield event

    def close(self) -> None:
        """Unsubscribe; whoever waits is told."""
        self._hub.leave(self, self._channels)
        self._channels = {}
        self.closed = True
        self._bell.set()

    def deliver(self, event: Event) -> None:
        """Take an event; for the hub."""
        if len(self._inbox) >= MOST_WAITING:
            self._inbox.clear()
            event = LOOK
        self._inbox.append(event)
        self._bell.set()

    def confirm(self, channels: Iterable[str]) -> None:
        """Note that channels stand, or are not waited for; for the hub."""
        waited = bool(self.missing)
        self.missing.difference_update(channels)
        if waited and not self.missing:
            self.deliver(LOOK)

    def fail(self, error: AlsekError) -> None:
        """End the wait; for the hub."""
        self._inbox.append(error)
        self._bell.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        self.close()
