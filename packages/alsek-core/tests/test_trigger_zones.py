"""Cron triggers beside a calendar by brute force, around every change of the clocks from 2000 to 2037 (T3).

The calendar walks through every minute of a window by zoneinfo, notes what the clock on the wall shows, and knows
nothing of offsets, folds or gaps: a wall time that it never saw was skipped, one that it saw twice happened twice.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from alsek.core.triggers import CronTrigger

ZONES = (
    "Europe/Vienna",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Europe/Dublin",  # winter time is the exception
    "Africa/Casablanca",  # against the year, and around Ramadan
    "Pacific/Apia",  # lost a day in 2011
    "America/St_Johns",  # changed at one past midnight until 2011
    "Asia/Kathmandu",  # 45 minutes, no changes
    "Pacific/Chatham",  # 45 minutes, with changes
    "America/Sao_Paulo",  # changed at midnight until 2019
    "Asia/Tehran",
    "America/Caracas",  # moved by half an hour, twice
    "Antarctica/Troll",  # two hours
    "Asia/Pyongyang",
)

FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
WINDOW_MINUTES = 24 * 60


@dataclass(frozen=True)
class Expression:
    """A cron expression, and the sets it was written from."""

    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int] | None

    @property
    def text(self) -> str:
        days = "*" if self.weekdays is None else ",".join(map(str, sorted(self.weekdays)))
        return f"{','.join(map(str, sorted(self.minutes)))} {','.join(map(str, sorted(self.hours)))} * * {days}"

    def matches(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes
            and wall.hour in self.hours
            and (self.weekdays is None or wall.isoweekday() % 7 in self.weekdays)
        )


def draw(chance: random.Random) -> Expression:
    """An expression that meets the hours in which clocks are changed, more often than not."""
    hours = chance.sample(range(24), chance.randint(1, 4)) + chance.sample(range(4), chance.randint(0, 3))
    weekdays = None if chance.random() < 0.7 else frozenset(chance.sample(range(7), chance.randint(1, 4)))
    minutes = range(0, 60, chance.choice((1, 5, 15, 30))) if chance.random() < 0.4 else chance.sample(range(60), 3)
    return Expression(frozenset(minutes), frozenset(hours), weekdays)


#: Fires around every change, whatever the dice say.
OFTEN = Expression(frozenset({7, 37}), frozenset(range(24)), None)


@cache
def transitions(zone: str) -> list[datetime]:
    """Every change of the clocks of a zone, to the minute."""
    found: list[datetime] = []
    place = ZoneInfo(zone)
    day = FIRST
    while day < LAST:
        following = day + timedelta(days=1)
        if day.astimezone(place).utcoffset() != following.astimezone(place).utcoffset():
            minute = day
            while minute.astimezone(place).utcoffset() == day.astimezone(place).utcoffset():
                minute += timedelta(minutes=1)
            found.append(minute)
        day = following
    return found


def moments_of(zone: str) -> list[datetime]:
    """Where to look: around every change of the clocks, or on any day where they never change."""
    return transitions(zone) or [datetime(2026, 3, 29, tzinfo=UTC)]


class Calendar:
    """What the clock on the wall of a zone shows in a window of time, minute by minute."""

    def __init__(self, zone: str, middle: datetime) -> None:
        place = ZoneInfo(zone)
        start = middle - timedelta(minutes=WINDOW_MINUTES)
        self.shown: list[tuple[datetime, datetime]] = []
        self.seen: dict[datetime, list[datetime]] = {}
        for i in range(2 * WINDOW_MINUTES):
            instant = start + timedelta(minutes=i)
            wall = instant.astimezone(place).replace(tzinfo=None, fold=0)
            self.shown.append((instant, wall))
            self.seen.setdefault(wall, []).append(instant)

    def fires(self, expression: Expression, *, both: bool) -> list[datetime]:
        """The instants of an expression, from all wall times between the first and the last one that was shown."""
        found: set[datetime] = set()
        jump: list[tuple[datetime, datetime, datetime]] = [
            (before, after, instant)
            for (_, before), (instant, after) in zip(self.shown, self.shown[1:], strict=False)
            if after - before > timedelta(minutes=1)
        ]
        for wall, instants in self.seen.items():
            if expression.matches(wall):
                found.update(instants if both else instants[:1])
        for before, after, instant in jump:
            wall = before + timedelta(minutes=1)
            while wall < after:
                if wall not in self.seen and expression.matches(wall):
                    found.add(instant)
                wall += timedelta(minutes=1)
        return sorted(found)


def compare(zone: str, moment: datetime, expressions: list[Expression]) -> int:
    """Compare all instants of expressions around a moment; gives how many there were."""
    calendar = Calendar(zone, moment)
    first, last = calendar.shown[0][0], calendar.shown[-1][0]
    # A day at both ends is left out: what happens twice may have happened for the first time before the window.
    first, last = first + timedelta(hours=5), last - timedelta(hours=5)
    count = 0
    for expression in expressions:
        for both in (False, True):
            trigger = CronTrigger(expression.text, zone, both=both)
            expected = [one for one in calendar.fires(expression, both=both) if first < one <= last]
            found: list[datetime] = []
            instant = trigger.fire_after(round(first.timestamp() * 1000))
            while instant is not None and instant <= last.timestamp() * 1000:
                found.append(datetime.fromtimestamp(instant / 1000, UTC))
                instant = trigger.fire_after(instant)
            assert found == expected, f"{expression.text} {zone} both={both} around {moment.isoformat()}"
            count += len(found)
    return count


@pytest.mark.parametrize("zone", ZONES)
def test_a_cron_trigger_agrees_with_a_calendar_by_brute_force(zone: str, seed: int) -> None:
    chance = random.Random(f"{seed}{zone}")
    moments = moments_of(zone)

    sample = moments if len(moments) <= 5 else sorted(chance.sample(moments, 5))
    fires = sum(compare(zone, moment, [OFTEN, draw(chance), draw(chance)]) for moment in sample)

    print(f"{zone}: {fires:,} fires around {len(sample)} of {len(moments)} changes of the clocks agree")
    assert fires > 0


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_a_cron_trigger_agrees_with_a_calendar_around_every_change(zone: str, seed: int) -> None:
    chance = random.Random(f"{seed}{zone}")
    moments = moments_of(zone)
    each = max(4, 400 // max(1, len(moments)))

    fires = sum(compare(zone, moment, [draw(chance) for _ in range(each)]) for moment in moments)

    print(f"{zone}: {fires:,} fires of {each * len(moments)} expressions around {len(moments)} changes agree")
    assert fires > 0
