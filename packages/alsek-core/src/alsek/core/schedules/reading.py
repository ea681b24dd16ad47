"""Reads schedules: one, a page of them, their next fires, their number, and who leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from alsek.core.schedules.book import open_row
from alsek.core.schedules.schedule import Leader, Schedule, ScheduleCounts, SchedulePage
from alsek.core.triggers.moments import from_ms
from alsek.exceptions import ScheduleConflictError, ScheduleNotFoundError, ValidationError
from alsek.storage.backends.redis.schedules import Row, ScheduleVerbs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from alsek.core.broker import Broker
    from alsek.storage.backends.redis.link import Call

#: How long a call rides out an unreachable Redis before it raises, seconds.
_PATIENCE_S: Final = 5.0

_MOST_IN_A_PAGE: Final = 500


class Reading:
    """The part of a `ScheduleStore` that changes nothing.

    Args:
        broker: Whose schedules.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def get(self, schedule_id: str) -> Schedule:
        """Read a schedule.

        Raises:
            ScheduleNotFoundError: There is none.
        """
        _, fields = self._require(schedule_id)
        return self._open(Row(schedule_id, fields))

    def page(self, limit: int = 100, cursor: str | None = None) -> SchedulePage:
        """Read a page of schedules, in the order of their names within a partition.

        Args:
            limit: Most schedules, up to 500.
            cursor: Where the last page ended.

        Raises:
            ValidationError: The limit or the cursor is none.
        """
        if type(limit) is not int or not 1 <= limit <= _MOST_IN_A_PAGE:
            raise ValidationError(f"the limit is a whole number from 1 to {_MOST_IN_A_PAGE}: {limit!r}")
        partition, after = self._open_cursor(cursor)
        found: list[Schedule] = []
        while partition < self.keys.partitions:
            call = self.verbs.page(partition, after, limit - len(found))
            _, rows = self.verbs.read_look(self._run(call))
            found += map(self._open, rows)
            if len(found) == limit:
                return SchedulePage(found, f"{partition}.{rows[-1].id}")
            partition, after = partition + 1, ""
        return SchedulePage(found, None)

    def __iter__(self) -> Iterator[Schedule]:
        """Give all schedules, a page at a time."""
        page = self.page(_MOST_IN_A_PAGE)
        yield from page.schedules
        while page.cursor is not None:
            page = self.page(_MOST_IN_A_PAGE, page.cursor)
            yield from page.schedules

    def preview(self, schedule_id: str, count: int = 10) -> list[datetime]:
        """Give the next fires of a schedule, in the time zone of its trigger; also while it is paused.

        Raises:
            ScheduleNotFoundError: There is none.
            SchedulingError: Its trigger is known to its program only.
        """
        now, fields = self._require(schedule_id)
        shown = self._open(Row(schedule_id, fields))
        after = max(now, ms_of(fields, b"l"))
        following = shown.next_ms if shown.next_ms is not None and shown.next_ms <= now else None
        instants = [] if following is None else [following]
        while len(instants) < count:
            found = shown.trigger.fire_after(after, anchor_ms=shown.anchor_ms, salt=schedule_id)
            if found is None:
                break
            instants.append(after := found)
        return [from_ms(instant, shown.trigger.zone) for instant in instants[:count]]

    def counts(self, *, patience: float = _PATIENCE_S) -> ScheduleCounts:
        """Count the schedules by state; costs the same however many there are.

        Args:
            patience: Seconds for which an unreachable Redis is tried again.
        """
        raw = self.broker.redis.links.execute(
            [self.verbs.count(partition) for partition in range(self.keys.partitions)], patience=patience
        )
        active, paused, broken, total = 0, 0, 0, 0
        for one in map(self.verbs.read_count, raw):
            active, paused, broken = active + one.active, paused + one.paused, broken + one.broken
            total += one.total
        return ScheduleCounts(active, paused, broken, max(0, total - active - paused - broken))

    def leader(self) -> Leader | None:
        """Tell who leads the schedulers; `None`: nobody does, and nothing is fired."""
        found = self.verbs.read_count(self._run(self.verbs.count(0)))
        return Leader(found.leader, found.epoch, found.lease_ms) if found.leader else None

    # -- for those who change schedules ----------------------------------------------------------------------------

    @property
    def verbs(self) -> ScheduleVerbs:
        """The verbs of schedules under the broker's present settings."""
        verbs = self.broker.verbs
        return ScheduleVerbs(self.keys, verbs.policy.weight, verbs.statuses["SUBMITTED"])

    @property
    def keys(self) -> Any:
        """Key names of the backend."""
        return self.broker.keys

    def _read(self, schedule_id: str) -> tuple[int, dict[bytes, bytes]]:
        call = self.verbs.look(self.keys.partition(schedule_id), (schedule_id,))
        now, ((_, fields),) = self.verbs.read_look(self._run(call))
        return now, fields

    def _require(self, schedule_id: str, version: int | None = None) -> tuple[int, dict[bytes, bytes]]:
        now, fields = self._read(schedule_id)
        if not fields:
            raise missing(schedule_id)
        known = ms_of(fields, b"v")
        if version is not None and known != version:
            raise ScheduleConflictError(
                f"schedule {schedule_id} was changed meanwhile: it has version {known}, not {version}; read it again",
                version=known,
            )
        return now, fields

    def _open(self, row: Row) -> Schedule:
        return open_row(row, self.broker.backend.serializer)

    def _open_cursor(self, cursor: str | None) -> tuple[int, str]:
        if cursor is None:
            return 0, ""
        partition, dot, after = cursor.partition(".")
        if not dot or not partition.isdigit() or int(partition) >= self.keys.partitions:
            raise ValidationError(f"that is no cursor of a page: {cursor!r}")
        return int(partition), after

    def _run(self, call: Call) -> Any:
        return self.broker.redis.links.execute([call], patience=_PATIENCE_S)[0]


def ms_of(fields: Mapping[bytes, bytes], name: bytes) -> int:
    """Give a field that is a time or a count; 0 where there is none."""
    value = fields.get(name, b"")
    return int(value) if value.isdigit() else 0


def missing(schedule_id: str) -> ScheduleNotFoundError:
    """Give the error for a schedule that is not there."""
    return ScheduleNotFoundError(f"there is no schedule {schedule_id}")
