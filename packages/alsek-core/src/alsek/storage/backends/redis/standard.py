"""The Redis backend: plain values for users, links for the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from alsek.defaults import DEFAULT_NAMESPACE
from alsek.storage.backends.abstract import Backend
from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis.address import client_of, plain_settings
from alsek.storage.backends.redis.engine import EngineAccess
from alsek.storage.backends.redis.errors import translate
from alsek.storage.keys import Keys
from alsek.storage.serialization import Serializer
from alsek.types import Empty

if TYPE_CHECKING:
    from redis.connection import Connection

#: More hash tags than this only make a claim slow.
_MOST_PARTITIONS: Final = 1024

#: Names fetched in one step of a scan.
_SCAN_STEP: Final = 500


class RedisBackend(EngineAccess, Backend):
    """Keeps everything in Redis or Valkey. Nothing is connected before the first command.

    Args:
        conn: `None` (`ALSEK_REDIS_URL`, else redis://localhost:6379/0), an address, a `redis.Redis`, or a
            `LazyClient` of one.
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
        if not isinstance(partitions, int) or not 1 <= partitions <= _MOST_PARTITIONS:
            raise ValueError(f"partitions has to be a number from 1 to {_MOST_PARTITIONS}: {partitions!r}")
        self.partitions = partitions
        self.keys = Keys(namespace, partitions)
        self._given: Any = conn if isinstance(conn, LazyClient) else client_of(conn, redis.Redis)

    @property
    def conn(self) -> redis.Redis:
        """The client; a lazy one is made now."""
        if isinstance(self._given, LazyClient):
            self._given = client_of(self._given, redis.Redis)
        client: redis.Redis = self._given
        return client

    def new_connection(self, socket_timeout: float | None = 5.0) -> Connection:
        """Make an unconnected connection to the same Redis, without redis-py's own repeats.

        Args:
            socket_timeout: Seconds; `None`: waits for ever.
        """
        pool = self.conn.connection_pool
        settings = {
            **pool.connection_kwargs,
            "decode_responses": False,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "retry_on_timeout": False,
            "socket_timeout": socket_timeout,
            "health_check_interval": 0,
        }
        settings.setdefault("socket_connect_timeout", 5.0)
        settings.setdefault("socket_keepalive", True)
        for name in ("event_dispatcher", "maint_notifications_config", "maint_notifications_pool_handler"):
            settings.pop(name, None)
        connection: Connection = pool.connection_class(**settings)
        return connection

    def same_store(self, other: object) -> bool:
        """Tell whether another backend keeps the same things in the same place."""
        if self is other:
            return True
        return (
            isinstance(other, RedisBackend)
            and (self.namespace, self.partitions) == (other.namespace, other.partitions)
            and type(self.serializer) is type(other.serializer)
            and (self.conn is other.conn or self._place() == other._place())
        )

    # -- values --------------------------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Tell whether there is a value."""
        with _boundary():
            return bool(self.conn.exists(self.full_name(name)))

    def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        """Store a value; see `Backend.set`."""
        text = self.serializer.forward(value)
        with _boundary():
            done = self.conn.set(self.full_name(name), text, px=ttl, nx=nx, keepttl=ttl is None)
        if nx and not done:
            raise KeyError(f"Name '{name}' already exists")

    def get(self, name: str, default: Any = None) -> Any:
        """Give a value, else the default; see `Backend.get`."""
        with _boundary():
            text = self.conn.get(self.full_name(name))
        if text is None:
            return _default(name, default)
        return self.serializer.reverse(text)

    def delete(self, name: str, missing_ok: bool = False) -> None:
        """Delete a value; see `Backend.delete`."""
        with _boundary():
            found = self.conn.delete(self.full_name(name))
        if not found and not missing_ok:
            raise KeyError(f"No name '{name}' found")

    # -- sorted ids ----------------------------------------------------------------------------------------------

    def priority_add(self, key: str, unique_id: str, priority: int | float) -> None:
        """Put an id into a sorted set, or move it."""
        with _boundary():
            self.conn.zadd(self.full_name(key), {unique_id: priority})

    def priority_get(self, key: str) -> str | None:
        """Give the id with the lowest priority number, and leave it there."""
        with _boundary():
            first = self.conn.zrange(self.full_name(key), 0, 0)
        return _text(first[0]) if first else None

    def priority_iter(self, key: str) -> Iterable[str]:
        """Give all ids in order."""
        with _boundary():
            ids = self.conn.zrange(self.full_name(key), 0, -1)
        yield from (_text(unique_id) for unique_id in ids)

    def priority_remove(self, key: str, unique_id: str) -> None:
        """Take an id out."""
        with _boundary():
            self.conn.zrem(self.full_name(key), unique_id)

    # -- pub/sub -------------------------------------------------------------------------------------------------

    def pub(self, channel: str, value: Any) -> None:
        """Publish a value; the channel is not namespaced."""
        with _boundary():
            self.conn.publish(channel, self.serializer.forward(value))

    def sub(self, channel: str) -> Iterable[dict[str, Any]]:
        """Give what is published on a channel from now on, for ever; `data` is the value."""
        with _boundary(), self.conn.pubsub() as pubsub:
            pubsub.subscribe(channel)
            for event in pubsub.listen():
                if event["type"] == "message":
                    yield {**event, "channel": _text(event["channel"]), "data": self.serializer.reverse(event["data"])}

    # -- names ---------------------------------------------------------------------------------------------------

    def scan(self, pattern: str | None = None) -> Iterable[str]:
        """Give the short names that match a glob; without one, everything of this namespace."""
        globs = [f"{self.namespace}:{pattern or '*'}"]
        if not pattern:
            globs.append(f"{{{self.namespace}:*}}:*")
        elif pattern.startswith("{"):
            globs = [pattern]
        for glob in globs:
            with _boundary():
                for name in self.conn.scan_iter(match=glob, count=_SCAN_STEP):
                    yield self.short_name(_text(name))

    # -- travelling ----------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Describe this backend so that another process can make the same: plain data, no sockets."""
        return msgspec.json.encode(self.settings)

    @property
    def settings(self) -> dict[str, Any]:
        """What `from_settings` needs."""
        serializer = type(self.serializer)
        return {
            "connection": plain_settings(self.conn),
            "tls": issubclass(self.conn.connection_pool.connection_class, redis.SSLConnection),
            "namespace": self.namespace,
            "partitions": self.partitions,
            "serializer": f"{serializer.__module__}:{serializer.__qualname__}",
        }

    @classmethod
    def from_settings(cls, settings: dict[str, Any] | bytes) -> Self:
        """Make a backend from what `encode` or `settings` gave."""
        if isinstance(settings, bytes):
            settings = msgspec.json.decode(settings)
        connection = dict(settings["connection"])
        if "path" in connection:
            connection["unix_socket_path"] = connection.pop("path")
        if settings["tls"]:
            connection["ssl"] = True
        client = redis.Redis(**connection, decode_responses=True)
        return cls(client, settings["namespace"], _serializer(settings["serializer"]), settings["partitions"])

    def _place(self) -> tuple[Any, ...]:
        settings = plain_settings(self.conn)
        return tuple(settings.get(name) for name in ("host", "port", "db", "path"))


@contextmanager
def _boundary() -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, OSError) as error:
        raise translate(error, sent=True) from error


def _default(name: str, default: Any) -> Any:
    if default is Empty or isinstance(default, Empty):
        raise KeyError(f"No name '{name}' found")
    return default


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _serializer(path: str) -> Serializer:
    from importlib import import_module

    module, _, name = path.partition(":")
    made: Serializer = getattr(import_module(module), name)()
    return made
