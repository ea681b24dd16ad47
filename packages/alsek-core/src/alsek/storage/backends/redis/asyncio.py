"""The asyncio twin of the Redis backend: values, names and pub/sub. The engine has no part in it."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import redis.asyncio
from redis.client import NEVER_DECODE

from alsek.defaults import DEFAULT_NAMESPACE
from alsek.storage.backends.abstract import AsyncBackend
from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis.client import across, client_of, describe, rebuild
from alsek.storage.backends.redis.cluster_client import ClusterClient, cluster_of
from alsek.storage.backends.redis.standard import RedisBackend
from alsek.storage.backends.redis.travel import pack, unpack
from alsek.storage.backends.redis.value_rules import (
    SCAN_STEP,
    as_text,
    check_partitions,
    check_ttl,
    default_of,
    globs,
    translated,
)
from alsek.storage.backends.redis.values import announce
from alsek.storage.keys import Keys
from alsek.types import Empty

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from alsek.storage.backends.redis.listener import Event
    from alsek.storage.serialization import Serializer


class AsyncRedisBackend(AsyncBackend):
    """Keeps everything in Redis or Valkey. Nothing is connected before the first command.

    Args:
        conn: `None` (`ALSEK_REDIS_URL`, else redis://localhost:6379/0), an address (of a server, of Sentinels, of a
            cluster), a `redis.asyncio.Redis` or `RedisCluster`, or a `LazyClient` of one.
        namespace: First part of every key.
        serializer: Turns values into text and back; JSON by default.
        partitions: As in `RedisBackend`: all programs that share a namespace need the same number.

    Raises:
        ValueError: `conn` is nothing of that, or a number is out of range.
    """

    SUPPORTS_PUBSUB: ClassVar[bool] = True

    def __init__(
        self,
        conn: str | redis.asyncio.Redis | LazyClient | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        serializer: Serializer | None = None,
        partitions: int = 1,
    ) -> None:
        super().__init__(namespace, serializer)
        self.partitions = check_partitions(partitions)
        self.keys = Keys(namespace, partitions)
        #: Knows how to connect, for listeners.
        self._listener: RedisBackend | None = None
        self._given: Any = conn if isinstance(conn, LazyClient) else client_of(conn, redis.asyncio.Redis)

    @property
    def conn(self) -> redis.asyncio.Redis:
        """The client; a lazy one is made now."""
        given = self._source
        client: redis.asyncio.Redis = given.get() if isinstance(given, ClusterClient) else given
        return client

    @property
    def _source(self) -> Any:
        """The client, or the promise of one of a cluster."""
        if isinstance(self._given, LazyClient) and not isinstance(self._given, ClusterClient):
            self._given = client_of(self._given, redis.asyncio.Redis)
        return self._given

    async def close(self) -> None:
        """Drop the connections; whatever is used again connects again."""
        if self._listener is not None:
            self._listener.async_subscriber.close()
        given = self._given.made if isinstance(self._given, ClusterClient) else self._given
        if given is None or isinstance(given, LazyClient):
            return
        if cluster_of(given) is None:
            await given.aclose(close_connection_pool=True)
        else:
            await given.aclose()

    # Values.

    async def exists(self, name: str) -> bool:
        """Tell whether there is a value."""
        with translated():
            return bool(await self.conn.exists(self.full_name(name)))

    async def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        """Store a value; see `Backend.set`."""
        text = self.serializer.forward(value)
        with translated():
            done = await self.conn.set(self.full_name(name), text, px=check_ttl(ttl), nx=nx, keepttl=ttl is None)
        if nx and not done:
            raise KeyError(f"Name '{name}' already exists")

    async def get(self, name: str, default: Any = Empty) -> Any:
        """Give a value, else the default; by default a missing one is a `KeyError` here."""
        with translated():
            client: Any = self.conn
            stored = await client.execute_command("GET", self.full_name(name), **{NEVER_DECODE: []})
        return default_of(name, default) if stored is None else self.reverse(stored)

    async def delete(self, name: str, missing_ok: bool = False) -> None:
        """Delete a value; see `Backend.delete`."""
        with translated():
            found = await self.conn.delete(self.full_name(name))
        if not found and not missing_ok:
            raise KeyError(f"No name '{name}' found")

    async def announce(self, name: str, text: str | bytes, channel: str | None = None, ttl: int | None = None) -> None:
        """Store a text as it is and publish it, in one step; `ttl=None` takes a present expiry away."""
        with translated():
            if cluster_of(self._source) is not None:
                call = announce(self.full_name(name), text, ttl, channel)
                await self.conn.eval(call.script.source.decode(), 1, *call.keys, *call.args)
                return
            async with self.conn.pipeline(transaction=True) as pipeline:
                pipeline.set(self.full_name(name), text, px=ttl)
                if channel is not None:
                    pipeline.publish(channel, text)
                await pipeline.execute()

    # Sorted ids.

    async def priority_add(self, key: str, unique_id: str, priority: int | float) -> None:
        """Put an id into a sorted set, or move it."""
        with translated():
            await self.conn.zadd(self.full_name(key), {unique_id: priority})

    async def priority_get(self, key: str) -> str | None:
        """Give the id with the lowest priority number, and leave it there."""
        with translated():
            first: Any = await self.conn.zrange(self.full_name(key), 0, 0)
        return as_text(first[0]) if first else None

    async def priority_iter(self, key: str) -> AsyncIterator[str]:
        """Give all ids in order."""
        with translated():
            ids: Any = await self.conn.zrange(self.full_name(key), 0, -1)
        for unique_id in ids:
            yield as_text(unique_id)

    async def priority_remove(self, key: str, unique_id: str) -> None:
        """Take an id out."""
        with translated():
            await self.conn.zrem(self.full_name(key), unique_id)

    # Pub/sub.

    async def pub(self, channel: str, value: Any) -> None:
        """Publish a value; the channel is not namespaced."""
        text = self.serializer.forward(value)
        with translated():
            await self.conn.publish(channel, text)

    async def sub(self, channel: str) -> AsyncGenerator[dict[str, Any], None]:
        """Give what is published on a channel from now on, for ever; `data` is the value."""
        async with self.listening(channel) as events:
            async for event in events:
                if event.channel is not None:
                    data = self.reverse(event.payload)
                    yield {"type": "message", "pattern": None, "channel": event.channel, "data": data}

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[AsyncGenerator[Event, None]]:
        """Subscribe for the length of an `async with` block, on the connection that all listeners of this loop share.

        Yields:
            Events without end, as of a `Subscription`: one without channel says that the subscription stands, at
            first and after each loss of the connection.
        """
        if self._listener is None:
            self._listener = self.blocking_twin()
        async with (
            self._listener.async_subscriber.open((channel,)) as subscription,
            aclosing(subscription.events()) as events,
        ):
            yield events

    # Names.

    async def scan(self, pattern: str | None = None) -> AsyncIterator[str]:
        """Give the short names that match a glob; see `RedisBackend.scan`."""
        for glob, tagged in globs(self.namespace, pattern):
            with translated():
                async for found in self.conn.scan_iter(match=glob, count=SCAN_STEP):
                    name = as_text(found)
                    if tagged is None or tagged.match(name):
                        yield self.short_name(name)

    async def count(self, pattern: str | None = None) -> int:
        """Count the names that match a glob."""
        return len({name async for name in self.scan(pattern)})

    async def clear_namespace(self, raise_on_error: bool = True) -> int:
        """Delete everything of this namespace; see `RedisBackend.clear_namespace`."""
        names = [self.full_name(name) for name in {name async for name in self.scan()}]
        count = 0
        for start in range(0, len(names), SCAN_STEP):
            with translated():
                count += int(await self.conn.unlink(*names[start : start + SCAN_STEP]))
        if raise_on_error and count < len(names):
            raise KeyError(f"{len(names) - count} names vanished while the namespace was cleared")
        return count

    # Travelling.

    @property
    def settings(self) -> dict[str, Any]:
        """What `from_settings` needs: plain data and classes, no sockets. It holds the password."""
        return {
            **describe(self._source),
            "namespace": self.namespace,
            "partitions": self.partitions,
            "serializer": self.serializer if vars(self.serializer) else type(self.serializer),
        }

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Make a backend from `settings`; nothing is connected."""
        serializer = settings["serializer"]
        return cls(
            rebuild(settings, redis.asyncio.Redis),
            settings["namespace"],
            serializer() if isinstance(serializer, type) else serializer,
            settings["partitions"],
        )

    def blocking_twin(self) -> RedisBackend:
        """Make the synchronous backend that keeps the same things in the same place; nothing is connected."""
        return RedisBackend.from_settings(across(self.settings, redis.Redis))

    def encode(self) -> bytes:
        """Describe this backend so that another process can make the same. It holds the password."""
        return pack(type(self), self.settings)

    @staticmethod
    def decode(packed: bytes) -> Any:
        """Make the backend that `encode` described. Only for data you trust."""
        described = unpack(packed)
        return described["backend"].from_settings(described["settings"])

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncRedisBackend.decode, (self.encode(),)
