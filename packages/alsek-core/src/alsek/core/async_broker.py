"""The broker for programs on asyncio: what producers and operators do with messages, without blocking the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from alsek.core import envelope
from alsek.core.async_submit import PATIENCE_S, submit_async
from alsek.core.broker import Broker
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import BackendDataError, MessageAlreadyExistsError, MessageDoesNotExistsError
from alsek.storage.backends.redis.asyncio import AsyncRedisBackend
from alsek.storage.backends.redis.engine import read_receipt, read_record
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.standard import RedisBackend

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import BaseBackend
    from alsek.storage.backends.redis.link import Call


class AsyncBroker:
    """The twin of `Broker` for asyncio: it sees the same messages. Tasks take either.

    What the coroutines of one event loop ask at the same moment travels together, over one connection. To claim and
    settle messages is the business of workers, which use the other one. Usable in any number of loops.

    Args:
        backend: Where messages live: an `AsyncRedisBackend`, a `RedisBackend`, or an address of Redis.
        dlq_ttl: As of `Broker`.
        **policy: The other settings of `Broker`.

    Attributes:
        broker: The twin that blocks, with the same settings.

    Raises:
        TypeError: It is another backend.
    """

    def __init__(
        self, backend: BaseBackend | str | None = None, dlq_ttl: int | None = DEFAULT_TTL, **policy: Any
    ) -> None:
        if backend is None or isinstance(backend, str):
            backend = RedisBackend(backend)
        elif isinstance(backend, AsyncRedisBackend):
            backend = backend.blocking_twin()
        if not isinstance(backend, RedisBackend):
            raise TypeError(f"messages are delivered through Redis: {type(backend).__name__} is no backend for that")
        self.broker = Broker(backend, dlq_ttl, **policy)

    @classmethod
    def of(cls, broker: Broker) -> Self:
        """Make the twin of a broker; both have the same settings from then on."""
        twin = cls.__new__(cls)
        twin.broker = broker
        return twin

    def __repr__(self) -> str:
        return f"{type(self).__name__}(backend={self.broker.backend!r}, dlq_ttl={self.broker.dlq_ttl})"

    async def submit(self, message: Message, ttl: int | None = DEFAULT_TTL) -> None:
        """Store a message and make it available, in one step; see `Broker.submit`.

        Cancelled while it waits, the message may be stored or not.
        """
        await submit_async(self.broker, message, ttl)

    async def submit_many(self, messages: Iterable[Message], ttl: int | None = DEFAULT_TTL) -> int:
        """Store many messages in a few round trips; each is stored or not, none half. See `Broker.submit_many`."""
        made = [(message, self.broker.new_message(message, ttl, None)) for message in messages]
        link, keys = self.broker.redis.async_link, self.broker.keys
        codes = await asyncio.gather(
            *(
                link.submit(self.broker, keys.partition(new.uuid), message.queue, new, patience=PATIENCE_S)
                for message, new in made
            )
        )
        taken = [message.uuid for (message, _), code in zip(made, codes, strict=True) if code == Code.EXISTS]
        if taken:
            some = ", ".join(taken[:5])
            raise MessageAlreadyExistsError(f"{len(taken)} of {len(made)} messages exist already: {some}", uuids=taken)
        return len(made)

    async def exists(self, message: Message) -> bool:
        """Tell whether a message is waiting or running."""
        return await self._state(message) in ("r", "d", "l")

    async def in_dlq(self, message: Message) -> bool:
        """Tell whether a message is among the dead letters."""
        return await self._state(message) == "x"

    async def find(self, uuid: str) -> Message | None:
        """Give the message with this uuid, wherever it is; `None` when it has ended or never was."""
        fields = await self._record(uuid)
        return envelope.open_record(uuid, fields, self.broker.backend.serializer) if b"b" in fields else None

    async def sync_from_backend(self, message: Message) -> Message:
        """Give the message as it is stored now; see `Broker.sync_from_backend`."""
        found = await self.find(message.uuid)
        if found is None:
            raise KeyError(f"{message.summary} is neither in its queue nor among the dead letters")
        return found

    async def revoke(self, message: Message, skip_if_running: bool = False) -> Code:
        """End a message as revoked; see `Broker.revoke`."""
        verbs, where = self.broker.verbs, self.broker.keys.partition(message.uuid)
        call = verbs.revoke(where, message.queue, message.uuid, skip_if_running=skip_if_running)
        return Code(await self._execute(call))

    async def remove(self, message: Message) -> None:
        """Delete a message wherever it is; a missing one is fine."""
        where = self.broker.keys.partition(message.uuid)
        await self._execute(self.broker.verbs.remove(where, message.queue, message.uuid))
        if message.linked_lock:
            await asyncio.to_thread(message.release_lock, True, self.broker.backend)

    async def replay(self, message: Message) -> None:
        """Give a dead letter a new life; see `Broker.replay`."""
        where = self.broker.keys.partition(message.uuid)
        code = await self._execute(self.broker.verbs.replay(where, message.queue, message.uuid))
        if not Code(code).accepted:
            raise MessageDoesNotExistsError(f"{message.summary} is not among the dead letters")

    async def _state(self, message: Message) -> str:
        return (await self._record(message.uuid)).get(b"s", b"").decode()

    async def _record(self, uuid: str) -> dict[bytes, bytes]:
        link, key = self.broker.redis.async_link, self.broker.keys.record(uuid)
        try:
            return read_record(await link.command("HGETALL", key))
        except BackendDataError:
            return read_receipt(await link.command("GET", key))

    async def _execute(self, call: Call) -> Any:
        return await self.broker.redis.async_link.execute(call, patience=PATIENCE_S)
