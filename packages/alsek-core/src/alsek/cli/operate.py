"""`alsek pause`, `resume`, `reprioritize`, `run-now`: what is done to queues and to messages that wait."""

from __future__ import annotations

from typing import Annotated

import typer

from alsek.cli.connection import AsJson, Namespace, Partitions, Queue, Url, Uuid, inspector, moment, write_json
from alsek.defaults import DEFAULT_NAMESPACE


def pause(
    queue: Queue,
    reason: Annotated[str, typer.Option(metavar="TEXT", show_default=False, help="For those who wonder.")] = "",
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Have a queue give nothing: new messages are accepted, what runs goes on, the rest waits for `alsek resume`.

    \b
    Examples:
      alsek pause mail --reason "the mail server is down"
      alsek pause mail --json
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    done = inspector(url, namespace, partitions).pause(queue, reason, by=who())
    if as_json:
        write_json({"queue": queue, "reason": done.reason, "since": done.since, "by": done.by})
    else:
        typer.echo(f"Paused {queue}. `alsek resume {queue}` lets it go on.")


def resume(
    queue: Queue,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Let a paused queue go on; idle workers start at once.

    \b
    Examples:
      alsek resume mail
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    before = inspector(url, namespace, partitions).resume(queue)
    if as_json:
        write_json({"queue": queue, "reason": before.reason, "since": before.since, "by": before.by})
    else:
        typer.echo(f"Resumed {queue}, paused since {moment(before.since)} UTC.")


def reprioritize(
    uuid: Uuid,
    priority: Annotated[int, typer.Argument(metavar="PRIORITY", help="0 (most urgent) to 4095.")],
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Give a waiting message another priority; lower runs sooner.

    \b
    Examples:
      alsek reprioritize 01a20e33-e5d4-7cda-aebb-441508951d5b 0
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    before = inspector(url, namespace, partitions).reprioritize(uuid, priority)
    if as_json:
        write_json({"uuid": uuid, "priority": priority, "was": before.priority})
    else:
        typer.echo(f"{uuid} ({before.task}) has priority {priority}; it was {before.priority}.")


def run_now(
    uuid: Uuid,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Make a delayed message ready, or a retry that waits for its backoff.

    \b
    Examples:
      alsek run-now 01a20e33-e5d4-7cda-aebb-441508951d5b
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    before = inspector(url, namespace, partitions).run_now(uuid)
    if as_json:
        write_json({"uuid": uuid, "ready": True, "was_due_at": before.due_at})
    else:
        typer.echo(f"{uuid} ({before.task}) is ready; it was due {moment(before.due_at)} UTC.")


def who() -> str:
    """Name who types here."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without names for its users
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
