"""Between a schedule as Redis holds it and a schedule as people hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from alsek.core import record
from alsek.core.ids import new_uuid
from alsek.core.schedules.policy import FirePolicy
from alsek.core.schedules.schedule import Schedule, State
from alsek.core.triggers import ForeignTrigger, from_data
from alsek.exceptions import AlsekError, ValidationError

if TYPE_CHECKING:
    from alsek.core.message import Message
    from alsek.core.triggers import Trigger
    from alsek.storage.backends.redis.schedules import Row
    from alsek.storage.serialization import Serializer

STATES: Final[dict[bytes, State]] = {b"a": "active", b"p": "paused", b"x": "broken", b"e": "ended"}

#: A newer release may write definitions that this one must not touch.
FORMAT: Final = 1


class Definition(NamedTuple):
    """What somebody decided about a schedule, as opposed to what has become of it.

    Attributes:
        task, queue, priority, delay, ttl: Of its messages.
        kept_status_ms: How long a status tracker keeps the last status; `None`: there is no tracker.
        trigger: When it fires.
        policy: What becomes of late and overlapping fires.
        owner: `code` or `user`.
        origin: Module of the task, as far as it is known.
        body: Of its messages.
    """

    task: str
    queue: str
    priority: int
    delay: int
    ttl: int | None
    kept_status_ms: int | None
    trigger: Trigger
    policy: FirePolicy
    owner: str
    origin: str | None
    body: bytes

    def text(self) -> bytes:
        """Give everything but the body as JSON; equal definitions have equal texts."""
        return msgspec.json.encode({
            "format": FORMAT,
            "task": self.task,
            "queue": self.queue,
            "priority": self.priority,
            "delay": self.delay,
            "ttl": self.ttl,
            "kept_status_ms": self.kept_status_ms,
            "trigger": self.trigger.data(),
            "policy": self.policy.data(),
            "owner": self.owner,
            "origin": self.origin,
        })  # fmt: skip


def open_definition(fields: dict[bytes, bytes]) -> Definition:
    """Read what stands in Redis.

    Raises:
        ValidationError: It cannot be read, or a newer release wrote it.
    """
    try:
        told = msgspec.json.decode(fields.get(b"d", b""), type=dict[str, Any])
        if told.pop("format") != FORMAT:
            raise ValidationError("a newer release wrote it: upgrade this program")
        trigger, policy = from_data(told.pop("trigger")), FirePolicy.from_data(told.pop("policy"))
        return Definition(**told, trigger=trigger, policy=policy, body=fields.get(b"b", b""))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise ValidationError(f"its definition cannot be read: {error}") from error


def open_row(row: Row, serializer: Serializer) -> Schedule:
    """Give a schedule for people; what cannot be read is shown as broken."""
    schedule_id, fields = row
    state: State = STATES.get(fields.get(b"s", b""), "broken")
    reason = fields.get(b"r", b"").decode("utf-8", "replace") or None
    facts: dict[str, Any] = {
        "id": schedule_id,
        "version": _number(fields, b"v") or 0,
        "next_ms": _number(fields, b"n"),
        "last_ms": _number(fields, b"z"),
        "last_uuid": _text(fields, b"L"),
        "first_uuid": _text(fields, b"f"),
        "waiting_ms": _number(fields, b"w"),
        "fired": (_number(fields, b"c") or 0) + (_number(fields, b"y") or 0),
        "missed": _number(fields, b"m") or 0,
        "dropped": _number(fields, b"o") or 0,
        "anchor_ms": _number(fields, b"a") or 0,
        "created_at": _number(fields, b"k") or 0,
        "updated_at": _number(fields, b"u") or 0,
    }
    try:
        definition = open_definition(fields)
        message = open_template(definition, serializer)
    except AlsekError as error:
        unknown = ForeignTrigger({"kind": "foreign", "class": "", "text": "unreadable"})
        return Schedule(
            task="",
            queue="",
            trigger=unknown,
            policy=FirePolicy(),
            state="broken",
            reason=reason or str(error),
            **facts,
        )
    return Schedule(
        task=definition.task,
        queue=definition.queue,
        trigger=definition.trigger,
        policy=definition.policy,
        state=state,
        reason=reason if state == "broken" else None,
        args=message.args,
        kwargs=message.kwargs,
        metadata=message.metadata,
        timeout=message.timeout,
        result_ttl=message.result_ttl,
        priority=definition.priority,
        delay=definition.delay,
        ttl=definition.ttl,
        owner="code" if definition.owner == "code" else "user",
        origin=definition.origin,
        **facts,
    )


def open_template(definition: Definition, serializer: Serializer) -> Message:
    """Give the message of a schedule, under an id of its own.

    Raises:
        CorruptMessageError: It cannot be read.
        UnsupportedMessageVersionError: A newer release wrote it.
    """
    return record.unpack(
        definition.body,
        task_name=definition.task,
        uuid=new_uuid(),
        priority=definition.priority,
        serializer=serializer,
    )


def _number(fields: dict[bytes, bytes], name: bytes) -> int | None:
    value = fields.get(name, b"")
    return int(value) if value.isdigit() and len(value) < 16 else None


def _text(fields: dict[bytes, bytes], name: bytes) -> str | None:
    return fields.get(name, b"").decode("utf-8", "replace") or None
