"""Triggers as plain data: what stands in Redis, goes through the HTTP API, and is typed on a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from alsek.core.triggers.cron import CronTrigger
from alsek.core.triggers.date import DateTrigger
from alsek.core.triggers.foreign import ForeignTrigger
from alsek.core.triggers.interval import IntervalTrigger
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.core.triggers.protocol import Trigger

_SPAN: Final = frozenset({"start", "end"})
_UNITS: Final = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds")

#: What may stand beside `kind`.
_KNOWN: Final = {
    "cron": _SPAN | {"expression", "timezone", "both", "day_or"},
    "interval": _SPAN | {"every_ms", "jitter_ms", "jitter", "timezone", *_UNITS},
    "date": frozenset({"run_ms", "run_date", "timezone"}),
    "foreign": frozenset({"class", "text"}),
}


def to_data(trigger: Trigger) -> dict[str, Any]:
    """Describe a trigger as plain data (JSON)."""
    return trigger.data()


def from_data(data: Mapping[str, Any]) -> Trigger:
    """Make the trigger that plain data describes.

    Args:
        data: `{"kind": "cron", "expression", "timezone"?, "start"?, "end"?, "both"?, "day_or"?}`,
            `{"kind": "interval", "every_ms" or "weeks" … "milliseconds", "start"?, "end"?, "jitter_ms"?}` or
            `{"kind": "date", "run_ms" or "run_date", "timezone"?}`. Moments are ISO 8601 texts or ms since the epoch.

    Raises:
        ValidationError: It describes none; says what is wrong.
    """
    kind = data.get("kind")
    if kind not in _KNOWN:
        raise ValidationError(f"the kind of a trigger is cron, interval or date: {kind!r}")
    unknown = data.keys() - _KNOWN[kind] - {"kind"}
    if unknown:
        allowed = ", ".join(sorted(_KNOWN[kind]))
        raise ValidationError(f"a {kind} trigger has {allowed}; not {', '.join(sorted(map(str, unknown)))}")
    if kind == "foreign":
        return ForeignTrigger(dict(data))
    zone = data.get("timezone", "UTC")
    start, end = data.get("start"), data.get("end")
    if kind == "cron":
        if "expression" not in data:
            raise ValidationError("a cron trigger needs an expression, such as */5 9-17 * * mon-fri")
        both, day_or = data.get("both", False), data.get("day_or", True)
        return CronTrigger(data["expression"], zone, start=start, end=end, both=both, day_or=day_or)
    if kind == "date":
        moment = data.get("run_ms", data.get("run_date"))
        if moment is None:
            raise ValidationError("a date trigger needs a run_date, such as 2026-12-24T18:00")
        return DateTrigger(moment, zone)
    amounts = {unit: data[unit] for unit in _UNITS if unit in data}
    if "every_ms" in data:
        amounts["milliseconds"] = data["every_ms"]
    jitter_ms = data.get("jitter_ms", 0)
    if isinstance(jitter_ms, bool) or not isinstance(jitter_ms, int | float):
        raise ValidationError(f"jitter_ms has to be a number: {jitter_ms!r}")
    return IntervalTrigger(**amounts, start=start, end=end, jitter=data.get("jitter", jitter_ms / 1000), timezone=zone)
