"""What every trigger can be asked, whoever wrote it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alsek.core.triggers.moments import from_ms, to_ms

if TYPE_CHECKING:
    from datetime import tzinfo


class Trigger(ABC):
    """A set of instants."""

    @abstractmethod
    def fire_after(self, instant_ms: int, *, anchor_ms: int = 0, salt: str = "") -> int | None:
        """Give the first instant after another.

        Args:
            instant_ms: ms since the epoch; itself excluded.
            anchor_ms: When the schedule began, ms since the epoch: an interval without a start counts from it.
            salt: What jitter is drawn from, such as the id of the schedule: the same salt draws the same.

        Returns:
            ms since the epoch; `None` when there is none any more.
        """

    def first_fire(self, now_ms: int, *, salt: str = "") -> int | None:
        """Give the first instant of a schedule that begins now, ms since the epoch.

        Args:
            now_ms: ms since the epoch.
            salt: As in `fire_after`.
        """
        return self.fire_after(now_ms, anchor_ms=now_ms, salt=salt)

    @abstractmethod
    def data(self) -> dict[str, Any]:
        """Describe the trigger as plain data; equal triggers have equal data."""

    @property
    def zone(self) -> tzinfo:
        """The time zone in which people read its instants."""
        return UTC

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Give the next instant, in the way of APScheduler's triggers.

        Args:
            previous_fire_time: The last one; `None`: none has been.
            now: The first instant that may be given when there was no last one.
        """
        after = to_ms(now) - 1 if previous_fire_time is None else to_ms(previous_fire_time)
        following = self.fire_after(after, anchor_ms=to_ms(now))
        return None if following is None else from_ms(following, self.zone)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trigger) and self.data() == other.data()

    def __hash__(self) -> int:
        return hash(repr(sorted(self.data().items())))
