"""Fires once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from alsek.core.triggers.moments import from_ms, moment_ms, zone_name, zone_of
from alsek.core.triggers.protocol import Trigger

if TYPE_CHECKING:
    from datetime import date, datetime, tzinfo


class DateTrigger(Trigger):
    """One instant.

    Args:
        run_date: The moment; `None`: now. A local time that is skipped when clocks go forward means the first instant
            after the gap; one that happens twice means the first.
        timezone: IANA name, of a `run_date` that names no zone.

    Raises:
        ValidationError: That is no moment, or the zone is unknown.
    """

    def __init__(self, run_date: datetime | date | str | float | None = None, timezone: str | tzinfo = "UTC") -> None:
        self.timezone = zone_name(timezone)
        self._zone = zone_of(self.timezone)
        if run_date is None:
            self.run_ms = time.time_ns() // 1_000_000
        else:
            self.run_ms = moment_ms(run_date, "run_date", self._zone)

    @property
    def zone(self) -> tzinfo:
        """The time zone in which the moment was written."""
        return self._zone

    def fire_after(self, instant_ms: int, *, anchor_ms: int = 0, salt: str = "") -> int | None:  # noqa: ARG002
        """Give the instant if it comes after another; see `Trigger.fire_after`."""
        return self.run_ms if self.run_ms > instant_ms else None

    def first_fire(self, now_ms: int, *, salt: str = "") -> int | None:  # noqa: ARG002
        """Give the instant, even when it has passed: whoever schedules decides whether that is too late."""
        return self.run_ms

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:  # noqa: ARG002
        """Give the moment, until it has been; in the way of APScheduler's triggers."""
        return from_ms(self.run_ms, self._zone) if previous_fire_time is None else None

    def data(self) -> dict[str, Any]:
        """Describe the trigger as plain data."""
        described: dict[str, Any] = {"kind": "date", "run_ms": self.run_ms}
        return described if self.timezone == "UTC" else described | {"timezone": self.timezone}

    def __repr__(self) -> str:
        return f"DateTrigger({from_ms(self.run_ms, self._zone).isoformat()!r})"

    def __str__(self) -> str:
        return f"at {from_ms(self.run_ms, self._zone).isoformat(timespec='seconds')}"
