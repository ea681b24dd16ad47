"""The Redis backend: plain values for users, links for the engine, one subscriber for all who wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, Self

import redis
from redis.client import NEVER_DECODE

from alsek.defaults import DEFAULT_NAMESPACE
from alsek.storage.backends.abstract import Backend
from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis.client import client_of, describe, place, rebuild
from alsek.storage.backends.redis.cluster_client import ClusterClient, cluster_of
from alsek.storage.backends.redis.dedicated import dedicated_settings
from alsek.storage.backends.redis.engine import EngineAccess
from alsek.storage.backends.redis.link_pool import LinkPool
from alsek.storage.backends.redis.primary_watch import PrimaryWatch
from alsek.storage.backends.redis.slots import Slots
from alsek.storage.backends.redis.subscriber import Subscriber
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
    from collections.abc import Generator, Iterable

    from redis.connection import Connection

    from alsek.storage.serialization import Serializer


class RedisBackend(EngineAccess, Backend):
    """Keeps everything in Redis or Valkey. Nothing is connected before the first command.

    Args:
        conn: `None` (`ALSEK_REDIS_URL`, else redis://localhost:6379/0), an address (of a server, of Sentinels, of a
            cluster), a `redis.Redis` or `RedisCluster`, or a `LazyClient` of one.
        namespace: First part of every key.
        serializer: Turns values into text and back; JSON by default.
        partitions: Hash tags that messages spread over (1 to 1,024): more than one only helps on Redis Cluster. All
            programs that share a namespace need the same number.

    Raises:
        ValueError: `conn` is nothing of that, or a number is out of range.
    """

    SUPPORTS_PUBSUB: ClassVar[bool] = True

    def __init__(
        self,
        conn: str | redis.Redis | LazyClient | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        serializer: Serializer | None = None,
        partitions: int = 1,
    ) -> None:
        super().__init__(namespace, serializer)
        self.partitions = check_partitions(partitions)
        self.keys = Keys(namespace, partitions)
        self._given: Any = conn if isinstance(conn, LazyClient) else client_of(conn, redis.Redis)
        self._resolving = threading.Lock()
        self._slots: Any = Empty
        self._watch: Any = Empty
        # Made here, before threads can race for them; neither connects.
        self._links = LinkPool(self.new_link)
        self._subscriber = Subscriber(self.new_connection)

    @property
    def conn(self) -> redis.Redis:
        """The client; a lazy one is made now, and that of a cluster connects."""
        given = self.source
        client: redis.Redis = given.get() if isinstance(given, ClusterClient) else given
        return client

    @property
    def source(self) -> Any:
        """The client, or the promise of one of a cluster; nothing is connected."""
        given = self._given
        if isinstance(given, LazyClient) and not isinstance(given, ClusterClient):
            with self._resolving:
                if self._given is given:
                    self._given = client_of(given, redis.Redis)
        return self._given

    @property
    def slots(self) -> Slots | None:
        """Which node serves what; `None` unless Redis is a cluster."""
        if self._slots is Empty:
            site = cluster_of(self.source)
            self._slots = None if site is None else Slots(site.connection, site.nodes, site.remap)
        slots: Slots | None = self._slots
        return slots

    @property
    def primary_watch(self) -> PrimaryWatch | None:
        """Tells when the Sentinels name another primary; `None` where there are none."""
        if self._watch is Empty:
            pool: Any = None if self.slots is not None else self.conn.connection_pool
            named = hasattr(pool, "sentinel_manager") and pool.is_master
            self._watch = PrimaryWatch(pool.get_master_address) if named else None
        watch: PrimaryWatch | None = self._watch
        return watch

    def new_connection(self, socket_timeout: float | None = 5.0, *, key: str | None = None) -> Connection:
        """Make an unconnected connection to the same Redis: RESP 2, bytes, without redis-py's own repeats.

        Call its `connect()` before anything else: with Sentinel, that is where the primary is looked up.

        Args:
            socket_timeout: Seconds; `None`: waits for ever.
            key: On a cluster: connect to where this is; `None`: to any node.

        Raises:
            BackendUnavailableError: No node of the cluster answered.
        """
        if self.slots is not None:
            return self.slots.connection(key, socket_timeout)
        pool = self.conn.connection_pool
        connection: Connection = pool.connection_class(**dedicated_settings(pool.connection_kwargs, socket_timeout))
        return connection

    def same_store(self, other: object) -> bool:
        """Tell whether another backend keeps the same things in the same place and the same form."""
        if self is other:
            return True
        return (
            isinstance(other, RedisBackend)
            and (self.namespace, self.partitions) == (other.namespace, other.partitions)
            and (self.serializer is other.serializer or _alike(self.serializer, other.serializer))
            and (self.source is other.source or place(self.source) == place(other.source))
        )

    def close(self) -> None:
        """Drop the idle connections; whatever is used again connects again."""
        self.subscriber.close()
        self.links.close()
        given = self._given.made if isinstance(self._given, ClusterClient) else self._given
        if given is not None and not isinstance(given, LazyClient):
            given.close()

    # Values.

    def exists(self, name: str) -> bool:
        """Tell whether there is a value."""
        with translated():
            return bool(self.conn.exists(self.full_name(name)))

    def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        """Store a value; see `Backend.set`."""
        text = self.serializer.forward(value)
        with translated():
            done = self.conn.set(self.full_name(name), text, px=check_ttl(ttl), nx=nx, keepttl=ttl is None)
        if nx and not done:
            raise KeyError(f"Name '{name}' already exists")

    def get(self, name: str, default: Any = None) -> Any:
        """Give a value, else the default; see `Backend.get`."""
        with translated():
            client: Any = self.conn
            stored = client.execute_command("GET", self.full_name(name), **{NEVER_DECODE: []})
        return default_of(name, default) if stored is None else self.reverse(stored)

    def delete(self, name: str, missing_ok: bool = False) -> None:
        """Delete a value; see `Backend.delete`."""
        with translated():
            found = self.conn.delete(self.full_name(name))
        if not found and not missing_ok:
            raise KeyError(f"No name '{name}' found")

    def announce(self, name: str, text: str | bytes, channel: str | None = None, ttl: int | None = None) -> None:
        """Store a text as it is and publish it, in one step; `ttl=None` takes a present expiry away."""
        if self.slots is not None:
            self.links.execute([announce(self.full_name(name), text, ttl, channel)])
            return
        with translated(), self.conn.pipeline(transaction=True) as pipeline:
            pipeline.set(self.full_name(name), text, px=ttl)
            if channel is not None:
                pipeline.publish(channel, text)
            pipeline.execute()

    # Sorted ids.

    def priority_add(self, key: str, unique_id: str, priority: int | float) -> None:
        """Put an id into a sorted set, or move it."""
        with translated():
            self.conn.zadd(self.full_name(key), {unique_id: priority})

    def priority_get(self, key: str) -> str | None:
        """Give the id with the lowest priority number, and leave it there."""
        with translated():
            first: Any = self.conn.zrange(self.full_name(key), 0, 0)
        return as_text(first[0]) if first else None

    def priority_iter(self, key: str) -> Iterable[str]:
        """Give all ids in order."""
        with translated():
            ids: Any = self.conn.zrange(self.full_name(key), 0, -1)
        yield from map(as_text, ids)

    def priority_remove(self, key: str, unique_id: str) -> None:
        """Take an id out."""
        with translated():
            self.conn.zrem(self.full_name(key), unique_id)

    # Pub/sub.

    def pub(self, channel: str, value: Any) -> None:
        """Publish a value; the channel is not namespaced."""
        text = self.serializer.forward(value)
        with translated():
            self.conn.publish(channel, text)

    def sub(self, channel: str) -> Generator[dict[str, Any], None, None]:
        """Give what is published on a channel from now on, for ever; `data` is the value.

        What is published while the connection is lost is missed, as ever with pub/sub.
        """
        with self.subscriber.open((channel,)) as subscription:
            while True:
                event = subscription.next()
                if event is not None and event.channel is not None:
                    data = self.reverse(event.payload)
                    yield {"type": "message", "pattern": None, "channel": event.channel, "data": data}

    # Names.

    def scan(self, pattern: str | None = None) -> Iterable[str]:
        """Give the short names that match a glob, tagged ones (`{namespace:0}:…`) as they are.

        Like Redis' own SCAN it may give a name twice while names come and go.
        """
        for glob, tagged in globs(self.namespace, pattern):
            with translated():
                for name in map(as_text, self.conn.scan_iter(match=glob, count=SCAN_STEP)):
                    if tagged is None or tagged.match(name):
                        yield self.short_name(name)

    def count(self, pattern: str | None = None) -> int:
        """Count the names that match a glob."""
        return len(set(self.scan(pattern)))

    def clear_namespace(self, raise_on_error: bool = True) -> int:
        """Delete everything of this namespace; returns how many names there were.

        Raises:
            KeyError: Something vanished meanwhile, and `raise_on_error`.
        """
        names = [self.full_name(name) for name in set(self.scan())]
        count = 0
        for start in range(0, len(names), SCAN_STEP):
            with translated():
                count += int(self.conn.unlink(*names[start : start + SCAN_STEP]))
        if raise_on_error and count < len(names):
            raise KeyError(f"{len(names) - count} names vanished while the namespace was cleared")
        return count

    # Travelling.

    @property
    def settings(self) -> dict[str, Any]:
        """What `from_settings` needs: plain data and classes, no sockets. It holds the password."""
        return {
            **describe(self.source),
            "namespace": self.namespace,
            "partitions": self.partitions,
            "serializer": self.serializer if vars(self.serializer) else type(self.serializer),
        }

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Make a backend from `settings`; nothing is connected."""
        serializer = settings["serializer"]
        return cls(
            rebuild(settings, redis.Redis),
            settings["namespace"],
            serializer() if isinstance(serializer, type) else serializer,
            settings["partitions"],
        )

    def encode(self) -> bytes:
        """Describe this backend so that another process can make the same. It holds the password."""
        return pack(type(self), self.settings)

    @staticmethod
    def decode(packed: bytes) -> Any:
        """Make the backend that `encode` described. Only for data you trust."""
        described = unpack(packed)
        return described["backend"].from_settings(described["settings"])

    def __reduce__(self) -> tuple[Any, ...]:
        return RedisBackend.decode, (self.encode(),)


def _alike(one: Serializer, other: Serializer) -> bool:
    return type(one) is type(other) and vars(one) == vars(other)
