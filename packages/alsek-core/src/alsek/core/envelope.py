"""Between a record as Redis holds it and a message as users hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from alsek.core import record, rules
from alsek.core.failure import get_exception_name
from alsek.core.message import Lease, Message
from alsek.defaults import MAX_NAME_LENGTH
from alsek.types import ExceptionDetails

if TYPE_CHECKING:
    from alsek.exceptions import AlsekError
    from alsek.storage.backends.redis.verbs import Claimed
    from alsek.storage.serialization import Serializer

#: Of the uuids that we make.
_UUID_LENGTH: Final = 36


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
        ValidationError: Its id or the name of its task is none.
    """
    if not claimed.task_name.isidentifier() or len(claimed.task_name) > MAX_NAME_LENGTH:  # spares a call to nearly all
        rules.check_name(claimed.task_name, "task name")
    if len(claimed.uuid) != _UUID_LENGTH:
        rules.check_uuid(claimed.uuid)
    message = record.unpack(
        claimed.body,
        task_name=claimed.task_name,
        uuid=claimed.uuid,
        priority=claimed.priority,
        retries=claimed.retries,
        exception_details=open_error(claimed.error),
        serializer=serializer,
    )
    message.queue = claimed.queue  # what counts is where it stands, not where it says that it does
    message.lease = Lease(token, claimed.fence, claimed.deliveries, deadline)
    return message


def open_record(uuid: str, fields: dict[bytes, bytes], serializer: Serializer) -> Message:
    """Rebuild a message from the fields of its record; a leased one carries its lease.

    Raises:
        UnsupportedMessageVersionError: A newer release packed it.
        CorruptMessageError: Its body cannot be read.
    """
    message = record.unpack(
        fields.get(b"b", b""),
        task_name=fields.get(b"T", b"").decode("utf-8", "backslashreplace"),
        uuid=uuid,
        priority=_count(fields, b"p"),
        retries=_count(fields, b"n"),
        exception_details=open_error(fields.get(b"e", b"")),
        serializer=serializer,
    )
    if fields.get(b"s") == b"l":
        token = fields.get(b"t", b"").decode("utf-8", "backslashreplace")
        message.lease = Lease(token, _count(fields, b"f"), _count(fields, b"d"), 0.0)
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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ExceptionDetails("unknown", packed.decode(errors="replace"))


def _count(fields: dict[bytes, bytes], name: bytes) -> int:
    # As the scripts read it: what is no count is absent.
    value = fields.get(name, b"0")
    return int(value) if value.isdigit() and len(value) < 15 else 0


def death_note(error: AlsekError) -> bytes:
    """Pack the details of a death that no exception of the task caused."""
    return pack_error(ExceptionDetails(get_exception_name(error), str(error), None))
