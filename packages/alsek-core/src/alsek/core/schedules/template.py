"""The message that a schedule submits again and again: one body for all, with a fresh uuid for each fire.

An id follows from what it stands for, the schedule and the instant: whoever fires an instant, and however often, it is
the same message.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from alsek.core import record
from alsek.core.ids import derived_uuid, made_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.storage.keys import Keys
    from alsek.storage.serialization import Serializer


def fire_uuid(keys: Keys, schedule_id: str, fire_ms: int, *origin: object) -> str:
    """Give the uuid of the message of an instant; it lies in the partition of its schedule.

    Args:
        keys: Of the namespace.
        schedule_id: Which schedule.
        fire_ms: Which instant, ms since the epoch.
        *origin: What else it stands for, such as the place in a chain of callbacks.
    """
    home = keys.partition(schedule_id)
    for attempt in count():
        uuid = derived_uuid(fire_ms, keys.namespace, schedule_id, fire_ms, *origin, attempt)
        if keys.partition(uuid) == home:
            break
    return uuid


class Template:
    """The message of a schedule, ready to be made as often as it fires.

    Args:
        keys: Of the namespace.
        schedule_id: Whose.
        body: As `record.pack` made it.
        serializer: Reads what follows the message, if anything does.

    Raises:
        CorruptMessageError: The body cannot be read.
        UnsupportedMessageVersionError: A newer release wrote it.
    """

    def __init__(self, keys: Keys, schedule_id: str, body: bytes, serializer: Serializer) -> None:
        self._keys = keys
        self._id = schedule_id
        self._body = record.recast(body)
        self._serializer = serializer
        followed = record.callback_of(self._body)
        self._callback: dict[str, Any] | None = None if followed is None else serializer.reverse(followed)
        self._plain: dict[str | None, bytes] = {}

    def message(self, fire_ms: int, first_uuid: str, *, first: bool) -> tuple[str, bytes]:
        """Give uuid and body of the message of an instant.

        Args:
            fire_ms: Which instant, ms since the epoch.
            first_uuid: Of the first message, the progenitor of all others.
            first: Whether it is the first.
        """
        uuid = first_uuid if first else fire_uuid(self._keys, self._id, fire_ms)
        if uuid == first_uuid and not first:
            # The first one was named after this instant when the schedule began, and came sooner: its trigger changed.
            uuid = fire_uuid(self._keys, self._id, fire_ms, "not first")
        progenitor_uuid = None if first else first_uuid
        body = self.body(fire_ms, progenitor_uuid)
        if made_at(uuid) != fire_ms:  # the first one was named when the schedule began
            body = record.recast(body, created_at=fire_ms, progenitor_uuid=progenitor_uuid)
        return uuid, body

    def body(self, fire_ms: int, progenitor_uuid: str | None) -> bytes:
        """Give the body of a message that is made at an instant."""
        if self._callback is None:
            known = self._plain.get(progenitor_uuid)
            if known is None:
                known = self._plain[progenitor_uuid] = record.recast(self._body, progenitor_uuid=progenitor_uuid)
            return known
        renamed = rename(self._callback, lambda depth: fire_uuid(self._keys, self._id, fire_ms, "callback", depth))
        renamed_text = self._serializer.forward(stamp(renamed, fire_ms))
        return record.recast(self._body, progenitor_uuid=progenitor_uuid, callback=renamed_text)


def rename(data: dict[str, Any], name: Callable[[int], str], depth: int = 0) -> dict[str, Any]:
    """Give the data of a message and of what follows it with other uuids."""
    followed = data.get("callback_message_data")
    renamed = data | {"uuid": name(depth)}
    if followed is not None:
        renamed["callback_message_data"] = rename(followed, name, depth + 1)
    return renamed


def stamp(data: dict[str, Any], made_ms: int) -> dict[str, Any]:
    """Give the data of a message and of what follows it with another time of their making."""
    followed = data.get("callback_message_data")
    stamped = data | {"created_at": made_ms, "updated_at": made_ms}
    if followed is not None:
        stamped["callback_message_data"] = stamp(followed, made_ms)
    return stamped
