"""What the engine asks of a Redis backend beyond plain keys and values: links for the verbs, and a few reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alsek.exceptions import BackendDataError
from alsek.storage.backends.redis.cluster_link import ClusterLink
from alsek.storage.backends.redis.link import Link
from alsek.storage.backends.redis.link_pool import LinkPool
from alsek.storage.backends.redis.per_loop import PerLoop
from alsek.storage.backends.redis.primary_watch import WatchedLink
from alsek.storage.backends.redis.subscriber import Subscriber

if TYPE_CHECKING:
    from redis.connection import Connection

    from alsek.storage.backends.redis.async_link import AsyncRoute
    from alsek.storage.backends.redis.async_subscriber import AsyncSubscriber
    from alsek.storage.backends.redis.link import Route
    from alsek.storage.backends.redis.primary_watch import PrimaryWatch
    from alsek.storage.backends.redis.slots import Slots
    from alsek.storage.keys import Keys


class EngineAccess:
    """Mixed into the synchronous Redis backend; it brings `keys`, `slots`, `primary_watch` and `new_connection`."""

    keys: Keys
    _links: LinkPool | None = None
    _subscriber: Subscriber | None = None
    _async_links: PerLoop[AsyncRoute] | None = None
    _async_subscribers: PerLoop[AsyncSubscriber] | None = None

    @property
    def slots(self) -> Slots | None:
        """Which node serves what; `None` unless Redis is a cluster."""
        raise NotImplementedError

    @property
    def primary_watch(self) -> PrimaryWatch | None:
        """Tells when the Sentinels name another primary; `None` where there are none."""
        raise NotImplementedError

    def new_connection(self, socket_timeout: float | None = 5.0, *, key: str | None = None) -> Connection:
        """Make an unconnected connection of our own."""
        raise NotImplementedError

    def new_link(self) -> Route:
        """Make a way to all keys, for one thread."""
        slots = self.slots
        return self.new_line() if slots is None else ClusterLink(slots)

    def new_line(self, key: str | None = None, socket_timeout: float | None = 5.0) -> Link:
        """Make one connection for one thread, to block or to listen: to where a key is, anew whenever it breaks.

        Args:
            key: `None`: any node will do.
            socket_timeout: Seconds; `None`: waits for ever.
        """
        watch = self.primary_watch
        if watch is not None:
            return WatchedLink(lambda: self.new_connection(socket_timeout), watch)
        return Link(lambda: self.new_connection(socket_timeout, key=key))

    @property
    def links(self) -> LinkPool:
        """The links that all callers in this process share."""
        if self._links is None:
            self._links = LinkPool(self.new_link)
        return self._links

    @property
    def subscriber(self) -> Subscriber:
        """The pub/sub connection that all who wait in this process share."""
        if self._subscriber is None:
            self._subscriber = Subscriber(self.new_connection)
        return self._subscriber

    @property
    def async_link(self) -> AsyncRoute:
        """The link that all tasks of the running event loop share."""
        if self._async_links is None:
            self._async_links = PerLoop(self._new_async_link)
        return self._async_links.current()

    @property
    def async_subscriber(self) -> AsyncSubscriber:
        """The pub/sub connection that all who wait in the running event loop share."""
        if self._async_subscribers is None:
            from alsek.storage.backends.redis.async_subscriber import AsyncSubscriber

            self._async_subscribers = PerLoop(lambda: AsyncSubscriber(self.new_connection))
        return self._async_subscribers.current()

    def _new_async_link(self) -> AsyncRoute:
        slots = self.slots
        if slots is None:
            from alsek.storage.backends.redis.async_link import AsyncLink
            from alsek.storage.backends.redis.watched_async_link import WatchedAsyncLink

            watch = self.primary_watch
            return AsyncLink(self.new_connection) if watch is None else WatchedAsyncLink(self.new_connection, watch)
        from alsek.storage.backends.redis.async_cluster_link import AsyncClusterLink

        return AsyncClusterLink(slots)

    def record(self, uuid: str) -> dict[bytes, bytes]:
        """Read a message's record; empty when there is none.

        Of a message that has ended for good only `s`, `t`, `z`, `a` and `e` are left, read from its receipt.
        """
        key = self.keys.record(uuid)
        try:
            return read_record(self._ask("HGETALL", key))
        except BackendDataError:
            return read_receipt(self._ask("GET", key))

    def queue_names(self) -> set[str]:
        """Name all queues that ever had a message."""
        looks = [("SMEMBERS", self.keys.queues(partition)) for partition in range(self.keys.partitions)]
        names: set[str] = set()
        for told in self.links.ask(looks):
            if isinstance(told, BackendDataError):
                raise told
            names.update(name.decode() for name in told)
        return names

    def server_info(self) -> dict[str, str]:
        """Read the facts that Redis tells about itself (`INFO`, plain text values)."""
        facts: dict[str, str] = {}
        for line in self._ask("INFO").decode().splitlines():
            name, colon, value = line.partition(":")
            if colon:
                facts[name] = value
        return facts

    def _ask(self, *command: str) -> Any:
        return self.links.command(*command)


def read_record(reply: Any) -> dict[bytes, bytes]:
    """Give the fields of a record."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def read_receipt(receipt: bytes | None) -> dict[bytes, bytes]:
    """Give what a receipt says of a message that has ended for good."""
    parts = receipt.split(b" ", 4) if receipt is not None else []
    return dict(zip((b"s", b"t", b"z", b"a", b"e"), parts, strict=False))
