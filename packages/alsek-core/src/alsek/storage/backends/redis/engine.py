"""What the engine asks of a Redis backend beyond plain keys and values: links for the verbs, and a few reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alsek.exceptions import BackendDataError
from alsek.storage.backends.redis.link import Link, LinkPool
from alsek.storage.backends.redis.subscriber import Subscriber

if TYPE_CHECKING:
    from redis.connection import Connection

    from alsek.storage.backends.redis.async_link import AsyncLink, AsyncLinks
    from alsek.storage.keys import Keys


class EngineAccess:
    """Mixed into the synchronous Redis backend; it brings `keys` and `new_connection`."""

    keys: Keys
    _links: LinkPool | None = None
    _subscriber: Subscriber | None = None
    _async_links: AsyncLinks | None = None

    def new_connection(self, socket_timeout: float | None = 5.0) -> Connection:
        """Make an unconnected connection of our own."""
        raise NotImplementedError

    def new_link(self) -> Link:
        """Make a link for one thread."""
        return Link(self.new_connection)

    @property
    def links(self) -> LinkPool:
        """The links that all callers in this process share."""
        if self._links is None:
            self._links = LinkPool(self.new_connection)
        return self._links

    @property
    def subscriber(self) -> Subscriber:
        """The pub/sub connection that all who wait in this process share."""
        if self._subscriber is None:
            self._subscriber = Subscriber(self.new_connection)
        return self._subscriber

    @property
    def async_link(self) -> AsyncLink:
        """The link that all tasks of the running event loop share."""
        if self._async_links is None:
            from alsek.storage.backends.redis.async_link import AsyncLinks

            self._async_links = AsyncLinks(self.new_connection)
        return self._async_links.current()

    def record(self, uuid: str) -> dict[bytes, bytes]:
        """Read a message's record; empty when there is none.

        Of a message that has ended for good only `s`, `t`, `z`, `a` and `e` are left, read from its receipt.
        """
        key = self.keys.record(uuid)
        try:
            flat = self._ask("HGETALL", key)
        except BackendDataError:
            return _read_receipt(self._ask("GET", key))
        if isinstance(flat, dict):
            return flat
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def queue_names(self) -> set[str]:
        """Name all queues that ever had a message."""
        names: set[str] = set()
        for partition in range(self.keys.partitions):
            names.update(name.decode() for name in self._ask("SMEMBERS", self.keys.queues(partition)))
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


def _read_receipt(receipt: bytes | None) -> dict[bytes, bytes]:
    parts = receipt.split(b" ", 4) if receipt is not None else []
    return dict(zip((b"s", b"t", b"z", b"a", b"e"), parts, strict=False))
