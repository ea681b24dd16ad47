"""A schedule as people and programs see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from alsek.core.triggers.moments import from_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from alsek.core.schedules.policy import FirePolicy
    from alsek.core.triggers import Trigger

State = Literal["active", "paused", "broken", "ended"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it was read; times are ms since the epoch.

    Attributes:
        id: Its name.
        task: Name of the task of its messages.
        queue: Where they are put.
        trigger: When it fires.
        policy: What becomes of late and overlapping fires.
        state: `active`; `paused` by somebody; `broken` for a `reason`; `ended`, when its trigger has no instant left.
        version: Grows with every change; `update` and `delete` want to know which one was read.
        args, kwargs: What its messages carry; `None` when they cannot be read here.
        priority, delay, timeout, result_ttl: Of its messages, as in `Task.generate`; times in ms.
        ttl: ms after which a message that nobody ran ends as expired; `None`: never.
        metadata: Travels along with its messages.
        owner: `code`, when a program defines it, or `user`, who made it at run time.
        origin: The module of its task, as far as it is known.
        reason: Why it is broken.
        next_ms: Its next fire; `None`: there is none.
        last_ms: The instant of its last message.
        last_uuid: Of its last message.
        first_uuid: Of its first message, the progenitor of the others.
        waiting_ms: A fire that waits until the last message has ended (`queue_one`).
        fired, missed, dropped: Messages so far, those fired by hand among them; instants that got none because it was
            too late; fires that were dropped because the last message still waited or ran.
        anchor_ms: When its trigger began.
        created_at, updated_at: When it was made and changed.
    """

    id: str
    task: str
    queue: str
    trigger: Trigger
    policy: FirePolicy
    state: State
    version: int
    args: Sequence[Any] | None = ()
    kwargs: dict[str, Any] | None = None
    priority: int = 0
    delay: int = 0
    timeout: int | None = None
    result_ttl: int | None = None
    ttl: int | None = None
    metadata: dict[str, Any] | None = None
    owner: Literal["code", "user"] = "user"
    origin: str | None = None
    reason: str | None = None
    next_ms: int | None = None
    last_ms: int | None = None
    last_uuid: str | None = None
    first_uuid: str | None = None
    waiting_ms: int | None = None
    fired: int = 0
    missed: int = 0
    dropped: int = 0
    anchor_ms: int = 0
    created_at: int = 0
    updated_at: int = 0

    @property
    def next_fire(self) -> datetime | None:
        """The next fire in the time zone of the trigger."""
        return None if self.next_ms is None else from_ms(self.next_ms, self.trigger.zone)

    @property
    def last_fire(self) -> datetime | None:
        """The instant of the last message in the time zone of the trigger."""
        return None if self.last_ms is None else from_ms(self.last_ms, self.trigger.zone)

    def data(self) -> dict[str, Any]:
        """Describe the schedule as plain data (JSON, where its arguments are)."""
        described = {name: getattr(self, name) for name in self.__slots__}
        return described | {"trigger": self.trigger.data(), "policy": self.policy.data()}


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """Some of the schedules.

    Attributes:
        schedules: In the order of their names within a partition.
        cursor: Where the next page begins; `None`: there is none.
    """

    schedules: list[Schedule]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ScheduleCounts:
    """How many schedules there are of each state."""

    active: int
    paused: int
    broken: int
    ended: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.active + self.paused + self.broken + self.ended


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads the schedulers.

    Attributes:
        identity: Host, process and a random part, new with each start.
        epoch: Number of the leadership.
        lease_ms: How long it lasts without being renewed.
    """

    identity: str
    epoch: int
    lease_ms: int
