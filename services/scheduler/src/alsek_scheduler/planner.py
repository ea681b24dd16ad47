"""From what is due to what is fired: reads definitions, asks triggers and policies, and takes out what is broken."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from alsek.core.schedules.book import Definition, open_definition
from alsek.core.schedules.plan import plan
from alsek.core.schedules.template import Template
from alsek.core.triggers import ForeignTrigger, Trigger, adopt
from alsek.exceptions import AlsekError, SchedulingError, UnknownTaskError
from alsek.logging import get_logger
from alsek.storage.backends.redis.schedules import MOST_SCHEDULES, Firing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alsek.core.schedules import ScheduleStore
    from alsek.storage.backends.redis.schedules import Due
    from alsek_scheduler.ledger import Ledger
    from alsek_scheduler.roster import Roster

log = get_logger(__name__)

#: Schedules whose definitions are remembered: some 2 kB each.
_MOST_KNOWN: Final = 20_000


class Known(NamedTuple):
    """A schedule's definition, ready for use."""

    version: int
    definition: Definition
    template: Template
    trigger: Trigger


class Planner:
    """Decides what becomes of due schedules.

    Args:
        store: Whose schedules.
        roster: The tasks that are known here.
        ledger: Counts what is broken.
    """

    def __init__(self, store: ScheduleStore, roster: Roster, ledger: Ledger) -> None:
        self._store = store
        self._roster = roster
        self._ledger = ledger
        self._known: OrderedDict[str, Known] = OrderedDict()

    def forget(self) -> None:
        """Read all definitions anew: somebody else led meanwhile."""
        self._known.clear()

    def drop(self, schedule_id: str) -> None:
        """Read one definition anew."""
        self._known.pop(schedule_id, None)

    def plan(self, partition: int, due: Sequence[Due], now_ms: int) -> Iterator[Firing]:
        """Decide, one after the other; what cannot be fired is marked as broken with the reason, and left out.

        Args:
            partition: Where they lie.
            due: As Redis told.
            now_ms: Redis' time.
        """
        rows = self._read(partition, due)
        for one in due:
            try:
                known = self._find(one, rows.pop(one.id, None))
                if known is None:
                    continue  # changed meanwhile
                self._roster.require(known.definition)
                firing = _firing(one, known, now_ms)
            except Exception as error:  # noqa: BLE001  (a trigger may be anybody's code)
                self._break(one.id, one.version, error)
            else:
                yield firing
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def break_queue(self, firing: Firing) -> None:
        """Mark a schedule as broken because of its queue."""
        reason = (
            f"queue {firing.queue} cannot take messages: one of its indexes was overwritten (`alsek fsck` names it); "
            f"mend it, then `alsek schedules resume {firing.id}`"
        )
        self._break(firing.id, firing.version, SchedulingError(reason))

    def submitted(self, firing: Firing, uuids: Sequence[str]) -> None:
        """Tell the task of messages that were submitted, where it is known here and wants to hear of it."""
        known = self._known.get(firing.id)
        if known is not None and uuids:
            bodies = {uuid: (fire_ms, body) for fire_ms, uuid, body in firing.messages}
            for uuid in uuids:
                self._roster.submitted(known.definition, uuid, bodies[uuid][1])

    def _find(self, one: Due, fields: dict[bytes, bytes] | None) -> Known | None:
        """Give the definition of a schedule; `None`: it was changed since it was due."""
        known = self._known.get(one.id)
        if known is not None and known.version == one.version:
            self._known.move_to_end(one.id)
            return known
        if fields is None or fields.get(b"v") != str(one.version).encode():
            return None
        known = self._known[one.id] = self._open(one.id, one.version, fields)
        return known

    def _read(self, partition: int, due: Sequence[Due]) -> dict[str, dict[bytes, bytes]]:
        """Read the schedules that are not known as they are now."""
        missing = []
        for one in due:
            known = self._known.get(one.id)
            if known is None or known.version != one.version:
                self._known.pop(one.id, None)
                missing.append(one.id)
        verbs = self._store.verbs
        calls = [verbs.look(partition, missing[i : i + MOST_SCHEDULES]) for i in range(0, len(missing), MOST_SCHEDULES)]
        replies = self._store.broker.redis.links.stream(calls)
        return {row.id: row.fields for reply in replies for row in verbs.read_look(reply)[1]}

    def _open(self, schedule_id: str, version: int, fields: dict[bytes, bytes]) -> Known:
        definition = open_definition(fields)
        template = Template(self._store.keys, schedule_id, definition.body, self._store.broker.backend.serializer)
        trigger = definition.trigger
        if isinstance(trigger, ForeignTrigger):
            own = self._roster.trigger(schedule_id)
            if own is not None and adopt(own) == trigger:
                trigger = adopt(own)
        return Known(version, definition, template, trigger)

    def _break(self, schedule_id: str, version: int, error: Exception) -> None:
        reason = str(error) if isinstance(error, AlsekError) else f"{type(error).__name__}: {error}"
        if self._store.mark_broken(schedule_id, version, reason):
            log.error("schedule.broken", schedule=schedule_id, reason=reason)
            self._ledger.broken()
        self._known.pop(schedule_id, None)


def _firing(one: Due, known: Known, now_ms: int) -> Firing:
    definition, trigger = known.definition, known.trigger
    if one.died_of == "unknown_task":
        raise UnknownTaskError(f"no worker knows its task {definition.task}")

    def fire_after(instant_ms: int) -> int | None:
        following = trigger.fire_after(instant_ms, anchor_ms=one.anchor_ms, salt=one.id)
        if following is not None and following <= instant_ms:
            raise SchedulingError(f"its trigger {trigger} does not go forward")
        return following

    fires: list[int] = []
    missed, handled, following = 0, None, one.next_ms
    if one.waiting_ms is not None:
        fires.append(one.waiting_ms)
    if one.next_ms is not None and one.next_ms <= now_ms:
        decided = plan(fire_after, one.next_ms, now_ms, definition.policy)
        fires += decided.fires
        missed, handled, following = decided.missed, decided.handled_ms, decided.next_ms
    messages = []
    for i, fire_ms in enumerate(fires):
        first = one.fired == 0 and i == 0 and one.waiting_ms is None
        messages.append((fire_ms, *known.template.message(fire_ms, one.first_uuid, first=first)))
    return Firing(
        one.id, one.version, one.next_ms, following, handled, missed, definition.policy.overlap, definition.queue,
        definition.task, "" if definition.ttl is None else definition.ttl,
        "" if definition.kept_status_ms is None else definition.kept_status_ms, definition.priority,
        definition.delay, messages, definition.policy.misfire,
    )  # fmt: skip
