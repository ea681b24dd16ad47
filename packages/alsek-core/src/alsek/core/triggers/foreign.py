"""Triggers of other people: APScheduler's become ours; whatever else tells its next fire time is used as it is."""

from __future__ import annotations

import re
from typing import Any, Final

from alsek.core.triggers.cron import CronTrigger
from alsek.core.triggers.date import DateTrigger
from alsek.core.triggers.interval import IntervalTrigger
from alsek.core.triggers.moments import from_ms, to_ms
from alsek.core.triggers.protocol import Trigger
from alsek.exceptions import SchedulingError, ValidationError

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NTH: Final = re.compile(r"(1st|2nd|3rd|4th|5th|last) +(\w+)")


class ForeignTrigger(Trigger):
    """Somebody's own trigger: any object with APScheduler's method `get_next_fire_time(previous, now)`.

    It is known to the program that holds the object; in Redis there is only its description.

    Args:
        described: As `data` gave it, for one that is not at hand.
        trigger: The object.
    """

    def __init__(self, described: dict[str, Any], trigger: Any = None) -> None:
        self._described = described
        self.trigger = trigger

    def first_fire(self, now_ms: int, *, salt: str = "") -> int | None:  # noqa: ARG002
        """Give what the object calls its first fire time."""
        return self._ask(None, now_ms)

    def fire_after(self, instant_ms: int, *, anchor_ms: int = 0, salt: str = "") -> int | None:  # noqa: ARG002
        """Ask the object; see `Trigger.fire_after`.

        Raises:
            SchedulingError: It is not at hand, or does not go forward.
        """
        found = self._ask(instant_ms, instant_ms + 1)
        if found is not None and found <= instant_ms:
            raise SchedulingError(
                f"{self} does not go forward: after {from_ms(instant_ms).isoformat()} it names "
                f"{from_ms(found).isoformat()}"
            )
        return found

    def data(self) -> dict[str, Any]:
        """Describe the trigger as plain data, which is not enough to make it again."""
        return self._described

    def __repr__(self) -> str:
        return f"ForeignTrigger({self._described.get('text')!r})"

    def __str__(self) -> str:
        return str(self._described.get("text"))

    def _ask(self, previous_ms: int | None, now_ms: int) -> int | None:
        if self.trigger is None:
            raise SchedulingError(
                f"its trigger {self} is known to its program only: start the scheduler with the package that holds it"
            )
        zone = getattr(self.trigger, "timezone", None)
        moments = [None if ms is None else from_ms(ms, zone) if zone else from_ms(ms) for ms in (previous_ms, now_ms)]
        found = self.trigger.get_next_fire_time(*moments)
        return None if found is None else to_ms(found)


def adopt(trigger: Any) -> Trigger:
    """Give a trigger of ours for whatever a program uses as one.

    Args:
        trigger: One of ours, one of APScheduler's (3.x), or any object with `get_next_fire_time(previous, now)`.

    Raises:
        ValidationError: It cannot tell when to fire.
    """
    if isinstance(trigger, Trigger):
        return trigger
    if isinstance(trigger, type) or not callable(getattr(trigger, "get_next_fire_time", None)):
        raise ValidationError(
            "a trigger is a CronTrigger, IntervalTrigger or DateTrigger (of alsek.core.triggers or APScheduler), or an "
            f"object with get_next_fire_time(previous, now): {trigger!r}"
        )
    kind = type(trigger)
    if kind.__module__.startswith("apscheduler."):
        translated = _translate(kind.__name__, trigger)
        if translated is not None:
            return translated
    text = _ADDRESS.sub("", str(trigger))
    return ForeignTrigger({"kind": "foreign", "class": f"{kind.__module__}.{kind.__qualname__}", "text": text}, trigger)


def _translate(kind: str, theirs: Any) -> Trigger | None:
    try:
        if kind == "DateTrigger":
            return DateTrigger(theirs.run_date)
        if kind == "IntervalTrigger":
            # A start with microseconds was read from the clock when the object was made: it is no part of what was
            # meant, and would be another one after each start of the program.
            start = None if theirs.start_date.microsecond else theirs.start_date
            seconds = theirs.interval.total_seconds()
            return IntervalTrigger(seconds=seconds, start=start, end=theirs.end_date, jitter=theirs.jitter or 0)
        if kind == "CronTrigger" and not theirs.jitter:
            expression = _crontab_of({field.name: str(field) for field in theirs.fields})
            if expression is not None:
                return CronTrigger(
                    expression, theirs.timezone, start=theirs.start_date, end=theirs.end_date, day_or=False
                )
    except (ValidationError, AttributeError, TypeError):
        pass  # what ours cannot say stays theirs
    return None


def _crontab_of(fields: dict[str, str]) -> str | None:
    """Write the fields of APScheduler as a cron expression; `None` where there is no such expression."""
    if fields.get("year", "*") != "*" or fields.get("week", "*") != "*":
        return None
    weekdays = _weekdays_of(fields["day_of_week"])
    day = fields["day"]
    if day == "last":
        day = "L"
    elif matched := _NTH.fullmatch(day):
        if weekdays != "*":
            return None
        number = (_WEEKDAYS.index(matched[2]) + 1) % 7
        day, weekdays = "*", f"L{number}" if matched[1] == "last" else f"{number}#{matched[1][0]}"
    if not re.fullmatch(r"[\d*,/L-]+", day) or weekdays is None:
        return None
    return " ".join([fields["minute"], fields["hour"], day, fields["month"], weekdays, fields["second"]])


def _weekdays_of(text: str) -> str | None:
    """Write weekdays that count from Monday as cron does, from Sunday."""
    if text == "*":
        return text
    chosen: set[int] = set()
    for part in text.split(","):
        matched = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if matched is None:
            return None
        low = _weekday(matched[1]) if matched[1] else 0
        high = _weekday(matched[2]) if matched[2] else low if matched[1] and not matched[3] else 6
        if low is None or high is None:
            return None
        chosen.update(range(low, high + 1, int(matched[3] or 1)))
    return ",".join(str(day) for day in sorted((day + 1) % 7 for day in chosen)) or None


def _weekday(text: str) -> int | None:
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    return int(text) if text.isdigit() and int(text) < 7 else None
