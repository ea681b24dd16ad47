"""What the two backends for values, synchronous and asynchronous, check and spell in the same way."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.exceptions import RedisClusterException

from alsek.storage.backends.redis.errors import translate
from alsek.types import Empty

if TYPE_CHECKING:
    from collections.abc import Iterator

#: More hash tags than this only make a claim slow.
MOST_PARTITIONS: Final = 1024

#: Names fetched in one step of a scan, and deleted in one command.
SCAN_STEP: Final = 500


def check_partitions(partitions: Any) -> int:
    """Give a number of partitions, if it is one; raises `ValueError`."""
    if not isinstance(partitions, int) or isinstance(partitions, bool) or not 1 <= partitions <= MOST_PARTITIONS:
        raise ValueError(f"partitions has to be a whole number from 1 to {MOST_PARTITIONS}: {partitions!r}")
    return partitions


def check_ttl(ttl: int | None) -> int | None:
    """Give a time to live, if it is one; raises `ValueError`."""
    if ttl is not None and (isinstance(ttl, bool) or ttl != int(ttl) or ttl < 1):
        raise ValueError(f"ttl has to be a positive whole number of ms, or None: {ttl!r}")
    return None if ttl is None else int(ttl)


def default_of(name: str, default: Any) -> Any:
    """Give the default for a missing name; raises `KeyError` for `Empty`."""
    if default is Empty or isinstance(default, Empty):
        raise KeyError(f"No name '{name}' found")
    return default


def globs(namespace: str, pattern: str | None) -> list[tuple[str, re.Pattern[str] | None]]:
    """Give the globs under which names lie, each with what a name has to match besides.

    A pattern may be complete already; else it matches behind the namespace and behind a hash tag.
    """
    tag = re.compile(rf"\{{{re.escape(namespace)}:(\d+|registry)\}}:")
    if pattern and pattern.startswith(f"{{{namespace}:"):
        return [(pattern, tag)]
    rest = (pattern or "*").removeprefix(f"{namespace}:")
    return [(f"{namespace}:{rest}", None), (f"{{{namespace}:*}}:{rest}", tag)]


def as_text(value: Any) -> str:
    """Give what a client answered as text, whether it decodes or not."""
    return value.decode() if isinstance(value, bytes) else str(value)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of redis-py into ours."""
    try:
        yield
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise translate(error, sent=True) from error
