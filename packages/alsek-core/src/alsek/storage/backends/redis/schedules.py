"""Builds the calls of the verbs of schedules and reads their replies; touches no socket."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.storage.backends.redis.link import Argument, Call
from alsek.storage.backends.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alsek.storage.keys import Keys

#: Schedules read or fired in one call: keeps every script below a few milliseconds.
MOST_SCHEDULES: Final = 100

#: Any version will do.
ANY_VERSION: Final = -1

#: How the scripts call the overlap policies.
OVERLAPS: Final = {"allow": "a", "skip": "s", "queue_one": "q"}


class Fired(IntEnum):
    """What came of firing one schedule."""

    ADVANCED = 1
    MISSING = -1
    CHANGED = -2
    NOT_DUE = -4
    QUEUE_DAMAGED = -5


class Row(NamedTuple):
    """A schedule as it is stored: its id, and its fields (empty: there is none)."""

    id: str
    fields: dict[bytes, bytes]


class Written(NamedTuple):
    """What came of writing a schedule.

    Attributes:
        code: 1 or 2 written, 0 exists, -1 missing, -2 changed by somebody else, -3 fired in between.
        version: The one it has now.
        now_ms: Redis' time, ms since the epoch.
    """

    code: int
    version: int
    now_ms: int


class Due(NamedTuple):
    """A schedule that is due, ms since the epoch; `None` where there is none.

    Attributes:
        id: Of the schedule.
        version: As it is stored.
        next_ms: The fire that is due; `None`: only one that waits.
        handled_ms: The last instant that was decided about.
        waiting_ms: A fire that waits for the end of its forerunner.
        first_uuid: Of its first message.
        fired: Messages so far.
        anchor_ms: When it began.
        died_of: Why its last message is a dead letter; empty when it is none.
    """

    id: str
    version: int
    next_ms: int | None
    handled_ms: int | None
    waiting_ms: int | None
    first_uuid: str
    fired: int
    anchor_ms: int
    died_of: str = ""


class DueHand(NamedTuple):
    """What a look at a partition brought; `leads` is false when another scheduler has taken the lead."""

    leads: bool
    now_ms: int
    wait_ms: int | None
    due: list[Due]


class Firing(NamedTuple):
    """What becomes of one due schedule.

    Attributes:
        id: Of the schedule.
        version, read_ms: As it was read.
        next_ms: Its next fire from now on; `None`: there is none.
        handled_ms: The last instant this decides about; `None`: only a waiting one.
        missed: How many instants get no message.
        overlap: `allow`, `skip` or `queue_one`.
        queue, task: Of its messages.
        ttl_ms, kept_status_ms: "" for never and for untracked.
        priority: Of its messages.
        delay_ms: Of its messages.
        messages: Fire time, uuid and body of each.
        misfire: The policy for missed instants, for who counts.
    """

    id: str
    version: int
    read_ms: int | None
    next_ms: int | None
    handled_ms: int | None
    missed: int
    overlap: str
    queue: str
    task: str
    ttl_ms: int | str
    kept_status_ms: int | str
    priority: int
    delay_ms: int
    messages: Sequence[tuple[int, str, bytes]]
    misfire: str = "once"


class Counts(NamedTuple):
    """Schedules of a partition by state, and who leads (as far as partition 0 knows)."""

    now_ms: int
    total: int
    active: int
    paused: int
    broken: int
    leader: str
    lease_ms: int
    epoch: int


class ScheduleVerbs:
    """The verbs of schedules of one namespace.

    Args:
        keys: Names of the keys.
        weight: How much one level of priority weighs in the score of a ready message.
        submitted: Text of the status SUBMITTED, as the trackers' serializer writes it.
    """

    def __init__(self, keys: Keys, weight: int, submitted: bytes) -> None:
        self.keys = keys
        self._weight = weight
        self._submitted = submitted

    def put(
        self, schedule_id: str, version: int, mark: str, state: str, next_ms: int | str | None,
        fields: Mapping[str, Argument], *, ahead: bool = False,
    ) -> Call:  # fmt: skip
        """Write a schedule; with `ahead` only one whose next fire has not passed. Reply: see `read_put`."""
        args: list[Argument] = [
            schedule_id, version, mark, "0", state, "" if next_ms is None else next_ms, self.keys.scheduler_channel,
            "1" if ahead else "0",
        ]  # fmt: skip
        for name, value in fields.items():
            args += (name, value)
        return Call(script("schedule_put"), (self._tag(schedule_id),), args, again=3)

    @staticmethod
    def read_put(reply: list[int]) -> Written:
        """Read the reply of `put`."""
        return Written(*reply)

    def delete(self, schedule_id: str, version: int) -> Call:
        """Delete a schedule. Reply: a code."""
        return Call(script("schedule_delete"), (self._tag(schedule_id),), (schedule_id, version, "0"), again=2)

    def look(self, partition: int, ids: Sequence[str]) -> Call:
        """Read schedules by id. Reply: see `read_look`."""
        return Call(script("schedule_look"), (self.keys.tag(partition),), ("ids", *ids))

    def page(self, partition: int, after: str, limit: int) -> Call:
        """Read schedules in the order of their names. Reply: see `read_look`."""
        return Call(script("schedule_look"), (self.keys.tag(partition),), ("page", after, limit))

    @staticmethod
    def read_look(reply: list[Any]) -> tuple[int, list[Row]]:
        """Read the reply of `look` and `page`: Redis' time, and the rows."""
        rows = [
            Row(_text(reply[i]), dict(zip(reply[i + 1][::2], reply[i + 1][1::2], strict=True)))
            for i in range(1, len(reply), 2)
        ]
        return int(reply[0]), rows

    def count(self, partition: int) -> Call:
        """Count schedules. Reply: see `read_count`."""
        return Call(script("schedule_count"), (self.keys.tag(partition),), ())

    @staticmethod
    def read_count(reply: list[Any]) -> Counts:
        """Read the reply of `count`."""
        now, total, active, paused, broken, leader, lease_ms, epoch = reply
        return Counts(now, total, active, paused, broken, _text(leader), max(0, lease_ms), epoch)

    def due(self, partition: int, epoch: int, identity: str, skip: int = 0) -> Call:
        """Ask what is due, behind so many of the first. Reply: see `read_due`."""
        return Call(script("schedule_due"), (self.keys.tag(partition),), (epoch, identity, MOST_SCHEDULES, skip))

    @staticmethod
    def read_due(reply: list[Any]) -> DueHand:
        """Read the reply of `due`."""
        if reply[0] < 0:
            return DueHand(leads=False, now_ms=reply[1], wait_ms=None, due=[])
        due = [
            Due(
                _text(reply[i]),
                int(reply[i + 1]),
                _number(reply[i + 2]),
                _number(reply[i + 3]),
                _number(reply[i + 4]),
                _text(reply[i + 5]),
                _number(reply[i + 6]) or 0,
                _number(reply[i + 7]) or 0,
                _text(reply[i + 8]),
            )
            for i in range(3, len(reply), 9)
        ]
        return DueHand(leads=True, now_ms=reply[1], wait_ms=None if reply[2] < 0 else reply[2], due=due)

    def fire(self, partition: int, epoch: int, identity: str, firings: Sequence[Firing]) -> Call:
        """Advance schedules and submit their messages. Reply: see `read_fire`."""
        queues: dict[str, int] = {}
        args: list[Argument] = [epoch, identity, self._weight, self._submitted]
        for one in firings:
            args += (
                one.id, one.version, "" if one.read_ms is None else one.read_ms,
                "" if one.next_ms is None else one.next_ms, "" if one.handled_ms is None else one.handled_ms,
                one.missed, OVERLAPS[one.overlap], queues.setdefault(one.queue, len(queues) + 1), one.task,
                one.ttl_ms, one.kept_status_ms, one.priority, one.delay_ms, len(one.messages),
            )  # fmt: skip
            for message in one.messages:
                args += message
        return Call(script("schedule_fire"), self._keys(partition, queues), args)

    @staticmethod
    def read_fire(reply: list[Any]) -> tuple[bool, int, list[tuple[int, list[str]]]]:
        """Read the reply of `fire`: whether we lead, Redis' time, and of each schedule a code and what it submitted."""
        if reply[0] < 0:
            return False, reply[1], []
        return True, reply[1], [(reply[i], _text(reply[i + 1]).split()) for i in range(2, len(reply), 2)]

    def fire_now(self, schedule_id: str, version: int, queue: str, message: Sequence[Argument]) -> Call:
        """Submit a message at once. Reply: a code and Redis' time.

        Args:
            schedule_id: Whose message.
            version: As it was read.
            queue: Where to.
            message: The seven arguments of a `NewMessage`.
        """
        partition = self.keys.partition(schedule_id)
        args = (schedule_id, version, "0", self._weight, self._submitted, *message)
        return Call(script("schedule_fire_now"), self._keys(partition, (queue,)), args, again=2)

    def lead(self, identity: str, lease_ms: int, above_epoch: int) -> Call:
        """Take or keep the lead. Reply: `[1 or 2, epoch]`, or `[0, ms until the other's lease ends]`."""
        return Call(script("schedule_lead"), (self.keys.tag(0),), (identity, lease_ms, above_epoch))

    def resign(self, identity: str) -> Call:
        """Give the lead back. Reply: 0 when it was not ours."""
        return Call(script("schedule_resign"), (self.keys.tag(0),), (identity, self.keys.scheduler_channel))

    def _tag(self, schedule_id: str) -> str:
        return self.keys.tag(self.keys.partition(schedule_id))

    def _keys(self, partition: int, queues: Mapping[str, int] | Sequence[str]) -> list[str]:
        keys = [self.keys.tag(partition)]
        for queue in queues:
            keys += self.keys.of_queue(queue, partition)
        return keys


def _text(raw: bytes | str) -> str:
    return raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw


def _number(raw: bytes | int) -> int | None:
    # What is none counts as absent: one corrupt field must not stop the others.
    try:
        return int(raw)
    except ValueError:
        return None
