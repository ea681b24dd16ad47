"""Between the moments that people write and milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from alsek.core.triggers.walltime import first_instant
from alsek.exceptions import ValidationError

#: Instants lie between 1970 and the year 2200: further away it is a mistake.
LAST_MS: Final = 7_258_118_400_000

#: Lie beside the zones in the database of many hosts, and are none.
_OF_THE_HOST: Final = frozenset({"localtime", "posixrules"})

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Give a time zone by its IANA name.

    Raises:
        ValidationError: There is none of this name.
    """
    if name in _OF_THE_HOST:
        raise ValidationError(
            f"the time zone {name!r} is another one on each host: use an IANA name, such as Europe/Vienna or UTC"
        )
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValidationError(
            f"there is no time zone {name!r}: use an IANA name, such as Europe/Vienna or UTC"
        ) from None


def zone_name(timezone: str | tzinfo) -> str:
    """Give the IANA name of a time zone that was given by name or as an object.

    Raises:
        ValidationError: It has none: a fixed offset knows nothing of daylight saving.
    """
    if isinstance(timezone, str):
        zone_of(timezone)
        return timezone
    if isinstance(timezone, tzinfo):
        # zoneinfo's name, pytz's name, and the fixed UTC of the standard library
        name = getattr(timezone, "key", None) or getattr(timezone, "zone", None)
        if name is None and timezone.utcoffset(None) == timedelta(0):
            name = "UTC"
        if isinstance(name, str):
            zone_of(name)
            return name
    raise ValidationError(f"the time zone has to be an IANA name, such as Europe/Vienna: {timezone!r}")


def to_ms(moment: datetime) -> int:
    """Give an aware moment as ms since the epoch."""
    return (moment.astimezone(UTC) - _EPOCH) // _MS


def from_ms(instant_ms: int, zone: tzinfo = UTC) -> datetime:
    """Give ms since the epoch as a moment of a time zone."""
    return (_EPOCH + timedelta(milliseconds=instant_ms)).astimezone(zone)


def moment_ms(given: datetime | date | str | float, what: str, zone: tzinfo) -> int:
    """Give a moment that somebody wrote as ms since the epoch.

    Args:
        given: A datetime, a date (midnight), a text in ISO 8601, or ms since the epoch.
        what: What it is, for the error.
        zone: Of a moment that names none itself. A local time that is skipped when clocks go forward means the first
            instant after the gap; one that happens twice means the first.

    Raises:
        ValidationError: It is no moment, or too far away.
    """
    moment: object = given
    if isinstance(given, str):
        try:
            moment = datetime.fromisoformat(given.strip())
        except ValueError:
            raise ValidationError(
                f"the {what} has to be a moment such as 2026-03-29T02:30 or 2026-03-29T02:30:00+02:00: {given!r}"
            ) from None
    elif isinstance(given, date) and not isinstance(given, datetime):
        moment = datetime(given.year, given.month, given.day)  # noqa: DTZ001 - midnight on the zone's clock
    if isinstance(moment, bool) or not isinstance(moment, datetime | int | float):
        raise ValidationError(f"the {what} has to be a datetime, an ISO 8601 text or ms since the epoch: {given!r}")
    try:
        if isinstance(moment, datetime):
            instant = to_ms(moment) if moment.tzinfo is not None else _local_ms(moment, zone)
        else:
            instant = int(moment)
    except (OverflowError, ValueError):
        instant = -1
    if not 0 <= instant <= LAST_MS:
        raise ValidationError(f"the {what} has to lie between 1970 and 2200: {given!r}")
    return instant


def _local_ms(moment: datetime, zone: tzinfo) -> int:
    wall_ms = (moment - _EPOCH.replace(tzinfo=None)) // _MS
    wall, rest = divmod(wall_ms, 1000)
    instant = first_instant(wall, zone)
    exists = datetime.fromtimestamp(instant, zone).replace(tzinfo=None) == moment.replace(microsecond=0)
    return instant * 1000 + (rest if exists else 0)
