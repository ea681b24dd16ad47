"""A cron expression as the set of wall times that match it. croniter reads the text; the search is ours.

The search knows nothing of time zones (see `walltime`), takes microseconds, and ends where an expression can never
match (30 February).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

from alsek.exceptions import ValidationError

#: 29 February falls on a given weekday every 28 years, 40 around 2100: whatever is longer away never comes.
_HORIZON_YEARS: Final = 41

#: Months whose matching days are remembered: a schedule asks for the same one again and again.
_MOST_MONTHS: Final = 24

_DAY_S: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()

#: Characters of an expression: more than all values of all fields, written down.
_LONGEST: Final = 1_000

_FIELDS: Final = "minute hour day month weekday [second]"

#: croniter's `H` and `R` draw values by chance: every reading would mean other instants.
_BY_CHANCE: Final = re.compile(r"(?:^|[\s,])[hr](?:[\s,(/]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Crontab:
    """The fields of an expression; `None` where all values match.

    Attributes:
        seconds, minutes, hours: Sorted values.
        months: Values.
        days: Days of the month.
        last_day: Whether the last day of the month matches (`L`).
        nearest: Days of the month of which the nearest weekday is meant (`15W`).
        weekdays: 0 is Sunday.
        nth: Weekday and which of the month (`fri#2`); -1: the last (`L5`).
        either_day: Whether a day may match by month or by week when both are given (as cron has it), or must by both.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int] | None = None
    days: frozenset[int] | None = None
    last_day: bool = False
    nearest: frozenset[int] = frozenset()
    weekdays: frozenset[int] | None = None
    nth: frozenset[tuple[int, int]] = frozenset()
    either_day: bool = True
    _months: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict, compare=False, repr=False)

    def match_after(self, wall: int) -> int | None:
        """Give the first matching wall time after another (seconds since 1970 on a clock without a zone).

        Returns:
            The wall time; `None` when there is none for a long time, and so never will be.
        """
        ordinal, second = divmod(wall + 1, _DAY_S)
        day = date.fromordinal(_EPOCH_DAY + ordinal)
        if day.day in self.days_of(day.year, day.month):
            found = self._time_from(second)
            if found is not None:
                return ordinal * _DAY_S + found
        day += timedelta(days=1)
        year, month, first = day.year, day.month, day.day
        last_year = min(year + _HORIZON_YEARS, date.max.year)
        start = self.hours[0] * 3600 + self.minutes[0] * 60 + self.seconds[0]
        while year <= last_year:
            for candidate in self.days_of(year, month):
                if candidate >= first:
                    return (date(year, month, candidate).toordinal() - _EPOCH_DAY) * _DAY_S + start
            year, month, first = (year + 1, 1, 1) if month == 12 else (year, month + 1, 1)
        return None

    def days_of(self, year: int, month: int) -> tuple[int, ...]:
        """Give the matching days of a month, in order."""
        if self.months is not None and month not in self.months:
            return ()
        known = self._months.get((year, month))
        if known is None:
            if len(self._months) >= _MOST_MONTHS:
                self._months.clear()
            known = self._months[year, month] = self._days_of(year, month)
        return known

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        weekday_of_first, length = monthrange(year, month)
        every = range(1, length + 1)
        by_month = self._by_month(weekday_of_first, length)
        by_week = self._by_week(weekday_of_first, length)
        if by_month is None and by_week is None:
            return tuple(every)
        if by_month is None or by_week is None:
            chosen: set[int] = by_month if by_month is not None else by_week or set()
        else:
            chosen = by_month | by_week if self.either_day else by_month & by_week
        return tuple(sorted(chosen))

    def _by_month(self, weekday_of_first: int, length: int) -> set[int] | None:
        if self.days is None and not self.last_day and not self.nearest:
            return None
        found = {day for day in self.days or () if day <= length}
        if self.last_day:
            found.add(length)
        for day in self.nearest:
            if day <= length:
                found.add(_nearest_weekday(day, weekday_of_first, length))
        return found

    def _by_week(self, weekday_of_first: int, length: int) -> set[int] | None:
        if self.weekdays is None and not self.nth:
            return None
        # monthrange counts from Monday, cron from Sunday.
        sunday_of = (weekday_of_first + 1) % 7
        found = {day for day in range(1, length + 1) if (sunday_of + day - 1) % 7 in (self.weekdays or ())}
        for weekday, which in self.nth:
            days = range(1 + (weekday - sunday_of) % 7, length + 1, 7)
            if which < 0:
                found.add(days[-1])
            elif which <= len(days):
                found.add(days[which - 1])
        return found

    def _time_from(self, second_of_day: int) -> int | None:
        """Give the first matching time of a day from this second on."""
        hour, rest = divmod(second_of_day, 3600)
        minute, second = divmod(rest, 60)
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        at = bisect_left(hours, hour)
        if at == len(hours):
            return None
        if hours[at] == hour:
            m = bisect_left(minutes, minute)
            if m < len(minutes):
                if minutes[m] > minute:
                    return hour * 3600 + minutes[m] * 60 + seconds[0]
                s = bisect_left(seconds, second)
                if s < len(seconds):
                    return hour * 3600 + minute * 60 + seconds[s]
                if m + 1 < len(minutes):
                    return hour * 3600 + minutes[m + 1] * 60 + seconds[0]
            at += 1
            if at == len(hours):
                return None
        return hours[at] * 3600 + minutes[0] * 60 + seconds[0]


@lru_cache(maxsize=4096)
def parse(expression: str, *, day_or: bool = True) -> Crontab:
    """Read a cron expression: minute, hour, day, month, weekday, and if given second; or `@daily` and the like.

    Args:
        expression: The text.
        day_or: Whether a day may match by month or by week when both are given, or must by both.

    Raises:
        ValidationError: It is none, or can never match.
    """
    from croniter import CroniterError, croniter  # takes a while to import, and few commands need it

    if len(expression) > _LONGEST:
        raise ValidationError(
            f"a cron expression has {_LONGEST:,} characters at most, not {len(expression):,}: {expression[:40]!r}..."
        )
    if _BY_CHANCE.search(expression):
        raise ValidationError(f"cron expression {expression!r}: H and R mean values by chance; write them down")
    count = len(expression.split())
    if not expression.lstrip().startswith("@") and count not in (5, 6):
        raise ValidationError(f"cron expression {expression!r} has {count} fields; there are five or six: {_FIELDS}")
    try:
        read: Any = croniter(expression)
    except (CroniterError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split()).removeprefix(f"[{expression}] ").rstrip(".") or type(error).__name__
        if expression.lstrip().startswith("@"):
            reason = "the short forms are @hourly, @daily, @weekly, @monthly and @yearly"
        raise ValidationError(f"cron expression {expression!r}: {reason}; the fields are {_FIELDS}") from None
    expanded = read.expanded
    minutes, hours, days, months, weekdays = expanded[:5]
    table = Crontab(
        seconds=tuple(range(60)) if expanded[5:] == [["*"]] else _values(expanded[5]) if expanded[5:] else (0,),
        minutes=_values(minutes) or tuple(range(60)),
        hours=_values(hours) or tuple(range(24)),
        months=None if months == ["*"] else frozenset(_values(months)),
        days=None if days == ["*"] or read.nearest_weekday else frozenset(_values(days)),
        last_day="l" in days,
        nearest=frozenset(read.nearest_weekday),
        weekdays=None if weekdays == ["*"] else frozenset(set(_values(weekdays)) - read.nth_weekday_of_month.keys()),
        nth=frozenset(_nth(read.nth_weekday_of_month)),
        either_day=day_or,
    )
    by_month = bool(table.days or table.last_day or table.nearest)
    if day_or and (table.nth or table.nearest) and by_month and (table.nth or table.weekdays):
        raise ValidationError(
            f"cron expression {expression!r}: with #, L<weekday> or W give a day of the month or a weekday, not both"
        )
    if table.match_after(0) is None:
        raise ValidationError(f"cron expression {expression!r} never matches: there is no such day")
    return table


def _values(field: list[Any]) -> tuple[int, ...]:
    return tuple(sorted(value for value in field if isinstance(value, int)))


def _nth(found: dict[Any, set[Any]]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for weekday, which in found.items():
        for one in range(7) if weekday == "*" else (weekday,):
            pairs += [(one, -1 if nth == "l" else int(nth)) for nth in which]
    return pairs


def _nearest_weekday(day: int, weekday_of_first: int, length: int) -> int:
    """Give the weekday (Monday to Friday) nearest to a day, within its month."""
    weekday = (weekday_of_first + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day
