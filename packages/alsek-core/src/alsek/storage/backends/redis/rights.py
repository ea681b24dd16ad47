"""What a user may do, without doing it: even one that may not ask for rights can be told which are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.exceptions import BackendAuthenticationError
from alsek.storage.backends.redis.errors import translate
from alsek.storage.backends.redis.link import Link, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.storage.backends.redis import RedisBackend
    from alsek.storage.backends.redis.link import Command


def refused(backend: RedisBackend, key: str, commands: Sequence[Command]) -> list[str]:
    """Give the names of the commands that Redis would refuse for lack of rights.

    Redis looks at the rights when it queues a command of a transaction; this one is never executed.

    Args:
        backend: With the user's credentials.
        key: Where on a cluster all commands belong.
        commands: To be tried.

    Raises:
        BackendUnavailableError: Redis did not answer.
        BackendAuthenticationError: The user may not even begin a transaction.
    """
    link = Link(lambda: backend.new_connection(key=key))
    try:
        link.command("MULTI")
        link.post(b"".join([pack(command) for command in commands]))
        replies = [link.collect() for _ in commands]
    finally:
        link.close()
    return [
        str(command[0])
        for command, reply in zip(commands, replies, strict=True)
        if isinstance(reply, Exception) and isinstance(translate(reply, sent=True), BackendAuthenticationError)
    ]
