"""Following messages from a program: what state each is in, without asking again and again."""

from __future__ import annotations

import time
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
from alsek.storage.backends.redis.standard import RedisBackend
from alsek.types import Empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import Backend


class StatusTracker(BaseStatusTracker):
    """Keeps the status of each message and tells who listens. Safe for threads.

    Where task and tracker share one Redis, the engine writes the statuses in the same atomic step as the transition
    itself. A subclass that overrides `set` (to mirror statuses elsewhere) is called for each status instead.

    Args:
        backend: Where statuses are kept.
        ttl: How long the last status of a message is kept after its end, ms; `None` or 0: for ever.
        enable_pubsub: Publish each status as it is set; `None`: if the backend can.

    Raises:
        AssertionError: The backend cannot publish, but should; or it is an asynchronous one.
    """

    def __init__(self, backend: Backend, ttl: int | None = DEFAULT_TTL, enable_pubsub: bool | None = None) -> None:
        assert not backend.IS_ASYNC, "StatusTracker needs a synchronous backend: see AsyncStatusTracker"
        super().__init__(backend, ttl, enable_pubsub)
        self.backend = backend
        self._asked: tuple[Any, bool] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(backend={self.backend!r}, ttl={self.ttl}, enable_pubsub={self.enable_pubsub})"

    def exists(self, message: Message) -> bool:
        """Tell whether a message has a status."""
        return self.backend.exists(self._name(message))

    def publish_update(self, message: Message, update: StatusUpdate) -> None:
        """Tell who listens, and store nothing."""
        self.backend.pub(self.get_pubsub_name(message), update.as_dict())

    def set(self, message: Message, status: TaskStatus, details: Any | None = None) -> None:
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
        if isinstance(self.backend, RedisBackend):
            # In one step, so that nobody hears two statuses in another order than they are stored in.
            plain = type(self).publish_update is StatusTracker.publish_update
            channel = self.get_pubsub_name(message) if self.enable_pubsub and plain else None
            text = self.backend.serializer.forward(update.as_dict())
            self.backend.announce(self._name(message), text, channel, ttl=kept_ms)
            if channel is not None:
                return
        else:
            self.backend.delete(self._name(message), missing_ok=True)  # or the old expiry would stay
            self.backend.set(self._name(message), update.as_dict(), ttl=kept_ms)
        if self.enable_pubsub:
            self.publish_update(message, update)

    def get(self, message: Message) -> StatusUpdate:
        """Give a message's status.

        Raises:
            KeyError: It has none (any more).
        """
        return read_update(self.backend.get(self._name(message), default=Empty))

    def wait_for(
        self,
        message: Message,
        status: TaskStatus | tuple[TaskStatus, ...] | list[TaskStatus],
        timeout: float | None = 5.0,
        poll_interval: float = 0.05,
        raise_on_timeout: bool = True,
    ) -> TaskStatus:
        """Wait until a message has a status, also if only for a moment.

        Ends early when the message ends in another way: nothing would follow.

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
        deadline = None if timeout is None else time.monotonic() + timeout
        last = self._current(message)
        if last in wanted:
            return last
        if last in TERMINAL_TASK_STATUSES or (timeout is not None and timeout <= 0):
            return give_up(message, wanted, last, raise_on_timeout)
        updates = self._follow(message, deadline) if self._pushed else self._poll(message, deadline, poll_interval)
        for update in updates:
            last = update.status
            if last in wanted:
                return last
            if last in TERMINAL_TASK_STATUSES:
                break
        return give_up(message, wanted, last, raise_on_timeout)

    def listen_to_updates(self, message: Message, auto_exit: bool = True) -> Iterator[StatusUpdate]:
        """Give the present status, if there is one, and then each that is set.

        Args:
            message: Whose.
            auto_exit: End after a terminal status.

        Raises:
            ValueError: Nothing is published here.
        """
        if not self.enable_pubsub:
            raise ValueError("nothing is published: enable_pubsub is off")
        for update in self._follow(message, None) if self._pushed else self._subscribe(message):
            yield update
            if auto_exit and update.status in TERMINAL_TASK_STATUSES:
                return

    def delete(self, message: Message, check: bool = True) -> None:
        """Forget a message's status.

        Args:
            message: Whose.
            check: Only a terminal one.

        Raises:
            ValidationError: It is not terminal, and `check`.
            KeyError: There is none.
        """
        if check and (status := self.get(message).status) not in TERMINAL_TASK_STATUSES:
            raise ValidationError(f"{message.summary} is {status.name}: more will follow")
        self.backend.delete(self._name(message))

    def is_engine_native(self, backend: Backend) -> bool:
        """Tell whether the engine may write statuses itself, with the transitions of messages in `backend`."""
        kind = type(self)
        if (
            kind.set is not StatusTracker.set
            or kind.publish_update is not StatusTracker.publish_update
            or kind.get_storage_name is not BaseStatusTracker.get_storage_name
            or kind.get_pubsub_name is not BaseStatusTracker.get_pubsub_name
            or "set" in self.__dict__
            or "publish_update" in self.__dict__
        ):
            return False
        asked = self._asked
        if asked is None or asked[0] is not backend:
            mine = self.backend
            asked = self._asked = (backend, isinstance(mine, RedisBackend) and mine.same_store(backend))
        return asked[1]

    # -- how it is known -----------------------------------------------------------------------------------------

    @property
    def _pushed(self) -> bool:
        return self.enable_pubsub and isinstance(self.backend, RedisBackend)

    def _name(self, message: Message) -> str:
        name = self.get_storage_name(message)
        return f"{self.backend.keys.tag_of(message.uuid)}{name}" if isinstance(self.backend, RedisBackend) else name

    def _current(self, message: Message) -> TaskStatus:
        try:
            return self.get(message).status
        except KeyError:
            return TaskStatus.UNKNOWN

    def _follow(self, message: Message, deadline: float | None) -> Iterator[StatusUpdate]:
        backend = self.backend
        assert isinstance(backend, RedisBackend)
        name, timeline, stand = self._name(message), Timeline(), -1
        with backend.subscriber.open((self.get_pubsub_name(message),)) as subscription:
            while (event := subscription.next(deadline)) is not None:
                if event.channel is not None:
                    news = timeline.push(unpack_update(backend, event.payload))
                elif timeline.unsettled and stand == subscription.stand:
                    news = timeline.settle()
                else:
                    stand = subscription.stand
                    stored = backend.get(name)
                    news = timeline.read(None if stored is None else read_update(stored))
                    subscription.catch_up()
                yield from news

    def _subscribe(self, message: Message) -> Iterator[StatusUpdate]:
        # A backend of the user's own: it subscribes when its first event is taken, so this is the best there is.
        if self.exists(message):
            yield self.get(message)
        for event in self.backend.sub(self.get_pubsub_name(message)):
            if event["type"] == "message":
                yield read_update(event["data"])

    def _poll(self, message: Message, deadline: float | None, interval: float) -> Iterator[StatusUpdate]:
        while deadline is None or time.monotonic() < deadline:
            left = interval if deadline is None else min(interval, deadline - time.monotonic())
            time.sleep(max(0.0, left))
            yield StatusUpdate(self._current(message))
