"""One pub/sub connection for all who wait in one event loop: the twin of `hub`, for services with many listeners."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from random import random
from typing import TYPE_CHECKING, Any, Final, Self

from redis import exceptions as redis_errors

from alsek.exceptions import AlsekError
from alsek.logging import get_logger
from alsek.storage.backends.redis.async_wire import Wire, open_wire, pack
from alsek.storage.backends.redis.listener import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.connection import Connection

log = get_logger(__name__)

#: Pauses between attempts to reach Redis, seconds: full jitter, as in `link`.
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

#: Events kept for a listener that is busy; beyond them it is told to look for itself.
_MOST_WAITING: Final = 1_000

_LOOK: Final = Event(None)


class AsyncHub:
    """Gives out subscriptions that share one connection; belongs to one event loop.

    Args:
        settings: Makes an unconnected redis-py connection; only its settings are read.
        check_s: Silence after which the connection is asked whether it lives, and after which it counts as dead.
    """

    def __init__(self, settings: Callable[[], Connection], check_s: float = 15.0) -> None:
        self._settings = settings
        self._check_s = check_s
        self._wire: _PushWire | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted: dict[bytes, list[AsyncSubscription]] = {}
        #: Channels whose subscription stands, and how many replies are to come for the others.
        self._standing: set[bytes] = set()
        self._pending: dict[bytes, int] = {}
        self._to_join: dict[bytes, None] = {}
        self._to_leave: dict[bytes, None] = {}
        self._flushing = False

    def listen(self, channels: Iterable[str]) -> AsyncSubscription:
        """Subscribe; the first event says that the subscription stands. Use it in a `with` block."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        subscription = AsyncSubscription(self, channels)
        for channel in subscription.channels:
            others = self._wanted.setdefault(channel, [])
            others.append(subscription)
            if len(others) == 1:
                self._to_leave.pop(channel, None)
                self._to_join[channel] = None
            if channel not in self._standing:
                subscription.missing.add(channel)
        if not subscription.missing:
            subscription.deliver(_LOOK)
        self._flush_soon()
        return subscription

    def leave(self, subscription: AsyncSubscription) -> None:
        """Forget a subscription, and the channels that nobody else listens to."""
        for channel in subscription.channels:
            others = self._wanted.get(channel)
            if others is None or subscription not in others:
                continue
            others.remove(subscription)
            if not others:
                del self._wanted[channel]
                self._standing.discard(channel)
                self._to_join.pop(channel, None)
                self._to_leave[channel] = None
        self._flush_soon()

    @property
    def listeners(self) -> int:
        """How many subscriptions there are."""
        return len({id(one) for others in self._wanted.values() for one in others})

    def end(self) -> None:
        """End all subscriptions; whoever waits is told."""
        for subscription in {one for others in self._wanted.values() for one in others}:
            subscription.close()

    async def close(self) -> None:
        """End all subscriptions, and the connection."""
        self.end()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                wire = await open_wire(self._settings(), self._check_s, lambda _: _PushWire(self._tell))
            except AlsekError as error:
                log.warning("subscription.broken", error=str(error))
                await asyncio.sleep(random() * pause)  # noqa: S311 - jitter, not a secret
                pause = min(_LONGEST_PAUSE_S, pause * 2)
                continue
            assert isinstance(wire, _PushWire)
            pause = _FIRST_PAUSE_S
            self._wire = wire
            self._begin()
            try:
                await self._watch(wire)
            finally:
                self._wire = None
                wire.close()

    def _begin(self) -> None:
        self._standing.clear()
        self._pending.clear()
        self._to_leave.clear()
        self._to_join = dict.fromkeys(self._wanted)
        for channel, listeners in self._wanted.items():
            for listener in listeners:
                listener.missing.add(channel)
        self._flush()

    async def _watch(self, wire: _PushWire) -> None:
        while True:
            heard = wire.heard
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check_s):
                    await wire.lost.wait()
            if wire.lost.is_set() or (wire.heard == heard and wire.asked):
                return
            if wire.heard == heard:
                wire.asked = True
                wire.write(pack("PING"))

    def _flush_soon(self) -> None:
        if not self._flushing and (self._to_join or self._to_leave):
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        wire = self._wire
        if wire is None:
            return
        packed = b""
        if self._to_leave:
            packed = pack("UNSUBSCRIBE", *self._to_leave)
            self._to_leave.clear()
        if self._to_join:
            packed += pack("SUBSCRIBE", *self._to_join)
            for channel in self._to_join:
                self._pending[channel] = self._pending.get(channel, 0) + 1
            self._to_join.clear()
        if packed:
            wire.write(packed)

    def _tell(self, reply: list[Any]) -> None:
        kind, channel = reply[0], reply[1]
        if kind == b"message":
            event = Event(channel.decode(), reply[2])
            for listener in self._wanted.get(channel, ()):
                listener.deliver(event)
        elif kind == b"subscribe":
            left = self._pending.pop(channel, 1) - 1
            if left:
                self._pending[channel] = left
                return
            if channel not in self._wanted:
                return
            self._standing.add(channel)
            for listener in self._wanted[channel]:
                if channel in listener.missing:
                    listener.missing.discard(channel)
                    if not listener.missing:
                        listener.deliver(_LOOK)


class AsyncSubscription:
    """What one listener hears; made by `AsyncHub.listen`."""

    def __init__(self, hub: AsyncHub, channels: Iterable[str]) -> None:
        self.channels = tuple({channel.encode(): None for channel in channels})
        self.missing: set[bytes] = set()
        self._hub = hub
        self._inbox: deque[Event] = deque()
        self._bell = asyncio.Event()
        self._closed = False

    async def next(self, timeout_s: float | None = None) -> Event | None:
        """Give the next event; `None` when there was none in time, or the subscription was closed.

        An event without channel says that the subscription stands, at first and again after a lost connection:
        whatever was told before may be missed, so look at the state itself.
        """
        if not self._inbox and not self._closed:
            self._bell.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._bell.wait()
        return self._inbox.popleft() if self._inbox else None

    @property
    def closed(self) -> bool:
        """Whether nothing will follow."""
        return self._closed and not self._inbox

    def deliver(self, event: Event) -> None:
        """Take an event in."""
        if len(self._inbox) >= _MOST_WAITING:
            self._inbox.clear()
            event = _LOOK
        self._inbox.append(event)
        self._bell.set()

    def close(self) -> None:
        """Hear nothing more; whoever waits is told."""
        if not self._closed:
            self._closed = True
            self._hub.leave(self)
            self._bell.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _PushWire(Wire):
    """A wire on which Redis speaks without being asked."""

    def __init__(self, tell: Callable[[list[Any]], None]) -> None:
        super().__init__(None)
        self.heard = 0
        self.asked = False
        self._tell = tell
        self.lost = asyncio.Event()

    def write(self, packed: bytes) -> None:
        """Send commands whose replies come as pushes."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packed)

    def data_received(self, data: bytes) -> None:
        """Hand pushes and replies out."""
        self.heard += 1
        self.asked = False
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                if isinstance(reply, list) and reply and reply[0] in _PUSHES:
                    self._tell(reply)
                elif self._due:
                    future = self._due.popleft()
                    if not future.done():
                        future.set_result(reply)
                elif isinstance(reply, Exception):
                    self._ending = str(reply)
                    self.close()
                    return
        except redis_errors.InvalidResponse as error:
            self._ending = f"this does not speak like Redis: {error}"
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody."""
        super().connection_lost(exc)
        self.lost.set()


_PUSHES: Final = (b"message", b"subscribe", b"unsubscribe", b"pong")
