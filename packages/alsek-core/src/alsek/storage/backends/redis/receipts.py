"""Reads the receipts that claims leave, so that a lost reply can be asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.storage.backends.redis.standard import RedisBackend


class Receipt(NamedTuple):
    """What a consumer's last claim from one partition took: the token it holds, and the uuids."""

    token: str
    uuids: list[str]


def last_claims(backend: RedisBackend, consumer_id: str) -> Iterator[Receipt]:
    """Give the last claim of a consumer from each partition, as far as it is remembered.

    Args:
        backend: Whose keys.
        consumer_id: Which consumer.

    Raises:
        BackendUnavailableError: Redis did not answer.
    """
    for partition in range(backend.keys.partitions):
        receipt: bytes | None = backend.links.command("GET", f"{backend.keys.tag(partition)}c:{consumer_id}")
        # "<token> <queue number> <uuid> <uuid>…", one line for each queue; see claim.lua.
        token, _, claimed = (receipt or b"").decode("utf-8", "replace").partition(" ")
        if token:
            yield Receipt(token, [uuid for line in claimed.split("\n") for uuid in line.split(" ")[1:]])
