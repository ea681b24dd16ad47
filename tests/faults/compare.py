"""The state of a partition with times and bodies made comparable, so that two runs can be told apart or not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from alsek.storage.keys import PRIORITY_WEIGHT
from model.redis_dump import redis_dump

if TYPE_CHECKING:
    from redis import Redis

#: Milliseconds since the epoch, of about now.
_TIME = re.compile(r"(?<!\d)1[6-9]\d{11}(?!\d)")


def comparable(client: Redis, tag: str) -> dict[str, Any]:
    """Every key of a partition: its type, its value without the times in it, and whether it vanishes."""
    return {
        name: (entry.kind, _value(name, entry.value), entry.has_ttl) for name, entry in redis_dump(client, tag).items()
    }


def difference(left: dict[str, Any], right: dict[str, Any]) -> str:
    """What differs, in words."""
    names = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    return "; ".join(f"{name}: {left.get(name)} != {right.get(name)}" for name in names[:5])


def _value(name: str, value: Any) -> Any:
    prefix = name.partition(":")[0]
    if isinstance(value, dict):
        if prefix == "r":
            return {member: int(score // PRIORITY_WEIGHT) for member, score in value.items()}
        if prefix in ("d", "l", "x", "kids"):
            return sorted(value)
        return {field: _body(text) if field == "b" else _timeless(text) for field, text in value.items()}
    return _timeless(value) if isinstance(value, str) else sorted(value)


def _body(text: str) -> str:
    packed = text.encode("latin-1")
    return _timeless(repr((packed[0], msgspec.msgpack.decode(packed[1:]))))


def _timeless(text: str) -> str:
    return _TIME.sub("T", text)
