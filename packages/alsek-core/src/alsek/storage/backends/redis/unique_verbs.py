"""The verb for messages of which there may be one at a time: beside `Verbs`, so that all others do not pay for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alsek.storage.backends.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.verbs import NewMessage, Verbs


class Unique(NamedTuple):
    """What makes a message unique.

    Attributes:
        digest: Of its key; it decides the partition as well.
        window_ms: How long after the submit the key is held at least, unless the message fails.
    """

    digest: str
    window_ms: int


def submit_unique(
    verbs: Verbs, partition: int, queue: str, messages: Iterable[tuple[NewMessage, Unique]], *, again: bool = False
) -> Call:
    """Store messages of one queue whose keys nobody holds. Reply: for `read_unique`."""
    plain = verbs.submit(partition, queue, (), again=again)
    args = list(plain.args)
    for message, unique in messages:
        args += message
        args += unique
    return plain._replace(script=script("submit_unique"), args=args)


def read_unique(reply: Iterable[int | bytes]) -> list[int | str]:
    """Read the reply of `submit_unique`: for each message its code, or the uuid of the one that holds its key."""
    return [answer.decode() if isinstance(answer, bytes) else answer for answer in reply]
