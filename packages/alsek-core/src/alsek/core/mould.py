"""Makes many messages that differ in their arguments only: what they share is checked and packed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from alsek.core import record
from alsek.core.ids import made_at, new_uuid
from alsek.core.message import Message
from alsek.core.rules import check_args, check_mapping
from alsek.exceptions import PayloadTooLargeError
from alsek.storage.serialization import Serializer

_encode = msgspec.msgpack.Encoder().encode

#: A MessagePack map of so many entries says their number in its first byte.
_FIXMAP, _MOST_ENTRIES = 0x80, 15


class Mould:
    """A message without arguments, ready to be filled.

    Args:
        pattern: What all messages share; it has no arguments.
        serializer: Turns the arguments into text.
        max_bytes: Largest body allowed.
    """

    def __init__(self, pattern: Message, serializer: Serializer, max_bytes: int) -> None:
        self.pattern = pattern
        self._serializer = serializer
        self._max_bytes = max_bytes
        body = record.pack(pattern, serializer, max_bytes=max_bytes)
        self._entries = body[1] - _FIXMAP
        self._version, self._shared = body[:1], body[2:]
        #: Whether bodies can be put together from this pattern.
        self.usable = 0 < self._entries <= _MOST_ENTRIES - 2 and type(pattern) is Message

    def cast(self, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> tuple[Message, bytes]:
        """Make a message with these arguments, and its body.

        Raises:
            ValidationError: The arguments are none, cannot be serialised or are too large.
        """
        entries, parts = self._entries, [self._shared]
        positional: tuple[Any, ...] = ()
        named: dict[str, Any] = {}
        if args:
            positional = check_args(args)
            parts.append(b"\xa1a")
            parts.append(_encode(self._text(positional)))
            entries += 1
        if kwargs:
            named = check_mapping(dict(kwargs), "kwargs")
            parts.append(b"\xa1k")
            parts.append(_encode(self._text(named)))
            entries += 1
        body = b"%b%c%b" % (self._version, _FIXMAP + entries, b"".join(parts))
        message = self.pattern.twin(new_uuid(), positional, named)
        if len(body) > self._max_bytes:
            raise PayloadTooLargeError(
                f"{message.summary} takes {len(body):,} bytes, more than the {self._max_bytes:,} allowed: "
                "keep large data elsewhere, and send its address",
                size=len(body),
                limit=self._max_bytes,
            )
        return message, body

    def _text(self, value: Any) -> str | bytes:
        text: str | bytes = self._serializer.forward(value)
        return text
