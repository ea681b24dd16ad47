"""What stands in the queues, for people: one object that the command line, a dashboard or a script of your own asks.

It reads indexes and records, never the whole keyspace, so a look costs the same with a million messages. It is safe for
threads; in a program on asyncio, call it by `asyncio.to_thread`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from alsek.core.envelope import open_error, open_record
from alsek.core.rules import check_name
from alsek.exceptions import (
    CorruptMessageError,
    MessageDoesNotExistsError,
    UnsupportedMessageVersionError,
    ValidationError,
)
from alsek.storage.backends.redis.look import LETTERS, Look, Place, open_place, pack_place
from alsek.tools.explanation import Standing, explain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.core.broker import Broker
    from alsek.core.message import Message
    from alsek.types import ExceptionDetails

#: States that a list can be asked for.
STATES: Final = tuple(LETTERS)

#: Most messages of one page, and most that are looked at to fill it when a task is asked for.
MOST_IN_A_PAGE: Final = 500
_MOST_LOOKED_AT: Final = 5_000

_STATE_OF_LETTER: Final = {letter: state for state, letter in LETTERS.items()}
_ENDS: Final = {"S": "succeeded", "F": "failed", "V": "revoked", "E": "expired"}


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue at one moment.

    Attributes:
        name: Of the queue.
        ready: Messages that wait to be run now.
        delayed: Messages that wait for their time: delays, and retries in their backoff.
        running: Messages that a worker holds.
        dead: Dead letters.
        waiting_ms: How long the message at the head of the line has been ready; 0: none is.
        due_in_ms: When the next delayed message is due; `None`: none is delayed.
    """

    name: str
    ready: int
    delayed: int
    running: int
    dead: int
    waiting_ms: int
    due_in_ms: int | None


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """A message at one moment. Times are ms since the epoch, on Redis' clock.

    Attributes:
        uuid: Its id.
        state: `ready`, `delayed`, `running`, `dead`; for about a minute after the end `succeeded`, `failed`,
            `revoked` or `expired`.
        task: Its task; empty once it has ended.
        queue: Its queue; empty once it has ended.
        priority: Lower runs sooner.
        retries: Attempts that failed and were repeated.
        deliveries: How often a worker got it, without what was given back unharmed.
        fence: How often it was claimed at all.
        created_at: When it was made.
        due_at: When it may run, if it is delayed.
        leased_until: When its lease ends, if it runs.
        worker: Id of the worker that holds it, or held it last.
        reason: Why it died: `failed`, `revoked`, `expired`, `crash_loop`, `rejected`, `unknown_task`, `corrupt`.
        ended_at: When it ended.
        error: The last exception.
        args: Positional arguments; `None` where they cannot be read.
        kwargs: Keyword arguments; `None` where they cannot be read.
    """

    uuid: str
    state: str
    task: str = ""
    queue: str = ""
    priority: int = 0
    retries: int = 0
    deliveries: int = 0
    fence: int = 0
    created_at: int | None = None
    due_at: int | None = None
    leased_until: int | None = None
    worker: str = ""
    reason: str = ""
    ended_at: int | None = None
    error: ExceptionDetails | None = None
    args: Any = None
    kwargs: Any = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages of a list.

    Attributes:
        messages: In the order of the list; with several partitions, one partition after the other.
        cursor: Continues the list; `None`: this was the end.
    """

    messages: list[MessageInfo]
    cursor: str | None


class Inspector:
    """Looks at the queues of a broker, and acts on what it sees.

    Args:
        broker: Whose queues.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._look = Look(broker.redis, broker.verbs.policy.weight)

    def queues(self) -> list[QueueInfo]:
        """Give all queues that ever had a message, by name."""
        return self._queues(sorted(self.broker.redis.queue_names()))

    def queue(self, name: str) -> QueueInfo:
        """Give one queue; one that never had a message is empty.

        Raises:
            ValidationError: That cannot be the name of a queue.
        """
        check_name(name, "queue")
        return self._queues([name])[0]

    def messages(
        self, queue: str, state: str = "ready", *, task: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """Give messages of a queue that are in one state, in the order of their index.

        Args:
            queue: Which.
            state: `ready` (the next to run first), `delayed` (by due time), `running` (by the end of the lease) or
                `dead` (by the end of their keeping).
            task: Only of this task; so many messages are looked at for it that a page may come back short.
            limit: Most messages, 1 to 500.
            cursor: Of the page before.

        Raises:
            ValidationError: No such state, a limit out of its range, or a cursor that is none.
        """
        check_name(queue, "queue")
        if state not in LETTERS:
            raise ValidationError(f"state has to be one of {', '.join(STATES)}: {state!r}")
        if not 1 <= limit <= MOST_IN_A_PAGE:
            raise ValidationError(f"limit has to be 1 to {MOST_IN_A_PAGE}: {limit!r}")
        place = None if cursor is None else open_place(cursor)
        found: list[MessageInfo] = []
        looked_at = 0
        while looked_at < _MOST_LOOKED_AT:
            places = self._look.page(queue, state, place, limit)
            looked_at += len(places)
            infos = self._infos([place.uuid for place in places], places, state)
            for place, info in zip(places, infos, strict=True):
                if task is None or info.task == task:
                    found.append(info)
                if len(found) >= limit:
                    return Page(found, pack_place(place))
            if len(places) < limit:
                return Page(found, None)
            place = places[-1]
        return Page(found, pack_place(place) if place is not None else None)

    def message(self, uuid: str) -> MessageInfo:
        """Give one message.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
        """
        (record,) = self._look.records([uuid])
        if not record:
            raise MessageDoesNotExistsError(
                f"no message {uuid}: it never was, or it ended more than {self.broker.receipt_ms // 1000} s ago",
                uuid=uuid,
            )
        if isinstance(record, bytes):
            return _ended(uuid, record)
        info = self._info(uuid, record)
        _, due, lease, _ = self._look.standing(uuid, info.queue)
        return _with_times(info, due, lease)

    def explain(self, uuid: str) -> str:
        """Say in one sentence why a message does not run now, or that it does.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
        """
        info = self.message(uuid)
        rank, _, _, clock = self._look.standing(uuid, info.queue) if info.queue else (None, None, None, 0)
        return explain(info, Standing(self._look.now_ms(), rank, clock, self.broker.lease_ms))

    def revoke(self, uuid: str) -> MessageInfo:
        """End a message: a waiting one never runs, a running one is stopped; gives what it was before.

        Raises:
            MessageDoesNotExistsError: It is not waiting or running.
        """
        info = self.message(uuid)
        alive = info.state in ("ready", "delayed", "running")
        if not alive or not self.broker.revoke(self._live(info)).accepted:
            raise MessageDoesNotExistsError(f"{uuid} is {info.state} already", uuid=uuid)
        return info

    def replay(self, uuid: str) -> MessageInfo:
        """Give a dead letter a new life; gives what it was before.

        Raises:
            MessageDoesNotExistsError: It is not among the dead letters.
        """
        info = self.message(uuid)
        if info.state != "dead":
            raise MessageDoesNotExistsError(f"{uuid} is {info.state}, not among the dead letters", uuid=uuid)
        self.broker.replay(self._live(info))
        return info

    def replay_all(self, queue: str, *, task: str | None = None, reason: str | None = None) -> Iterator[MessageInfo]:
        """Give the dead letters of a queue a new life, each in one step, and tell of each.

        What somebody else replayed meanwhile is left out, and what dies again meanwhile is not replayed twice.

        Args:
            queue: Which.
            task: Only of this task.
            reason: Only what died of this.
        """
        cursor: str | None = None
        began = self._look.now_ms()
        while True:
            page = self.messages(queue, "dead", task=task, limit=MOST_IN_A_PAGE, cursor=cursor)
            for info in page.messages:
                if (reason is None or info.reason == reason) and (info.ended_at or 0) <= began:
                    try:
                        self.broker.replay(self._live(info))
                    except MessageDoesNotExistsError:
                        continue
                    yield info
            if page.cursor is None:
                return
            cursor = page.cursor

    def close(self) -> None:
        """Drop the connection; the next look makes a new one."""
        self._look.close()

    def _queues(self, names: list[str]) -> list[QueueInfo]:
        now = self._look.now_ms()
        return [
            QueueInfo(
                name=facts.name,
                **facts.counts,
                waiting_ms=0 if facts.head_ms is None else max(0, now - facts.head_ms),
                due_in_ms=None if facts.due_ms is None else max(0, facts.due_ms - now),
            )
            for facts in self._look.queues(names)
        ]

    def _infos(self, uuids: list[str], places: list[Place], state: str) -> list[MessageInfo]:
        infos = []
        for uuid, place, record in zip(uuids, places, self._look.records(uuids), strict=True):
            if isinstance(record, bytes):  # it ended between the two looks
                infos.append(_ended(uuid, record))
                continue
            info = self._info(uuid, record)
            due, lease = (place.score if state == kind else None for kind in ("delayed", "running"))
            infos.append(_with_times(info, due, lease))
        return infos

    def _info(self, uuid: str, record: dict[bytes, bytes]) -> MessageInfo:
        message: Message | None = None
        with suppress(CorruptMessageError, UnsupportedMessageVersionError, ValidationError):
            # What can be said without its body is said all the same.
            message = open_record(uuid, record, self.broker.backend.serializer)
        return MessageInfo(
            uuid=uuid,
            state=_STATE_OF_LETTER.get(_text(record, b"s"), "unknown"),
            task=_text(record, b"T"),
            queue=message.queue if message is not None else "",
            priority=_count(record, b"p"),
            retries=_count(record, b"n"),
            deliveries=_count(record, b"d"),
            fence=_count(record, b"f"),
            created_at=message.created_at if message is not None else None,
            worker=_text(record, b"t").partition(".")[0],
            reason=_text(record, b"a"),
            ended_at=_count(record, b"z") or None,
            error=open_error(record.get(b"e", b"")),
            args=message.args if message is not None else None,
            kwargs=message.kwargs if message is not None else None,
        )

    def _live(self, info: MessageInfo) -> Message:
        message = self.broker.find(info.uuid)
        if message is None:
            raise MessageDoesNotExistsError(f"{info.uuid} has ended", uuid=info.uuid)
        message.lease = None  # we act as the administrator, not as its holder
        return message


def _with_times(info: MessageInfo, due: float | None, lease: float | None) -> MessageInfo:
    return replace(
        info,
        due_at=int(due) if due is not None else None,
        leased_until=int(lease) if lease is not None else None,
    )


def _ended(uuid: str, receipt: bytes) -> MessageInfo:
    letter, token, ended_at, reason, *rest = *receipt.split(b" ", 4), b"", b"", b"", b""
    return MessageInfo(
        uuid=uuid,
        state=_ENDS.get(letter.decode(errors="replace"), "unknown"),
        worker=token.decode(errors="replace").partition(".")[0],
        reason=reason.decode(errors="replace"),
        ended_at=int(ended_at) if ended_at.isdigit() else None,
        error=open_error(rest[0]),
    )


def _text(record: dict[bytes, bytes], name: bytes) -> str:
    return record.get(name, b"").decode(errors="replace")


def _count(record: dict[bytes, bytes], name: bytes) -> int:
    value = record.get(name, b"")
    return int(value) if value.isdigit() and len(value) < 15 else 0
