"""Fires where a cron expression matches the clock on the wall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alsek.core.triggers.crontab import Crontab, parse
from alsek.core.triggers.moments import from_ms, moment_ms, zone_name, zone_of
from alsek.core.triggers.protocol import Trigger
from alsek.core.triggers.walltime import first_instant, fold_around, fold_behind, offset_at
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from datetime import datetime, tzinfo


class CronTrigger(Trigger):
    """The instants at which a cron expression matches, in a time zone.

    A local time that is skipped when clocks go forward fires at the first instant after the gap. One that happens
    twice when they go back fires the first time only, or `both` times.

    Args:
        expression: `minute hour day month weekday`, and if you like `second` as a sixth; names (`mon-fri`, `jan`),
            `*/5`, `L` (last day), `L5` (last Friday), `5#2` (second Friday), `15W` (weekday nearest to the 15th);
            or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        timezone: IANA name.
        start: No instant before it.
        end: No instant after it.
        both: Whether a local time that happens twice fires twice.
        day_or: Where a day of the month and a weekday are given, one of them is enough, as cron has it; `False`: both
            have to match.

    Raises:
        ValidationError: The expression is none or never matches, the zone is unknown, or `end` lies before `start`.
    """

    def __init__(
        self,
        expression: str,
        timezone: str | tzinfo = "UTC",
        *,
        start: datetime | str | float | None = None,
        end: datetime | str | float | None = None,
        both: bool = False,
        day_or: bool = True,
    ) -> None:
        self.expression = " ".join(str(expression).split())
        self.timezone = zone_name(timezone)
        self.both = bool(both)
        self._zone = zone_of(self.timezone)
        self.day_or = bool(day_or)
        self._table = parse(self.expression, day_or=self.day_or)
        self.start_ms, self.end_ms = span_ms(start, end, self._zone)

    @property
    def zone(self) -> tzinfo:
        """The time zone of the expression."""
        return self._zone

    def fire_after(self, instant_ms: int, *, anchor_ms: int = 0, salt: str = "") -> int | None:  # noqa: ARG002
        """Give the first instant after another; see `Trigger.fire_after`."""
        after = max(instant_ms, (self.start_ms or 0) - 1)
        found = next_instant(self._table, self._zone, after // 1000, both=self.both)
        if found is None or (self.end_ms is not None and found * 1000 > self.end_ms):
            return None
        return found * 1000

    def data(self) -> dict[str, Any]:
        """Describe the trigger as plain data."""
        described: dict[str, Any] = {"kind": "cron", "expression": self.expression, "timezone": self.timezone}
        if self.both:
            described["both"] = True
        if not self.day_or:
            described["day_or"] = False
        return described | bounds(self.start_ms, self.end_ms)

    def __repr__(self) -> str:
        return f"CronTrigger({self.expression!r}, {self.timezone!r})"

    def __str__(self) -> str:
        return f"cron {self.expression} {self.timezone}"


def next_instant(table: Crontab, zone: tzinfo, after: int, *, both: bool) -> int | None:
    """Give the first instant (seconds since the epoch) after another at which a table matches the clock of a zone."""
    found = _next_first(table, zone, after)
    if not both:
        return found
    again = _next_second(table, zone, after)
    return found if again is None else again if found is None else min(found, again)


def _next_first(table: Crontab, zone: tzinfo, after: int) -> int | None:
    fold = fold_behind(after, zone)
    # In the second half of a fold, all of its wall times have been.
    wall: int | None = after + offset_at(after, zone) if fold is None else fold.end_wall - 1
    while wall is not None:
        wall = table.match_after(wall)
        if wall is not None:
            instant = first_instant(wall, zone)
            if instant > after:
                return instant
    return None


def _next_second(table: Crontab, zone: tzinfo, after: int) -> int | None:
    """Give the next second occurrence of a wall time, if there is one before the next first occurrence."""
    fold = fold_around(after, zone)
    if fold is None:
        return None
    wall = table.match_after(max(after + fold.after, fold.first_wall - 1))
    return wall - fold.after if wall is not None and wall < fold.end_wall else None


def span_ms(
    start: datetime | str | float | None, end: datetime | str | float | None, zone: tzinfo
) -> tuple[int | None, int | None]:
    """Give start and end as ms since the epoch.

    Raises:
        ValidationError: One of them is no moment, or the end lies before the start.
    """
    start_ms = None if start is None else moment_ms(start, "start", zone)
    end_ms = None if end is None else moment_ms(end, "end", zone)
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        first, last = from_ms(start_ms, zone).isoformat(), from_ms(end_ms, zone).isoformat()
        raise ValidationError(f"the end lies before the start: {last} < {first}")
    return start_ms, end_ms


def bounds(start_ms: int | None, end_ms: int | None) -> dict[str, Any]:
    """Describe start and end, where there are any."""
    return {name: value for name, value in (("start", start_ms), ("end", end_ms)) if value is not None}
