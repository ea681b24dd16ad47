"""One message on its way to Redis without blocking the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import MessageAlreadyExistsError
from alsek.storage.backends.redis.scripts import Code

if TYPE_CHECKING:
    from alsek.core.broker import Broker
    from alsek.core.message import Message

#: As of the synchronous calls: how long an unreachable Redis is ridden out, seconds.
PATIENCE_S: Final = 5.0


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
    code = await backend.async_link.submit(broker, partition, message.queue, new, patience=PATIENCE_S)
    if code == Code.EXISTS:
        raise MessageAlreadyExistsError(f"{message.summary} exists already; submit a duplicate() instead")
