"""Redis and Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.storage.backends.redis.standard import RedisBackend

if TYPE_CHECKING:
    from alsek.storage.backends.redis.asyncio import AsyncRedisBackend

__all__ = ["AsyncRedisBackend", "RedisBackend"]


def __getattr__(name: str) -> object:
    if name == "AsyncRedisBackend":
        from alsek.storage.backends.redis.asyncio import AsyncRedisBackend

        return AsyncRedisBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
