"""The stored form of a message: one version byte, then a MessagePack map with keys of one letter.

What is as usual is left out, so that a small message stays below 64 bytes, where Redis keeps the whole record in one
compact allocation. Task name, priority, retries and exception details are fields beside the body, because scripts
change them; the uuid is part of the key. User data passes through the backend's serializer, and nothing here looks
into it. Keys that this release does not know were written by a newer one: they are kept, and written again.

What "as usual" means is part of the format: a default that is left out here may never change without a new version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from alsek.core.backoff import ExponentialBackoff
from alsek.core.ids import made_at
from alsek.core.message import LinkedLock, Message
from alsek.defaults import DEFAULT_MECHANISM, DEFAULT_TASK_TIMEOUT, MAX_DURATION_MS, MAX_MESSAGE_BYTES
from alsek.exceptions import (
    AlsekError,
    CorruptMessageError,
    PayloadTooLargeError,
    SerializationError,
    UnsupportedMessageVersionError,
)

if TYPE_CHECKING:
    from alsek.types import ExceptionDetails

#: First byte of every body this release writes.
VERSION = 1

#: First bytes that a newer release may write. Texts, JSON and pickles begin above: they are garbage, not the future.
LAST_VERSION = 31


class Codec(Protocol):
    """The part of a serializer that is needed here."""

    def forward(self, obj: Any, /) -> Any:
        """Return the value as text or bytes."""

    def reverse(self, obj: Any, /) -> Any:
        """Return the value that `forward` was given."""


def pack(message: Message, serializer: Codec, *, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """Return the body of a message.

    Raises:
        SerializationError: The serializer cannot hold something in the message; names the field.
        PayloadTooLargeError: The body would be longer than `max_bytes`.
    """
    fields: dict[str, Any] = {"q": message.queue}
    if message.created_at != made_at(message.uuid):
        fields["c"] = message.created_at
    if message.args:
        fields["a"] = _forward(message, serializer, "args", message.args)
    if message.kwargs:
        fields["k"] = _forward(message, serializer, "kwargs", message.kwargs)
    if message.updated_at != message.created_at:
        fields["u"] = message.updated_at
    if message.timeout != DEFAULT_TASK_TIMEOUT:
        fields["t"] = message.timeout
    if message.mechanism != DEFAULT_MECHANISM:
        fields["h"] = message.mechanism
    if message.delay:
        fields["d"] = message.delay
    if message.result_ttl is not None:
        fields["v"] = message.result_ttl
    _pack_company(message, serializer, fields)
    if message.unknown_fields:
        fields = message.unknown_fields | fields
    try:
        body = _VERSION_BYTE + _encode(fields)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SerializationError(f"Cannot store {message.summary}: {error}", reason=str(error)) from error
    if len(body) > max_bytes:
        raise PayloadTooLargeError(
            f"{message.summary} takes {len(body):,} bytes, more than the {max_bytes:,} allowed: "
            "keep large data elsewhere, and send its address",
            size=len(body),
            limit=max_bytes,
        )
    return body


def recast(
    body: bytes,
    *,
    created_at: int | None = None,
    progenitor_uuid: str | None = None,
    callback: str | bytes | None = None,
) -> bytes:
    """Give the body of a new message like another one. User data is not looked into.

    Args:
        body: As `pack` made it.
        created_at: When it is made, ms since the epoch; `None`: when its UUIDv7 says.
        progenitor_uuid: The root of the new message's family; `None`: it is the root itself.
        callback: Instead of what follows the message, as the serializer wrote it; `None`: the same again.

    Raises:
        UnsupportedMessageVersionError: A newer release wrote it.
        CorruptMessageError: These bytes cannot be read.
    """
    if body[:1] != _VERSION_BYTE:
        raise _unreadable(body[0] if body else 0, "of a schedule")
    try:
        fields = _decode(body[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CorruptMessageError(f"The message of a schedule cannot be read: {error}") from error
    for name in ("c", "u", "g"):
        fields.pop(name, None)
    if created_at is not None:
        fields["c"] = created_at
    if progenitor_uuid is not None:
        fields["g"] = progenitor_uuid
    if callback is not None:
        fields["n"] = callback
    return _VERSION_BYTE + _encode(fields)


def callback_of(body: bytes) -> str | bytes | None:
    """Give what follows a message, as the serializer wrote it; `None` when nothing does."""
    followed: str | bytes | None = _decode(body[1:]).get("n")
    return followed


def unpack(
    body: bytes,
    *,
    task_name: str,
    uuid: str,
    serializer: Codec,
    priority: int = 0,
    retries: int = 0,
    exception_details: ExceptionDetails | None = None,
) -> Message:
    """Rebuild a message from its body and the fields kept beside it.

    Raises:
        UnsupportedMessageVersionError: A newer release wrote it; leave it to a newer worker.
        CorruptMessageError: These bytes, or some user data in them, cannot be read.
    """
    version = body[0] if body else 0
    if version != VERSION:
        raise _unreadable(version, uuid)
    try:
        fields = _decode(body[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CorruptMessageError(f"The message {uuid} cannot be read: {error}", uuid=uuid) from error
    if fields.keys() == _USUAL and fields["q"].__class__ is str and (made := made_at(uuid)) is not None:
        # most messages: a queue and positional arguments
        args = _reverse(uuid, serializer, "args", tuple, fields["a"])
        return Message.from_record(
            task_name=task_name, uuid=uuid, queue=fields["q"], created_at=made, args=args, priority=priority,
            retries=retries, exception_details=exception_details,
        )  # fmt: skip
    values: dict[str, Any] = {}
    unknown: dict[str, Any] | None = None
    for key, value in fields.items():
        if key in _PLAIN:
            name, kind = _PLAIN[key]
            if value.__class__ is not kind or (isinstance(value, int) and not _in_range(key, value)):
                raise _malformed(uuid, name)
            values[name] = value
        elif key in _SERIALIZED:
            values[_SERIALIZED[key][0]] = _reverse(uuid, serializer, *_SERIALIZED[key], value)
        elif key == "b":
            values["backoff_settings"] = _backoff(uuid, value)
        elif key == "l":
            values["linked_lock"] = _linked_lock(uuid, value)
        else:
            unknown = {**(unknown or {}), key: value}
    if "created_at" not in values:
        values["created_at"] = made_at(uuid)
    if "queue" not in values or values["created_at"] is None:
        raise _malformed(uuid, "queue or created_at")
    return Message.from_record(
        task_name=task_name,
        uuid=uuid,
        priority=priority,
        retries=retries,
        exception_details=exception_details,
        unknown_fields=unknown,
        **values,
    )


def is_newer(version: int) -> bool:
    """Tell whether a first byte is that of a format that a newer release may have."""
    return VERSION < version <= LAST_VERSION


def _pack_company(message: Message, serializer: Codec, fields: dict[str, Any]) -> None:
    """Add what few messages have: what they came from, what follows them, what they carry besides arguments."""
    backoff = message.own_backoff_settings
    if backoff is not None and backoff != _DEFAULT_BACKOFF:
        fields["b"] = [backoff["algorithm"], backoff["parameters"]]
    if message.metadata is not None:
        fields["m"] = _forward(message, serializer, "metadata", message.metadata)
    if message.previous_result is not None:
        fields["r"] = _forward(message, serializer, "previous_result", message.previous_result)
    if message.previous_message_uuid is not None:
        fields["f"] = message.previous_message_uuid
    if message.progenitor_uuid is not None:
        fields["g"] = message.progenitor_uuid
    if message.callback_message_data is not None:
        fields["n"] = _forward(message, serializer, "callback_message_data", message.callback_message_data)
    if message.linked_lock is not None:
        fields["l"] = message.linked_lock


def _forward(message: Message, serializer: Codec, field: str, value: Any) -> str | bytes:
    try:
        text = serializer.forward(value)
    except Exception as error:
        path = field + (getattr(error, "path", None) or "")
        reason = getattr(error, "reason", None) or f"{type(error).__name__}: {error}"
        raise SerializationError(f"Cannot serialize {path} of {message.summary}: {reason}", path=path) from error
    if not isinstance(text, str | bytes):
        raise SerializationError(
            f"{serializer!r} made {type(text).__name__} of {field} of {message.summary}, neither text nor bytes"
        )
    return text


def _reverse(uuid: str, serializer: Codec, field: str, kind: type | None, text: Any) -> Any:
    try:
        value = serializer.reverse(text)
    except Exception as error:
        raise CorruptMessageError(f"The {field} of message {uuid} cannot be read: {error}", uuid=uuid) from error
    if kind is not None and value.__class__ is not kind:
        if kind is tuple and isinstance(value, list):
            return tuple(value)
        raise _malformed(uuid, field)
    return value


def _backoff(uuid: str, value: Any) -> dict[str, Any]:
    match value:
        case [str(algorithm), dict(parameters)]:
            return {"algorithm": algorithm, "parameters": parameters}
    raise _malformed(uuid, "backoff_settings")


def _in_range(key: str, milliseconds: int) -> bool:
    return _LEAST.get(key, 0) <= milliseconds <= MAX_DURATION_MS


def _linked_lock(uuid: str, value: Any) -> LinkedLock:
    match value:
        case {"name": str(name), "owner_id": str(owner_id)}:
            return {"name": name, "owner_id": owner_id}
    raise _malformed(uuid, "linked_lock")


def _malformed(uuid: str, field: str) -> CorruptMessageError:
    return CorruptMessageError(f"The message {uuid} cannot be read: its {field} is missing or malformed", uuid=uuid)


def _unreadable(version: int, uuid: str) -> AlsekError:
    if is_newer(version):
        return UnsupportedMessageVersionError(
            f"The message {uuid} has format {version}, this release reads up to {VERSION}: upgrade the workers",
            version=version,
            uuid=uuid,
        )
    return CorruptMessageError(f"The message {uuid} cannot be read: it has no valid version byte", uuid=uuid)


#: Keys of a message that has arguments, and nothing else to say.
_USUAL = {"q", "a"}

#: Key → field and its type, for what MessagePack holds by itself.
_PLAIN: dict[str, tuple[str, type]] = {
    "q": ("queue", str),
    "c": ("created_at", int),
    "u": ("updated_at", int),
    "t": ("timeout", int),
    "h": ("mechanism", str),
    "d": ("delay", int),
    "v": ("result_ttl", int),
    "f": ("previous_message_uuid", str),
    "g": ("progenitor_uuid", str),
}

#: Durations that cannot be zero.
_LEAST: Final = {"t": 1, "v": 1}

#: Key → field and its type, for user data; None where any type will do.
_SERIALIZED: dict[str, tuple[str, type | None]] = {
    "a": ("args", tuple),
    "k": ("kwargs", dict),
    "m": ("metadata", dict),
    "r": ("previous_result", None),
    "n": ("callback_message_data", dict),
}

_DEFAULT_BACKOFF = ExponentialBackoff().settings
_VERSION_BYTE = bytes([VERSION])
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
