"""What is known of one message, from all places where something is: record, receipt, ticket, status.

What is `async` asks Redis from the event loop; the rest blocks, and routes call it beside the loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from alsek.core.ids import made_at
from alsek.defaults import MAX_DURATION_MS
from alsek.exceptions import AlsekError, BackendDataError, MessageDoesNotExistsError
from alsek_api.problems import Problem

if TYPE_CHECKING:
    from alsek.core.broker import Broker
    from alsek.core.message import Message
    from alsek.core.schedules import Schedule
    from alsek.tools.inspector import Inspector, MessageInfo
    from alsek_api.auth.keys import Principal

#: A message without a ttl is not expected to wait longer than this, ms.
LONG_MS: Final = 2_592_000_000

#: States in which a message has ended.
ENDED: Final = frozenset({"succeeded", "failed", "revoked", "expired", "dead", "ended"})

#: States of a message whose callback has not been submitted, but may be.
_BEFORE: Final = frozenset({"ready", "delayed", "running", "waiting"})

#: States by the letters in records of messages that live, and by the statuses that are told.
STATE_OF_LETTER: Final = {"r": "ready", "d": "delayed", "l": "running"}
STATE_OF_STATUS: Final = {
    "SUBMITTED": "ready", "RUNNING": "running", "RETRYING": "delayed", "FAILED": "failed", "SUCCEEDED": "succeeded",
    "EXPIRED": "expired",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one message.

    Attributes:
        uuid: Its id.
        info: What its record or receipt says; `None`: both are gone, and only the ticket is left.
        state: Its state; `ended`: nobody knows how; `waiting`: for the message whose callback it is.
        queue: Its queue; empty: unknown.
        task: Its task; empty: unknown.
        root: First of the chain it belongs to; `None`: itself.
        ahead: While `waiting`: the messages that have to succeed first, the nearest one first.
    """

    uuid: str
    info: MessageInfo | None
    state: str
    queue: str
    task: str
    root: str | None
    ahead: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing will follow."""
        return self.state in ENDED


class _Ticket(NamedTuple):
    """What is remembered of a message that came by HTTP: queue, task, the first of its chain, the one before it."""

    queue: str
    task: str
    root: str | None
    before: str


class Lookup:
    """Finds messages.

    Args:
        broker: Of the namespace.
        inspector: Of the broker.
    """

    def __init__(self, broker: Broker, inspector: Inspector) -> None:
        self._broker = broker
        self._inspector = inspector

    def find(self, uuid: str, principal: Principal) -> Known:
        """Find a message.

        Raises:
            Problem: 404: there is none, or the key does not see it.
        """
        ticket = self._ticket(uuid)
        info, state, ahead = self._standing(uuid, ticket)
        if info is None and ticket is None:
            raise self._nothing(uuid)
        queue, task = (info.queue, info.task) if info is not None else ("", "")
        if ticket is not None:
            queue, task = queue or ticket.queue, task or ticket.task
        if principal.is_limited and not (queue and principal.sees(queue, task)):
            raise self._nothing(uuid)
        return Known(uuid, info, state, queue, task, ticket.root if ticket is not None else None, ahead)

    async def glimpse(self, uuid: str, principal: Principal) -> Known | None:
        """Give where a message that came by HTTP belongs, by one command; `None`: only `find` can tell.

        Of the state nothing is said.
        """
        ticket = _read_ticket(await self._broker.redis.async_link.command("GET", self._broker.keys.ticket(uuid)))
        if ticket is None or ticket.before or not principal.sees(ticket.queue, ticket.task):
            return None
        return Known(uuid, None, "", ticket.queue, ticket.task, ticket.root)

    async def now(self, known: Known) -> tuple[str, Any] | None:
        """Give the state of a message, and details while it lives, by two commands in one write.

        Returns:
            `None` when only `find` can tell: it is unknown, ended without success, or its status is not tracked.
        """
        if not known.queue:
            return None
        link, keys = self._broker.redis.async_link, self._broker.keys
        letter: Any
        stored: Any
        letter, stored = await asyncio.gather(
            link.command("HGET", keys.record(known.uuid), "s"),
            link.command("GET", keys.status(known.queue, known.task, known.uuid)),
            return_exceptions=True,
        )
        if isinstance(stored, BaseException):
            raise stored
        status, details = read_status(stored)
        state = STATE_OF_LETTER.get(letter.decode(errors="replace")) if isinstance(letter, bytes) else None
        if state is not None:
            return state, details if STATE_OF_STATUS.get(status) == state else None
        if isinstance(letter, BaseException) and not isinstance(letter, BackendDataError):
            raise letter
        return ("succeeded", None) if status == "SUCCEEDED" else None  # its record is a receipt, or gone

    async def remember(self, uuid: str, schedule: Schedule, kept_ms: int) -> None:
        """Remember the message of a schedule that was fired by HTTP as one that came by HTTP.

        Its result lies with that of the schedule's first message, which nothing else tells once it has ended.
        """
        waits_ms = LONG_MS if schedule.ttl is None else schedule.ttl
        text = f"{schedule.queue} {schedule.task} {schedule.first_uuid or ''}"
        name, ms = self._broker.keys.ticket(uuid), min(kept_ms + waits_ms, MAX_DURATION_MS)
        await self._broker.redis.async_link.command("SET", name, text, "PX", ms)

    def view(self, uuid: str, principal: Principal) -> dict[str, Any]:
        """Give all that is known of a message, as it is sent.

        Raises:
            Problem: 404: there is none, or the key does not see it.
        """
        known = self.find(uuid, principal)
        info, message = known.info, self._message(known)
        location = f"/v1/messages/{uuid}"
        view: dict[str, Any] = {
            "uuid": uuid,
            "state": known.state,
            "task": known.task,
            "queue": known.queue,
            **(summary_of(info) if info is not None else {}),
            "timeline": [asdict(step) for step in info.timeline] if info is not None else [],
            "args": info.args if info is not None else None,
            "kwargs": info.kwargs if info is not None else None,
            "metadata": message.metadata if message is not None else None,
            "timeout_ms": message.timeout if message is not None else None,
            "result_ttl_ms": message.result_ttl if message is not None else None,
            "root": known.root or (message.progenitor_uuid if message is not None else None),
            "parent": message.previous_message_uuid if message is not None else None,
            "children": (message.descendant_uuids or []) if message is not None else [],
            "result_url": f"{location}/result",
            "events_url": f"{location}/events",
        }
        made = view.get("created_at") or made_at(uuid)
        return view | {"state": known.state, "task": known.task, "queue": known.queue, "created_at": made}

    def result_name(self, known: Known) -> str:
        """Give where the result of a message lies, behind the tag."""
        message = self._message(known) if known.root is None else None
        root = known.root or (message.progenitor_uuid if message is not None else None)
        name: str = self._broker.keys.result_name(known.uuid, root)
        return name

    def status(self, known: Known) -> tuple[str, Any]:
        """Give the tracked status of a message and its details; empty where it is not tracked."""
        if not known.queue:
            return "", None
        name = self._broker.keys.status(known.queue, known.task, known.uuid)
        return read_status(self._broker.redis.links.command("GET", name))

    def _standing(self, uuid: str, ticket: _Ticket | None) -> tuple[MessageInfo | None, str, tuple[str, ...]]:
        """Tell what a message's record says, its state, and what a callback waits for."""
        info = self._info(uuid)
        if info is None and ticket is not None and ticket.before:
            _, state, ahead = self._standing(ticket.before, self._ticket(ticket.before))
            if state in _BEFORE:
                return None, "waiting", (ticket.before, *ahead)
            # The one before may have succeeded since we looked; that and the submission of its callback are one step.
            info = self._info(uuid)
        if info is not None:
            return info, info.state, ()
        return None, self._past(uuid, ticket), ()

    def _info(self, uuid: str) -> MessageInfo | None:
        try:
            return self._inspector.message(uuid)
        except MessageDoesNotExistsError:
            return None

    def _ticket(self, uuid: str) -> _Ticket | None:
        return _read_ticket(self._broker.redis.links.command("GET", self._broker.keys.ticket(uuid)))

    def _past(self, uuid: str, ticket: _Ticket | None) -> str:
        """Tell how a message ended that has no record."""
        if ticket is None:
            return "ended"
        name = self._broker.keys.status(ticket.queue, ticket.task, uuid)
        status, _ = read_status(self._broker.redis.links.command("GET", name))
        state = STATE_OF_STATUS.get(status)
        return state if state in ENDED else "ended"

    def _message(self, known: Known) -> Message | None:
        if known.info is None or known.info.state in ("succeeded", "failed", "revoked", "expired"):
            return None
        try:
            return self._broker.find(known.uuid)
        except AlsekError:  # it cannot be read; what can be said without is said
            return None

    @staticmethod
    def _nothing(uuid: str) -> Problem:
        return Problem(404, f"There is no message {uuid}: it never was, or ended a while ago.", kind="no-such-message")


def _read_ticket(stored: bytes | None) -> _Ticket | None:
    if stored is None:
        return None
    parts: list[str] = stored.decode(errors="replace").split(" ")
    queue, task, root, before, *_ = [*parts, "", "", "", ""]
    return _Ticket(queue, task, root or None, before)


def summary_of(info: MessageInfo) -> dict[str, Any]:
    """Give what lists show of a message."""
    error = info.error
    progress = info.progress
    return {
        "uuid": info.uuid,
        "state": info.state,
        "task": info.task,
        "queue": info.queue,
        "priority": info.priority,
        "retries": info.retries,
        "deliveries": info.deliveries,
        "created_at": info.created_at,
        "due_at": info.due_at,
        "leased_until": info.leased_until,
        "ended_at": info.ended_at,
        "worker": info.worker,
        "reason": info.reason,
        "progress": progress.as_dict() if progress is not None else None,
        "error": None if error is None else {"name": error.name, "text": error.text, "traceback": error.traceback},
    }


def read_status(stored: bytes | None) -> tuple[str, Any]:
    """Read a tracked status; empty for none, and for what cannot be read."""
    if stored is None:
        return "", None
    try:
        found = msgspec.json.decode(stored, type=dict[str, Any])
        return str(found.get("status", "")), found.get("details")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", None
