"""From a record, or the receipt that takes its place, to what is told of a message."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from alsek.core.envelope import open_error, open_record
from alsek.core.progress import open_progress
from alsek.exceptions import CorruptMessageError, UnsupportedMessageVersionError, ValidationError
from alsek.storage.backends.redis.look import LETTERS
from alsek.tools.facts import MessageInfo
from alsek.tools.history import Life, timeline

if TYPE_CHECKING:
    from alsek.core.message import Message
    from alsek.storage.serialization import Serializer

_STATE_OF_LETTER: Final = {letter: state for state, letter in LETTERS.items()}
_ENDS: Final = {"S": "succeeded", "F": "failed", "V": "revoked", "E": "expired"}


def told(
    uuid: str,
    record: dict[bytes, bytes] | bytes,
    serializer: Serializer,
    *,
    due: float | None = None,
    lease: float | None = None,
) -> MessageInfo:
    """Give what a record says of its message, or what a receipt says of how it ended.

    Args:
        uuid: Of the message.
        record: Its fields, or its receipt.
        serializer: Reads the arguments.
        due: When it is due, if it is delayed.
        lease: When its lease ends, if it runs.
    """
    return _ended(uuid, record) if isinstance(record, bytes) else _alive(uuid, record, serializer, due, lease)


def with_times(info: MessageInfo, due: float | None, lease: float | None) -> MessageInfo:
    """Add when it is due, or its lease ends."""
    return replace(info, due_at=_whole(due), leased_until=_whole(lease))


def _alive(
    uuid: str, record: dict[bytes, bytes], serializer: Serializer, due: float | None, lease: float | None
) -> MessageInfo:
    message: Message | None = None
    with suppress(CorruptMessageError, UnsupportedMessageVersionError, ValidationError):
        # What can be said without its body is said all the same.
        message = open_record(uuid, record, serializer)
    state = _STATE_OF_LETTER.get(_text(record, b"s"), "unknown")
    life = Life(
        state=state,
        created_at=message.created_at if message is not None else None,
        claimed_at=(_count(record, b"c") or None) if state == "running" else None,
        ended_at=_count(record, b"z") or None,
        worker=_text(record, b"t").partition(".")[0],
        reason=_text(record, b"a"),
        error=open_error(record.get(b"e", b"")),
    )
    return MessageInfo(
        uuid=uuid,
        **life._asdict(),
        task=_text(record, b"T"),
        queue=message.queue if message is not None else "",
        priority=_count(record, b"p"),
        retries=_count(record, b"n"),
        deliveries=_count(record, b"d"),
        fence=_count(record, b"f"),
        due_at=_whole(due),
        leased_until=_whole(lease),
        args=message.args if message is not None else None,
        kwargs=message.kwargs if message is not None else None,
        progress=open_progress(record.get(b"g", b""), _count(record, b"f")),
        timeline=timeline(life, _text(record, b"h")),
    )


def _ended(uuid: str, receipt: bytes) -> MessageInfo:
    letter, token, ended_at, reason, *rest = *receipt.split(b" ", 4), b"", b"", b"", b""
    state = _ENDS.get(letter.decode(errors="replace"), "unknown")
    # Of what went well the receipt says when it was claimed, in the place of a reason.
    claimed = reason if state == "succeeded" else b""
    life = Life(
        state=state,
        claimed_at=int(claimed) if claimed.isdigit() else None,
        ended_at=int(ended_at) if ended_at.isdigit() else None,
        worker=token.decode(errors="replace").partition(".")[0],
        reason="" if claimed else reason.decode(errors="replace"),
        error=open_error(rest[0]),
    )
    return MessageInfo(uuid=uuid, **life._asdict(), timeline=timeline(life, ""))


def _whole(ms: float | None) -> int | None:
    return None if ms is None else int(ms)


def _text(record: dict[bytes, bytes], name: bytes) -> str:
    return record.get(name, b"").decode(errors="replace")


def _count(record: dict[bytes, bytes], name: bytes) -> int:
    value = record.get(name, b"")
    return int(value) if value.isdigit() and len(value) < 15 else 0
