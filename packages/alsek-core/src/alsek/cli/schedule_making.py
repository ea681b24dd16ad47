"""How a schedule is written on a command line: `alsek schedules create`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from alsek.cli.connection import AsJson, Namespace, Partitions, Url, inspector, write_json
from alsek.defaults import DEFAULT_NAMESPACE
from alsek.exceptions import UnknownTaskError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from alsek.core.schedules import ScheduleStore
    from alsek.core.triggers import Trigger
    from alsek.tools.facts import TaskInfo

Id = Annotated[str, typer.Argument(metavar="ID", help="Name of the schedule.")]

#: Units of a span, ms.
UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def create(
    schedule_id: Id,
    task: Annotated[str, typer.Option(metavar="NAME", help="Name of the task.")],
    cron: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", show_default=False, help="minute hour day month weekday.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="SPAN", show_default=False, help="Such as 30s, 5m, 1h30m, 2d.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="MOMENT", show_default=False, help="Once, such as 2026-12-24T18:00.")
    ] = None,
    tz: Annotated[str, typer.Option("--tz", metavar="ZONE", help="IANA name of the time zone.")] = "UTC",
    start: Annotated[str | None, typer.Option(metavar="MOMENT", show_default=False, help="Not before.")] = None,
    end: Annotated[str | None, typer.Option(metavar="MOMENT", show_default=False, help="Not after.")] = None,
    both: Annotated[bool, typer.Option("--both", help="Fire twice where a local time happens twice.")] = False,
    package: Annotated[
        str | None,
        typer.Option(metavar="PACKAGE", show_default=False, help="Check task and arguments against its tasks."),
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Instead of the task's.")
    ] = None,
    args: Annotated[str, typer.Option(metavar="JSON", help="Positional arguments, a list.")] = "[]",
    kwargs: Annotated[str, typer.Option(metavar="JSON", help="Keyword arguments, an object.")] = "{}",
    priority: Annotated[int, typer.Option(metavar="N", help="0 (most urgent) to 4095.")] = 0,
    misfire: Annotated[
        Literal["skip", "once", "all"], typer.Option(help="What becomes of fires that were missed.")
    ] = "once",
    grace: Annotated[str, typer.Option(metavar="SPAN", help="A fire missed for longer is given up.")] = "1h",
    overlap: Annotated[
        Literal["allow", "skip", "queue_one"], typer.Option(help="What becomes of a fire while the last one runs.")
    ] = "allow",
    paused: Annotated[bool, typer.Option("--paused", help="Do not fire before `alsek schedules resume`.")] = False,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Make a schedule.

    The task is checked against those that workers have told of, as far as any have, or against those of --package.

    \b
    Examples:
      alsek schedules create nightly --task clean_up --queue ops --cron "0 3 * * *" --tz Europe/Vienna
      alsek schedules create pulse --task ping --package my_app --every 30s --overlap skip
      alsek schedules create launch --task announce --queue mail --at 2026-12-24T18:00 --args '["all"]'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek.core.schedules import FirePolicy

    trigger = _trigger(cron, every, at, tz, start, end, both=both)
    call: dict[str, Any] = {"args": _json(args, list, "args"), "kwargs": _json(kwargs, dict, "kwargs")}
    call["priority"] = priority
    if package is None:
        call |= _known(task, inspector(url, namespace, partitions).tasks())
    if queue is not None:
        call["queue"] = queue
    policy = FirePolicy(misfire, _span_ms(grace), overlap)
    store = schedule_store(url, namespace, partitions, package)
    made = store.create(schedule_id, task, trigger, policy=policy, paused=paused, **call)
    if as_json:
        write_json(made.data())
    else:
        when = "it is paused" if made.next_fire is None else f"it fires at {shown(made.next_fire)}"
        typer.echo(f"Made schedule {made.id}; {when}.")


def schedule_store(url: str | None, namespace: str, partitions: int, package: str | None = None) -> ScheduleStore:
    """Give the schedules of a namespace, or those of a package's broker."""
    from alsek.core.broker import Broker
    from alsek.core.schedules import ScheduleStore
    from alsek.storage.backends.redis import RedisBackend

    if package is not None:
        from alsek.core.discovery import collect_tasks

        tasks = collect_tasks(package)
        return ScheduleStore(tasks[0].broker, tasks)
    return ScheduleStore(Broker(RedisBackend(url, namespace=namespace, partitions=partitions)))


def _known(task: str, tasks: Sequence[TaskInfo]) -> dict[str, Any]:
    """Give what is known of a task that is given by name; nothing, when no worker ever told of any."""
    found = next((one for one in tasks if one.name == task), None)
    if found is not None:
        return {"queue": found.queue, "timeout": found.timeout}
    if tasks:
        names = ", ".join(sorted(one.name for one in tasks)[:10])
        raise UnknownTaskError(
            f"no worker has told of a task {task!r}, but of {names}; start its worker first, or name its --package",
            task_name=task,
        )
    return {}


def _trigger(
    cron: str | None, every: str | None, at: str | None, tz: str, start: str | None, end: str | None, *, both: bool
) -> Trigger:
    from alsek.core.triggers import CronTrigger, DateTrigger, IntervalTrigger

    if sum(one is not None for one in (cron, every, at)) != 1:
        raise ValidationError("say when: exactly one of --cron, --every and --at")
    if cron is not None:
        return CronTrigger(cron, tz, start=start, end=end, both=both)
    if every is not None:
        return IntervalTrigger(milliseconds=_span_ms(every), start=start, end=end, timezone=tz)
    return DateTrigger(at, tz)


def _span_ms(text: str) -> int:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdw])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ValidationError(f"a span is written like 30s, 5m, 1h30m or 2d: {text!r}")
    return round(sum(float(number) * UNITS_MS[unit] for number, unit in parts))


def _json(text: str, kind: type, name: str) -> Any:
    import json

    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValidationError(f"--{name} is no JSON: {error}") from error
    if not isinstance(value, kind):
        raise ValidationError(f"--{name} has to be a JSON {'list' if kind is list else 'object'}: {text}")
    return value


def shown(moment: datetime | None) -> str:
    """Give a moment for people, in its own time zone."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S %Z}"
