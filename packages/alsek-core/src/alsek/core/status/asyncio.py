"""The asyncio twin of the status tracker, for programs that follow messages from an event loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from alsek.core.status.abstract import (
    BaseStatusTracker,
    Timeline,
    give_up,
    read_update,
    unpack_update,
    wanted_statuses,
)
from alsek.core.status.types import TERMINAL_TASK_STATUSES, StatusUpdate, TaskStatus
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import ValidationError
from alsek.storage.backends.redis.asyncio import AsyncRedisBackend
from alsek.types import Empty

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import AsyncBackend


class AsyncStatusTracker(BaseStatusTracker):
    """Keeps the status of each message and tells who listens; sees what a `StatusTracker` on the same Redis writes.

    Args:
        backend: Where statuses are kept.
        ttl: How long the last status of a message is kept after its end, ms; `None` or 0: for ever.
        enable_pubsub: Publish each status as it is set; `None`: if the backend can.

    Raises:
        AssertionError: The backend cannot publish, but should; or it is a synchronous one.
    """

    def __init__(self, backend: AsyncBackend, ttl: int | None = DEFAULT_TTL, enable_pubsub: bool | None = None) -> None:
        if not backend.IS_ASYNC:
            raise AssertionError("AsyncStatusTracker needs an asynchronous backend: see StatusTracker")
        super().__init__(backend, ttl, enable_pubsub)
        self.backend = backend

    def __repr__(self) -> str:
        return f"{type(self).__name__}(backend={self.backend!r}, ttl={self.ttl}, enable_pubsub={self.enable_pubsub})"

    async def exists(self, message: Message) -> bool:
        """Tell whether a message has a status."""
        return bool(await self.backend.exists(self._name(message)))

    async def publish_update(self, message: Message, update: StatusUpdate) -> None:
        """Tell who listens, and store nothing."""
        await self.backend.pub(self.get_pubsub_name(message), update.as_dict())

    async def set(self, message: Message, status: TaskStatus, details: Any | None = None) -> None:
        """Store a status, and publish it.

        Args:
            message: Whose.
            status: Which.
            details: Anything serialisable, such as progress.

        Raises:
            SerializationError: The details cannot be serialised.
        """
        update = StatusUpdate(status, details)
        kept_ms = self.kept_ms(status)
        if isinstance(self.backend, AsyncRedisBackend):
            plain = type(self).publish_update is AsyncStatusTracker.publish_update
            channel = self.get_pubsub_name(message) if self.enable_pubsub and plain else None
            text = self.backend.serializer.forward(update.as_dict())
            await self.backend.announce(self._name(message), text, channel, ttl=kept_ms)
            if channel is not None:
                return
        else:
            await self.backend.delete(self._name(message), missing_ok=True)  # or the old expiry would stay
            await self.backend.set(self._name(message), update.as_dict(), ttl=kept_ms)
        if self.enable_pubsub:
            await self.publish_update(message, update)

    async def get(self, message: Message) -> StatusUpdate:
        """Give a message's status.

        Raises:
            KeyError: It has none (any more).
        """
        return read_update(await self.backend.get(self._name(message), default=Empty))

    async def wait_for(
        self,
        message: Message,
        status: TaskStatus | tuple[TaskStatus, ...] | list[TaskStatus],
        timeout: float | None = 5.0,
        poll_interval: float = 0.05,
        raise_on_timeout: bool = True,
    ) -> TaskStatus:
        """Wait until a message has a status, also if only for a moment; see `StatusTracker.wait_for`.

        Args:
            message: Whose.
            status: Which; any of several.
            timeout: Seconds; `None`: no limit.
            poll_interval: Seconds between two looks where nothing is published; of no effect otherwise.
            raise_on_timeout: `False`: return the status it has then, or UNKNOWN.

        Raises:
            TimeoutError: It did not become so.
            ValueError: No status to wait for.
        """
        wanted = wanted_statuses(status)
        last = await self._current(message)
        if last in wanted:
            return last
        if last in TERMINAL_TASK_STATUSES or (timeout is not None and timeout <= 0):
            return give_up(message, wanted, last, raise_on_timeout)
        try:
            async with (
                asyncio.timeout(timeout),
                aclosing(self._follow(message) if self._pushed else self._poll(message, poll_interval)) as updates,
            ):
                async for update in updates:
                    last = update.status
                    if last in wanted:
                        return last
                    if last in TERMINAL_TASK_STATUSES:
                        break
        except TimeoutError:
            pass
        return give_up(message, wanted, last, raise_on_timeout)

    async def listen_to_updates(self, message: Message, auto_exit: bool = True) -> AsyncGenerator[StatusUpdate, None]:
        """Give the present status, if there is one, and then each that is set.

        Leaving the loop early, close the iterator (`contextlib.aclosing`), or its subscription lives on for a while.

        Args:
            message: Whose.
            auto_exit: End after a terminal status.

        Raises:
            ValueError: Nothing is published here.
        """
        if not self.enable_pubsub:
            raise ValueError("nothing is published: enable_pubsub is off")
        async with aclosing(self._follow(message) if self._pushed else self._subscribe(message)) as updates:
            async for update in updates:
                yield update
                if auto_exit and update.status in TERMINAL_TASK_STATUSES:
                    return

    async def delete(self, message: Message, check: bool = True) -> None:
        """Forget a message's status.

        Args:
            message: Whose.
            check: Only a terminal one.

        Raises:
            ValidationError: It is not terminal, and `check`.
            KeyError: There is none.
        """
        if check and (status := (await self.get(message)).status) not in TERMINAL_TASK_STATUSES:
            raise ValidationError(f"{message.summary} is {status.name}: more will follow")
        await self.backend.delete(self._name(message))

    # How it is known.

    @property
    def _pushed(self) -> bool:
        return self.enable_pubsub and isinstance(self.backend, AsyncRedisBackend)

    def _name(self, message: Message) -> str:
        name = self.get_storage_name(message)
        backend = self.backend
        return f"{backend.keys.tag_of(message.uuid)}{name}" if isinstance(backend, AsyncRedisBackend) else name

    async def _current(self, message: Message) -> TaskStatus:
        try:
            return (await self.get(message)).status
        except KeyError:
            return TaskStatus.UNKNOWN

    async def _follow(self, message: Message) -> AsyncGenerator[StatusUpdate, None]:
        backend = self.backend
        assert isinstance(backend, AsyncRedisBackend)
        name, timeline = self._name(message), Timeline()
        async with backend.listening(self.get_pubsub_name(message)) as events:
            async for event in events:
                if event.channel is not None:
                    news = timeline.push(unpack_update(backend, event.payload))
                else:
                    stored = await backend.get(name, default=None)
                    news = timeline.read(None if stored is None else read_update(stored))
                    # Who reads on one connection and listens on another can only guess what arrived before: at worst
                    # one update is told that the present status has overtaken.
                    news += timeline.settle()
                for update in news:
                    yield update

    async def _subscribe(self, message: Message) -> AsyncGenerator[StatusUpdate, None]:
        # A backend of the user's own: it subscribes when its first event is taken, so this is the best there is.
        if await self.exists(message):
            yield await self.get(message)
        async for event in self.backend.sub(self.get_pubsub_name(message)):
            if event["type"] == "message":
                yield read_update(event["data"])

    async def _poll(self, message: Message, interval: float) -> AsyncGenerator[StatusUpdate, None]:
        while True:
            await asyncio.sleep(interval)
            yield StatusUpdate(await self._current(message))
