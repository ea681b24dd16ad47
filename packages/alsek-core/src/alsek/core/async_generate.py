"""`Task.generate` for programs on asyncio: the same message, stored without blocking the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from alsek.core.hooks import TaskHooks
from alsek.core.uniqueness import enqueue_async
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import MessageAlreadyExistsError
from alsek.storage.backends.redis.scripts import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alsek.core.broker import Broker
    from alsek.core.generation import Generation
    from alsek.core.message import Message
    from alsek.core.status.standard import StatusTracker
    from alsek.storage.backends.redis.unique_verbs import Unique

#: As of the synchronous calls: how long an unreachable Redis is ridden out, seconds.
_PATIENCE_S: Final = 5.0


async def submit_async(
    broker: Broker, message: Message, ttl: int | None = DEFAULT_TTL, *, kept_status_ms: int | None = None
) -> None:
    """Store a message and make it available, in one step; see `Broker.submit`.

    What the tasks of one event loop submit at the same moment travels together. Cancelled while it waits, the message
    may be stored or not.
    """
    new = broker.new_message(message, ttl, kept_status_ms)
    backend = broker.redis
    partition = backend.keys.partition(new.uuid)
    code = await backend.async_link.submit(broker, partition, message.queue, new, patience=_PATIENCE_S)
    if code == Code.EXISTS:
        raise MessageAlreadyExistsError(f"{message.summary} exists already; submit a duplicate() instead")


class AsyncGenerate(TaskHooks):
    """Mixed into `Task`."""

    broker: Broker
    status_tracker: StatusTracker | None
    deferred: Any
    generate: Callable[..., Message]
    tracks_natively: Any
    submit_options: Callable[[dict[str, Any]], dict[str, Any]]
    unique_for: int | None
    unique: Callable[..., Unique | None]
    announce: Callable[[Iterable[Message]], None]

    async def agenerate(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
        metadata: dict[str, Any] | None = None,
        result_ttl: int | None = None,
        uuid: str | None = None,
        timeout_override: int | None = None,
        delay: int | None = None,
        previous_result: Any = None,
        callback: Message | Sequence[Message] | None = None,
        queue: str | None = None,
        submit: bool = True,
        unique_for: int | None = None,
        unique_key: str | None = None,
        **options: Any,
    ) -> Message:
        """Make a message of this task and enqueue it without blocking the event loop.

        The parameters and errors are those of `generate`. Many at a time (`asyncio.gather`) share their way to Redis.
        Cancelled while it waits, the message may have been enqueued.
        """
        kept_back = self.deferred or not submit
        message = self.generate(
            args, kwargs, priority, metadata, result_ttl, uuid, timeout_override, delay, previous_result, callback,
            queue, submit=False, **({"unique_for": unique_for, "unique_key": unique_key} if kept_back else {}),
        )  # fmt: skip
        if kept_back:
            return message
        tracker = self.status_tracker
        unique = self.unique(message, unique_for, unique_key, own=uuid is not None)
        if unique is not None:
            if await enqueue_async(cast("Generation", self), message, unique, self.submit_options(options)):
                self.on_submit(message)
            return message
        if tracker is None:
            await submit_async(self.broker, message, **options)
        elif self.tracks_natively:
            await submit_async(self.broker, message, **self.submit_options(options))
        else:
            # A tracker of the user's own may block.
            await asyncio.to_thread(self.announce, (message,))
            try:
                await submit_async(self.broker, message, **options)
            except Exception:
                await asyncio.to_thread(tracker.delete, message, check=False)
                raise
        self.on_submit(message)
        return message
