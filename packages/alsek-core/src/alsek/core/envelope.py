"""Between a record as Redis holds it and a message as users hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from alsek.core import record
from alsek.core.failure import get_exception_name
from alsek.core.message import Lease, Message
from alsek.types import ExceptionDetails

if TYPE_CHECKING:
    from alsek.exceptions import AlsekError
    from alsek.storage.backends.redis.verbs import Claimed
    from alsek.storage.serialization import Serializer


def open_claimed(claimed: Claimed, token: str, deadline: float, serializer: Serializer) -> Message:
    """Rebuild a message that a claim handed out, with its lease.

    Args:
        claimed: As the claim gave it.
        token: Of the lease.
        deadline: Monotonic seconds at which the lease ends, on our clock.
        serializer: Reads the user's data.

    Raises:
        UnsupportedMessageVersionError: A newer release packed it.
        CorruptMessageError: Its body cannot be read.
    """
    message = record.unpack(
        claimed.body,
        task_name=claimed.task_name,
        uuid=claimed.uuid,
        priority=claimed.priority,
        retries=claimed.retries,
        exception_details=open_error(claimed.error),
        serializer=serializer,
    )
    message.lease = Lease(token, claimed.fence, claimed.deliveries, deadline)
    return message


def open_record(uuid: str, fields: dict[bytes, bytes], serializer: Serializer) -> Message:
    """Rebuild a message from the fields of its record; a leased one carries its lease.

    Raises:
        UnsupportedMessageVersionError: A newer release packed it.
        CorruptMessageError: Its body cannot be read.
    """
    message = record.unpack(
        fields[b"b"],
        task_name=fields[b"T"].decode(),
        uuid=uuid,
        priority=int(fields.get(b"p", 0)),
        retries=int(fields.get(b"n", 0)),
        exception_details=open_error(fields.get(b"e", b"")),
        serializer=serializer,
    )
    if fields[b"s"] == b"l":
        message.lease = Lease(fields[b"t"].decode(), int(fields[b"f"]), int(fields[b"d"]), 0.0)
    return message


def pack_error(details: ExceptionDetails | None) -> bytes:
    """Pack exception details as they are stored beside a message; empty for none."""
    return b"" if details is None else msgspec.json.encode(details)


def open_error(packed: bytes) -> ExceptionDetails | None:
    """Read what `pack_error` packed; what cannot be read is told as text."""
    if not packed:
        return None
    try:
        return msgspec.json.decode(packed, type=ExceptionDetails)
    except msgspec.DecodeError:
        return ExceptionDetails("unknown", packed.decode(errors="replace"))


def death_note(error: AlsekError) -> bytes:
    """Pack the details of a death that no exception of the task caused."""
    return pack_error(ExceptionDetails(get_exception_name(error), str(error), None))
