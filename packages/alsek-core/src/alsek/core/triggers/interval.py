"""Fires again and again after the same time, whatever the clocks on the wall do."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from alsek.core.triggers.cron import bounds, span_ms
from alsek.core.triggers.moments import zone_name, zone_of
from alsek.core.triggers.protocol import Trigger
from alsek.defaults import MAX_DURATION_MS
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

_UNITS_MS: Final = {
    "weeks": 604_800_000,
    "days": 86_400_000,
    "hours": 3_600_000,
    "minutes": 60_000,
    "seconds": 1_000,
    "milliseconds": 1,
}


class IntervalTrigger(Trigger):
    """Instants that follow each other after the same time: elapsed time, so daylight saving changes nothing.

    Args:
        weeks, days, hours, minutes, seconds, milliseconds: They add up; fractions are fine down to 1 ms.
        start: The first instant. Without one the first comes one interval after the schedule began.
        end: No instant after it.
        jitter: Up to so many seconds later, other for each instant; less than the interval.
        timezone: IANA name, of a `start` or `end` that names no zone.

    Raises:
        ValidationError: The interval is no positive time, the jitter not below it, the zone unknown, or `end` lies
            before `start`.
    """

    def __init__(
        self,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        *,
        start: datetime | str | float | None = None,
        end: datetime | str | float | None = None,
        jitter: float = 0,
        timezone: str | tzinfo = "UTC",
    ) -> None:
        amounts = (weeks, days, hours, minutes, seconds, milliseconds)
        total = sum(_amount(value, unit) * _UNITS_MS[unit] for value, unit in zip(amounts, _UNITS_MS, strict=True))
        if not 1 <= total <= MAX_DURATION_MS:
            raise ValidationError(f"an interval has to be 1 ms at least, and 100 years at most: {total:g} ms")
        self.every_ms = round(total)
        self.jitter_ms = round(_amount(jitter or 0, "jitter") * 1000)
        if not 0 <= self.jitter_ms < self.every_ms:
            raise ValidationError(
                f"the jitter has to be 0 s or more, and less than the {self.every_ms / 1000:g} s between: {jitter!r}"
            )
        self.timezone = zone_name(timezone)
        self._zone = zone_of(self.timezone)
        self.start_ms, self.end_ms = span_ms(start, end, self._zone)

    @property
    def zone(self) -> tzinfo:
        """The time zone in which its moments were written."""
        return self._zone

    def fire_after(self, instant_ms: int, *, anchor_ms: int = 0, salt: str = "") -> int | None:
        """Give the first instant after another; see `Trigger.fire_after`."""
        first = anchor_ms + self.every_ms if self.start_ms is None else self.start_ms
        # The instant before may be late enough by its jitter to be still to come.
        number = max(0, (instant_ms - first) // self.every_ms)
        while (found := self._instant(first, number, salt)) <= instant_ms:
            number += 1
        return None if self.end_ms is not None and found > self.end_ms else found

    def data(self) -> dict[str, Any]:
        """Describe the trigger as plain data."""
        described: dict[str, Any] = {"kind": "interval", "every_ms": self.every_ms}
        if self.jitter_ms:
            described["jitter_ms"] = self.jitter_ms
        if self.timezone != "UTC":
            described["timezone"] = self.timezone
        return described | bounds(self.start_ms, self.end_ms)

    def __repr__(self) -> str:
        return f"IntervalTrigger(milliseconds={self.every_ms})"

    def __str__(self) -> str:
        return f"every {_span(self.every_ms)}"

    def _instant(self, first: int, number: int, salt: str) -> int:
        instant = first + number * self.every_ms
        if self.jitter_ms:
            # Drawn from what it belongs to: whoever asks gets the same.
            drawn = blake2b(f"{salt}\0{instant}".encode(), digest_size=6).digest()
            instant += int.from_bytes(drawn, "big") % (self.jitter_ms + 1)
        return instant


def _amount(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_DURATION_MS:
        raise ValidationError(f"{what} has to be a number: {value!r}")
    return value


def _span(ms: int) -> str:
    for unit, length in _UNITS_MS.items():
        if ms % length == 0:
            return f"{ms // length} {unit if ms != length else unit[:-1]}"
    return f"{ms} milliseconds"
