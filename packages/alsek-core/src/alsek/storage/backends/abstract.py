"""What every backend offers: named values, sorted ids, and pub/sub. Extension points for backends of one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from alsek.defaults import DEFAULT_NAMESPACE
from alsek.storage.serialization import JsonSerializer, Serializer
from alsek.types import Empty

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable


class BaseBackend(ABC):  # noqa: B024 - abstract by its two heirs
    """Names and settings that synchronous and asynchronous backends share.

    Args:
        namespace: First part of every name.
        serializer: Turns values into text and back.
    """

    IS_ASYNC: ClassVar[bool] = False
    SUPPORTS_PUBSUB: ClassVar[bool] = False

    def __init__(self, namespace: str = DEFAULT_NAMESPACE, serializer: Serializer | None = None) -> None:
        if not namespace or any(c in "{}*?[]\\" or c.isspace() for c in namespace):
            raise ValueError(f"a namespace is a word without blanks and without any of {{ }} * ? [ ] \\: {namespace!r}")
        self.namespace = namespace
        self.serializer = serializer if serializer is not None else JsonSerializer()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(namespace={self.namespace!r}, serializer={self.serializer!r})"

    def in_namespace(self, name: str) -> bool:
        """Tell whether a name is complete already."""
        return name.startswith((f"{self.namespace}:", f"{{{self.namespace}:"))

    def full_name(self, name: str) -> str:
        """Put the namespace in front, unless it is there."""
        return name if self.in_namespace(name) else f"{self.namespace}:{name}"

    def short_name(self, name: str) -> str:
        """Take the namespace away, if it is there; a name behind a hash tag (`{namespace:…`) stays as it is."""
        return name.removeprefix(f"{self.namespace}:")

    def reverse(self, stored: str | bytes | None) -> Any:
        """Turn what is stored back into a value; the serializer gets the type that it writes."""
        if isinstance(stored, bytes) and not self._writes_bytes:
            stored = stored.decode()
        elif isinstance(stored, str) and self._writes_bytes:
            stored = stored.encode()
        return self.serializer.reverse(stored)

    @cached_property
    def _writes_bytes(self) -> bool:
        return isinstance(self.serializer.forward(None), bytes)

    def encode(self) -> bytes:
        """Describe this backend so that another process can make the same (`decode`)."""
        raise NotImplementedError(f"{type(self).__name__} cannot be described")

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Make a backend from the settings in a description."""
        raise NotImplementedError(f"{cls.__name__} cannot be made from settings")


class Backend(BaseBackend):
    """A synchronous backend."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether there is a value."""

    @abstractmethod
    def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        """Store a value.

        Args:
            name: Of the value.
            value: Anything the serializer can hold.
            nx: Only if there is none.
            ttl: ms until it vanishes; `None` keeps a present expiry.

        Raises:
            KeyError: `nx`, and there is one.
        """

    @abstractmethod
    def get(self, name: str, default: Any = None) -> Any:
        """Give a value, else the default.

        Raises:
            KeyError: There is none, and the default is `Empty`.
        """

    @abstractmethod
    def delete(self, name: str, missing_ok: bool = False) -> None:
        """Delete a value.

        Raises:
            KeyError: There is none, and that is not ok.
        """

    @abstractmethod
    def priority_add(self, key: str, unique_id: str, priority: int | float) -> None:
        """Put an id into a sorted set, or move it."""

    @abstractmethod
    def priority_get(self, key: str) -> str | None:
        """Give the id with the lowest priority number, and leave it there."""

    def priority_iter(self, key: str) -> Iterable[str]:
        """Give all ids in order."""
        raise NotImplementedError

    @abstractmethod
    def priority_remove(self, key: str, unique_id: str) -> None:
        """Take an id out."""

    def pub(self, channel: str, value: Any) -> None:
        """Publish a value on a channel (which is not namespaced)."""
        raise NotImplementedError

    def sub(self, channel: str) -> Iterable[dict[str, Any]]:
        """Give what is published on a channel, for ever."""
        raise NotImplementedError

    @abstractmethod
    def scan(self, pattern: str | None = None) -> Iterable[str]:
        """Give the short names that match a glob."""

    def count(self, pattern: str | None = None) -> int:
        """Count the names that match a glob."""
        return sum(1 for _ in self.scan(pattern))

    def clear_namespace(self, raise_on_error: bool = True) -> int:
        """Delete everything; returns how many names there were.

        Raises:
            KeyError: Something vanished meanwhile, and `raise_on_error`.
        """
        count = 0
        for name in self.scan():
            self.delete(name, missing_ok=not raise_on_error)
            count += 1
        return count


class AsyncBackend(BaseBackend):
    """An asynchronous backend: the same names as coroutines."""

    IS_ASYNC: ClassVar[bool] = True

    @abstractmethod
    async def exists(self, name: str) -> bool:
        """Tell whether there is a value."""

    @abstractmethod
    async def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        """Store a value; see `Backend.set`."""

    @abstractmethod
    async def get(self, name: str, default: Any = Empty) -> Any:
        """Give a value, else the default; by default a missing one is a `KeyError` here."""

    @abstractmethod
    async def delete(self, name: str, missing_ok: bool = False) -> None:
        """Delete a value; see `Backend.delete`."""

    @abstractmethod
    async def priority_add(self, key: str, unique_id: str, priority: int | float) -> None:
        """Put an id into a sorted set, or move it."""

    @abstractmethod
    async def priority_get(self, key: str) -> str | None:
        """Give the id with the lowest priority number, and leave it there."""

    def priority_iter(self, key: str) -> AsyncIterable[str]:
        """Give all ids in order."""
        raise NotImplementedError

    @abstractmethod
    async def priority_remove(self, key: str, unique_id: str) -> None:
        """Take an id out."""

    async def pub(self, channel: str, value: Any) -> None:
        """Publish a value on a channel (which is not namespaced)."""
        raise NotImplementedError

    def sub(self, channel: str) -> AsyncIterable[dict[str, Any]]:
        """Give what is published on a channel, for ever."""
        raise NotImplementedError

    @abstractmethod
    def scan(self, pattern: str | None = None) -> AsyncIterable[str]:
        """Give the short names that match a glob."""

    async def count(self, pattern: str | None = None) -> int:
        """Count the names that match a glob."""
        return len([name async for name in self.scan(pattern)])

    async def clear_namespace(self, raise_on_error: bool = True) -> int:
        """Delete everything; returns how many names there were."""
        count = 0
        async for name in self.scan():
            await self.delete(name, missing_ok=not raise_on_error)
            count += 1
        return count
