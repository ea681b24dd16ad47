"""`alsek schedules`: what is fired when, seen and changed from a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from alsek.cli.connection import AsJson, Namespace, Partitions, Url, Yes, confirm_deletion, write_json, write_table
from alsek.cli.schedule_making import UNITS_MS, Id, create, schedule_store, shown
from alsek.defaults import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from datetime import datetime

    from alsek.core.schedules import Schedule

schedules = typer.Typer(
    help="See, make and change schedules; `alsek scheduler` fires them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="""\b
Examples:
  alsek schedules list
  alsek schedules create nightly --task clean_up --queue ops --cron "0 3 * * *" --tz Europe/Vienna
  alsek schedules preview "*/5 9-17 * * mon-fri" --tz Europe/Vienna -n 10
""",
)

Version = Annotated[
    int | None,
    typer.Option(metavar="N", show_default=False, help="Only if it still has this version (see `show`)."),
]

schedules.command()(create)


@schedules.command("list")
def list_(
    task: Annotated[str | None, typer.Option(metavar="NAME", show_default=False, help="Only of this task.")] = None,
    state: Annotated[
        Literal["active", "paused", "broken", "ended"] | None, typer.Option(show_default=False, help="Only these.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Most schedules shown.")] = 100,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """List schedules with their next and last fire, and who fires them.

    \b
    Examples:
      alsek schedules list
      alsek schedules list --state broken
      alsek schedules list --task clean_up --json
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    store = schedule_store(url, namespace, partitions)
    found: list[Schedule] = []
    for one in store:
        if (task is None or one.task == task) and (state is None or one.state == state):
            found.append(one)
            if len(found) == limit:
                break
    leader = store.leader()
    if as_json:
        write_json({
            "leader": None if leader is None else {"identity": leader.identity, "epoch": leader.epoch},
            "schedules": [one.data() for one in found],
        })  # fmt: skip
        return
    if found:
        rows = [
            (
                one.id, one.task, one.queue, str(one.trigger), one.state, shown(one.next_fire), shown(one.last_fire),
                f"{one.fired:,}",
            )
            for one in found
        ]  # fmt: skip
        columns = ("schedule", "task", "queue", "trigger", "state", "next fire", "last fire", "fired")
        write_table(columns, rows, numbers=("fired",))
    else:
        typer.echo("There are no schedules.")
    if leader is None:
        typer.echo("Nobody leads: nothing is fired before an `alsek scheduler` runs.")
    else:
        typer.echo(f"Leader: {leader.identity}, epoch {leader.epoch}.")
    for one in found:
        if one.state == "broken":
            typer.echo(f"{one.id} is broken: {one.reason}")


@schedules.command()
def show(
    schedule_id: Id,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of a schedule.

    \b
    Examples:
      alsek schedules show nightly
      alsek schedules show nightly --json
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    one = schedule_store(url, namespace, partitions).get(schedule_id)
    if as_json:
        write_json(one.data())
        return
    facts = {
        "schedule": one.id,
        "version": one.version,
        "state": one.state if one.reason is None else f"{one.state}: {one.reason}",
        "task": one.task,
        "queue": one.queue,
        "trigger": one.trigger,
        "arguments": f"{one.args!r} {one.kwargs or {}!r}",
        "priority": one.priority,
        "misfire": f"{one.policy.misfire}, up to {_span(one.policy.grace_ms)} late",
        "overlap": one.policy.overlap,
        "next fire": shown(one.next_fire) or "none",
        "last fire": shown(one.last_fire) or "none",
        "last message": one.last_uuid or "none",
        "first message": one.first_uuid or "none",
        "fired": f"{one.fired:,}",
        "missed": f"{one.missed:,}",
        "dropped": f"{one.dropped:,}",
        "owner": one.owner if one.origin is None else f"{one.owner} ({one.origin})",
    }
    write_table(("", "value"), [(name, str(value)) for name, value in facts.items()])


@schedules.command()
def pause(
    schedule_id: Id,
    version: Version = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Fire a schedule no more, until it is resumed.

    \b
    Examples:
      alsek schedules pause nightly
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    one = schedule_store(url, namespace, partitions).pause(schedule_id, version)
    if as_json:
        write_json(one.data())
    else:
        typer.echo(f"Paused schedule {schedule_id}.")


@schedules.command()
def resume(
    schedule_id: Id,
    version: Version = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Fire a schedule again, from its next instant on; a broken one gets another try.

    \b
    Examples:
      alsek schedules resume nightly
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    one = schedule_store(url, namespace, partitions).resume(schedule_id, version)
    if as_json:
        write_json(one.data())
        return
    when = "it has no instant left" if one.next_fire is None else f"it fires at {shown(one.next_fire)}"
    typer.echo(f"Resumed schedule {schedule_id}; {when}.")


@schedules.command()
def delete(
    schedule_id: Id,
    version: Version = None,
    yes: Yes = False,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Delete a schedule; the messages that it has fired stay. Asks first; where nobody can answer, only --yes will do.

    One that code defines comes back when that code runs again.

    \b
    Examples:
      alsek schedules delete nightly
      alsek schedules delete nightly --version 3 --yes
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    store = schedule_store(url, namespace, partitions)
    if not yes:
        store.get(schedule_id)  # an unknown one is nothing to be asked about
        confirm_deletion(f"schedule {schedule_id}", as_json=as_json)
    store.delete(schedule_id, version)
    if as_json:
        write_json({"deleted": schedule_id})
    else:
        typer.echo(f"Deleted schedule {schedule_id}.")


@schedules.command()
def fire(
    schedule_id: Id,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Submit one message of a schedule now; its next fire stays as it is.

    \b
    Examples:
      alsek schedules fire nightly
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    uuid = schedule_store(url, namespace, partitions).fire(schedule_id)
    if as_json:
        write_json({"uuid": uuid})
    else:
        typer.echo(uuid)


@schedules.command()
def preview(
    what: Annotated[str, typer.Argument(metavar="EXPRESSION|ID", help="A cron expression, or the name of a schedule.")],
    tz: Annotated[str, typer.Option("--tz", metavar="ZONE", help="Time zone of an expression.")] = "UTC",
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many fires.")] = 10,
    after: Annotated[
        str | None, typer.Option("--from", metavar="MOMENT", show_default=False, help="Instead of now.")
    ] = None,
    both: Annotated[bool, typer.Option("--both", help="Fire twice where a local time happens twice.")] = False,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Show the next fires of a cron expression, which needs no Redis, or of a schedule.

    \b
    Examples:
      alsek schedules preview "*/5 9-17 * * mon-fri" --tz Europe/Vienna -n 10
      alsek schedules preview "30 2 * * *" --tz Europe/Vienna --from 2026-03-28 -n 3
      alsek schedules preview @daily
      alsek schedules preview nightly
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    if " " in what.strip() or what.startswith("@"):
        import time

        from alsek.core.triggers import CronTrigger
        from alsek.core.triggers.moments import from_ms, moment_ms

        trigger = CronTrigger(what, tz, both=both)
        instant: int | None = time.time_ns() // 1_000_000
        if after is not None:
            instant = moment_ms(after, "--from", trigger.zone) - 1
        moments: list[datetime] = []
        while len(moments) < count and instant is not None:
            instant = trigger.fire_after(instant)
            if instant is not None:
                moments.append(from_ms(instant, trigger.zone))
    else:
        moments = schedule_store(url, namespace, partitions).preview(what, count)
    if as_json:
        write_json({"fires": [moment.isoformat() for moment in moments]})
        return
    for moment in moments:
        typer.echo(f"{moment:%a %Y-%m-%d %H:%M:%S %Z (%z)}")
    if not moments:
        typer.echo("There is no fire any more.")


def _span(ms: int) -> str:
    for unit in ("w", "d", "h", "m", "s"):
        if ms and ms % UNITS_MS[unit] == 0:
            return f"{ms // UNITS_MS[unit]}{unit}"
    return f"{ms}ms"
