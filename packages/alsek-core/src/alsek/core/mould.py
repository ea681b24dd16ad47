"""Makes many messages that differ in their arguments only: what they share is checked and packed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from alsek.core import record
from alsek.core.ids import new_uuid
from alsek.core.message import Message
from alsek.core.rules import check_args, check_mapping
from alsek.exceptions import PayloadTooLargeError, ValidationError
from alsek.storage.backends.redis.verbs import NewMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from alsek.core.generation import Generation
    from alsek.storage.serialization import Serializer

_encode = msgspec.msgpack.Encoder().encode

#: What a call usually says, and what cannot be the same for several messages.
_ARGUMENTS: Final = frozenset({"args", "kwargs"})
_NEVER_SHARED: Final = frozenset({"args", "kwargs", "uuid", "callback"})

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
        positional = check_args(args) if args else ()
        named = dict(check_mapping(kwargs, "kwargs")) if kwargs else {}
        body = self.body(positional, named)
        message = self.pattern.twin(new_uuid(), positional, named)
        if len(body) > self._max_bytes:
            raise PayloadTooLargeError(
                f"{message.summary} takes {len(body):,} bytes, more than the {self._max_bytes:,} allowed: "
                "keep large data elsewhere, and send its address",
                size=len(body),
                limit=self._max_bytes,
            )
        return message, body

    def body(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Give the body of a message with these arguments; whether it is too large is for the caller to see.

        Raises:
            ValidationError: The arguments cannot be serialised.
        """
        entries, parts = self._entries, [self._shared]
        if args:
            parts.append(b"\xa1a")
            parts.append(_encode(self._text(args)))
            entries += 1
        if kwargs:
            parts.append(b"\xa1k")
            parts.append(_encode(self._text(kwargs)))
            entries += 1
        return b"%b%c%b" % (self._version, _FIXMAP + entries, b"".join(parts))

    def _text(self, value: Any) -> str | bytes:
        text: str | bytes = self._serializer.forward(value)
        return text


def cast_many(
    task: Generation, calls: Iterable[Mapping[str, Any]], common: dict[str, Any], ttl: int | None
) -> Iterator[tuple[Message, NewMessage]]:
    """Make messages for the calls of `Task.generate_many`, by a mould where only the arguments differ.

    Args:
        task: Whose.
        calls: What `generate` takes, for each message.
        common: The same for all of them; a call's own value wins.
        ttl: For `Broker.submit`.
    """
    broker, serializer = task.broker, task.broker.backend.serializer
    kept = task.submit_options({}).get("kept_status_ms")
    mould: Mould | None = None
    if not common.keys() & _NEVER_SHARED:
        mould = Mould(task.make(**common), serializer, broker.max_message_bytes)
        mould = mould if mould.usable else None
    rest = broker.new_message(mould.pattern, ttl, kept)[3:] if mould is not None else ()
    for call in calls:
        if mould is not None and call.keys() <= _ARGUMENTS:
            args, kwargs = call.get("args"), call.get("kwargs")
            if args:
                task.check(args, None)
            message, body = mould.cast(args, kwargs)
            task.check_call(message.args, message.kwargs)
            yield message, NewMessage(message.uuid, message.task_name, body, *rest)
        elif call.keys() & {"unique_for", "unique_key"}:
            raise ValidationError("say unique_for for all calls at once: generate_many(calls, unique_for=…)")
        else:
            message = task.generate(submit=False, **{**common, **call})
            yield message, broker.new_message(message, ttl, kept)
