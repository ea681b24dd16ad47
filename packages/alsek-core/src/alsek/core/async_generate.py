"""`Task.generate` for programs on asyncio: the same message, stored without blocking the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from alsek.core.async_submit import submit_async
from alsek.core.hooks import TaskHooks
from alsek.core.uniqueness import enqueue_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alsek.core.broker import Broker
    from alsek.core.generation import Generation
    from alsek.core.message import Message
    from alsek.core.status.standard import StatusTracker
    from alsek.storage.backends.redis.unique_verbs import Unique


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
