"""The form of a schedule: from a schedule to fields, and from fields to what the store takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from alsek.core.schedules import FirePolicy
from alsek.core.triggers import from_data
from alsek.core.triggers.moments import from_ms
from alsek.defaults import MAX_PRIORITY
from alsek.exceptions import ValidationError
from alsek_api.bodies import read_json
from alsek_api.dashboard.wording import plain_json

if TYPE_CHECKING:
    from alsek.core.schedules import Schedule
    from alsek.core.triggers import Trigger
    from alsek_api.dashboard.form import Form

#: Units of an interval on the form, ms.
UNITS: Final = {"seconds": 1_000, "minutes": 60_000, "hours": 3_600_000, "days": 86_400_000, "weeks": 604_800_000}

#: Of a new schedule.
_NEW: Final = {
    "id": "", "task": "", "queue": "", "kind": "cron", "expression": "0 9 * * mon-fri", "every": "15",
    "unit": "minutes", "run_date": "", "timezone": "UTC", "start": "", "end": "", "misfire": "once",
    "grace": "60", "overlap": "allow", "args": "[]", "kwargs": "{}", "priority": "0", "paused": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form asks for.

    Attributes:
        trigger: When to fire; `None`: as before, because the form cannot show it.
        policy: What becomes of late and overlapping fires.
        call: What the messages carry.
    """

    trigger: Trigger | None
    policy: FirePolicy
    call: dict[str, Any]


def blank(**known: str) -> dict[str, str]:
    """Give the fields of a form for a new schedule."""
    return _NEW | {name: value for name, value in known.items() if value}


def fields_of(schedule: Schedule) -> dict[str, str]:
    """Give the fields of a form for a schedule that is there."""
    data = schedule.trigger.data()
    zone = schedule.trigger.zone
    found = {
        "id": schedule.id,
        "task": schedule.task,
        "queue": schedule.queue,
        "kind": data["kind"],
        "timezone": str(data.get("timezone", "UTC")),
        "misfire": schedule.policy.misfire,
        "grace": f"{schedule.policy.grace_ms / 60_000:g}",
        "overlap": schedule.policy.overlap,
        "args": plain_json(schedule.args if schedule.args is not None else []),
        "kwargs": plain_json(schedule.kwargs or {}),
        "priority": str(schedule.priority),
        "start": _local(data.get("start"), zone),
        "end": _local(data.get("end"), zone),
    }
    if data["kind"] == "cron":
        found["expression"] = data["expression"]
    if data["kind"] == "interval":
        found |= _interval_fields(int(data["every_ms"]))
    if data["kind"] == "date":
        found["run_date"] = _local(data["run_ms"], zone)
    return _NEW | found


def trigger_of(form: Form, before: Schedule | None = None) -> Trigger | None:
    """Make the trigger that a form describes.

    Args:
        form: As it was sent.
        before: The schedule that is changed: what of its trigger the form does not show stays.

    Returns:
        The trigger; `None`: it is not changed.

    Raises:
        ValidationError: It describes none; says why.
    """
    kind = form.text("kind", 20)
    known = before.trigger.data() if before is not None else {}
    if kind == "foreign" and known.get("kind") == "foreign":
        return None
    shown: dict[str, Any] = {"kind": kind, "timezone": form.text("timezone", 100) or "UTC"}
    if kind == "cron":
        shown |= {"expression": form.text("expression", 200)} | _span(form)
    elif kind == "interval":
        shown |= {"every_ms": _every_ms(form)} | _span(form)
    elif kind == "date":
        if not form.text("run_date"):
            raise ValidationError("say on which day and at which time to fire")
        shown["run_date"] = form.text("run_date", 40)
    unseen = {name: value for name, value in known.items() if name in ("both", "day_or", "jitter_ms")}
    trigger = from_data(shown | (unseen if known.get("kind") == kind else {}))
    same = before is not None and trigger.data() == known
    return None if same else trigger


def read(form: Form, max_depth: int, before: Schedule | None = None) -> Wanted:
    """Read a form.

    Raises:
        ValidationError: A field is not what it should be; says which.
        Problem: Likewise.
    """
    grace = form.text("grace", 20) or "0"
    try:
        grace_ms = round(float(grace) * 60_000)
    except (ValueError, OverflowError):
        raise ValidationError(f"grace has to be a number of minutes: {grace}") from None
    policy = FirePolicy(form.text("misfire", 20), grace_ms, form.text("overlap", 20))  # type: ignore[arg-type]  # it checks
    call: dict[str, Any] = {"priority": form.whole("priority", 0, MAX_PRIORITY) or 0}
    if queue := form.text("queue", 200):
        call["queue"] = queue
    call["args"], call["kwargs"] = arguments(form, max_depth)
    return Wanted(trigger_of(form, before), policy, call)


def arguments(form: Form, max_depth: int) -> tuple[list[Any], dict[str, Any]]:
    """Read arguments that were typed as JSON.

    Raises:
        ValidationError: They are not what they should be.
        Problem: They are no JSON.
    """
    args = read_json((form.text("args", 100_000) or "[]").encode(), max_depth)
    kwargs = read_json((form.text("kwargs", 100_000) or "{}").encode(), max_depth)
    if not isinstance(args, list):
        raise ValidationError('arguments by position are a list, such as [1, "two"]')
    if not isinstance(kwargs, dict):
        raise ValidationError('arguments by name are an object, such as {"name": "Ada"}')
    return args, kwargs


def _span(form: Form) -> dict[str, str]:
    return {name: value for name in ("start", "end") if (value := form.text(name, 40))}


def _every_ms(form: Form) -> int:
    unit, text = form.text("unit", 20), form.text("every", 20)
    try:
        return round(float(text) * UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise ValidationError(f"an interval is a number of {', '.join(UNITS)}: {text} {unit}") from None


def _interval_fields(every_ms: int) -> dict[str, str]:
    for unit in reversed(UNITS):
        if every_ms % UNITS[unit] == 0:
            return {"every": str(every_ms // UNITS[unit]), "unit": unit}
    return {"every": f"{every_ms / 1000:g}", "unit": "seconds"}


def _local(moment: Any, zone: Any) -> str:
    """Write a moment as a field for a local time takes it."""
    if not moment:
        return ""
    if isinstance(moment, str):
        try:
            at = datetime.fromisoformat(moment)
        except ValueError:
            return ""
        return at.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S") if at.tzinfo else moment
    return from_ms(int(moment), zone).strftime("%Y-%m-%dT%H:%M:%S")
