"""`alsek dlq`: the dead letters, and how they get another life, or none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from alsek.cli.completing import queue_names, reasons
from alsek.cli.connection import (
    AsJson,
    Namespace,
    Partitions,
    Queue,
    Task,
    Url,
    Yes,
    confirm_deletion,
    inspector,
    write_json,
)
from alsek.cli.look import write_page
from alsek.defaults import DEFAULT_NAMESPACE
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek.tools.inspector import Inspector, MessageInfo

dlq = typer.Typer(
    help="List dead letters, give them another life, or delete them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="""\b
Examples:
  alsek dlq list mail
  alsek dlq replay 01a20e33-e5d4-7cda-aebb-441508951d5b
  alsek dlq replay mail --reason crash_loop
  alsek dlq purge mail --reason expired
""",
)

AllOf = Annotated[
    str | None,
    typer.Argument(
        metavar="QUEUE|UUID",
        show_default=False,
        help="All dead letters of this queue; or only the message with this id.",
        autocompletion=queue_names,
    ),
]
One = Annotated[str | None, typer.Option("--uuid", metavar="UUID", show_default=False, help="Only this message.")]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason", metavar="REASON", show_default=False, help="Only what died of this.", autocompletion=reasons
    ),
]


@dlq.command("list")
def list_(
    queue: Queue,
    task: Task = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Most messages, up to 500.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", show_default=False, help="Go on where the last page ended.")
    ] = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """List the dead letters of a queue, with the reason and the last error.

    \b
    Examples:
      alsek dlq list mail
      alsek dlq list mail --task send --limit 100 --json
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    page = look.messages(queue, "dead", task=task, limit=limit, cursor=cursor)
    write_page(look, page, as_json, queue, task, nothing=f"Queue {queue} has no dead letters{_of(task)}.")


@dlq.command()
def replay(
    queue: AllOf = None,
    uuid: One = None,
    task: Task = None,
    reason: Reason = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Give dead letters a new life: ready at once, their counts at zero.

    \b
    Examples:
      alsek dlq replay 01a20e33-e5d4-7cda-aebb-441508951d5b
      alsek dlq replay mail
      alsek dlq replay mail --task send --reason failed
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    queue, uuid = _choice(look, queue, uuid, task, reason)
    count = 1
    if uuid is not None:
        look.replay(uuid)
    elif queue is not None:
        done = look.replay_all(queue, task=task, reason=reason)
        count = _follow(look, queue, task, done, "replaying", quiet=as_json)
    if as_json:
        write_json({"replayed": count})
    else:
        typer.echo(f"Replayed {count:,} {'message' if count == 1 else 'messages'}.")


@dlq.command()
def purge(
    queue: AllOf = None,
    uuid: One = None,
    task: Task = None,
    reason: Reason = None,
    yes: Yes = False,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters for good. Asks first; where nobody can answer, only --yes will do.

    \b
    Examples:
      alsek dlq purge 01a20e33-e5d4-7cda-aebb-441508951d5b
      alsek dlq purge mail --task send --reason expired
      alsek dlq purge mail --yes --json
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    queue, uuid = _choice(look, queue, uuid, task, reason)
    doomed = look.purge_all(queue, task=task, reason=reason) if queue is not None else None
    if not yes:
        what = f"dead letter {uuid}" if queue is None else _described(look, queue, task, reason)
        confirm_deletion(what, as_json=as_json)
    count = 1
    if uuid is not None:
        look.purge(uuid)
    elif queue is not None and doomed is not None:
        count = _follow(look, queue, task, doomed, "purging", quiet=as_json)
    if as_json:
        write_json({"purged": count})
    else:
        typer.echo(f"Purged {count:,} {'message' if count == 1 else 'messages'}.")


def _of(task: str | None) -> str:
    return f" of task {task}" if task else ""


def _choice(
    look: Inspector, queue: str | None, uuid: str | None, task: str | None, reason: str | None
) -> tuple[str | None, str | None]:
    """Give the queue that is meant, or the one message.

    Raises:
        ValidationError: Both or none of them.
    """
    if (queue is None) == (uuid is None) or (uuid is not None and (task or reason)):
        raise ValidationError("name a queue (and --task, --reason to choose from it), or one uuid")
    if queue is None or task or reason or not _is_uuid(queue) or queue in look.broker.redis.queue_names():
        return queue, uuid
    return None, queue


def _is_uuid(text: str) -> bool:
    from uuid import UUID

    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _described(look: Inspector, queue: str, task: str | None, reason: str | None) -> str:
    dead = look.queue(queue).dead
    chosen = [f"of task {task}"] * bool(task) + [f"that died of {reason}"] * bool(reason)
    if not chosen:
        return f"all {dead:,} dead letters of queue {queue}" if dead != 1 else f"the dead letter of queue {queue}"
    return f"those of the {dead:,} dead letters of queue {queue} that are {' and '.join(chosen)}".replace(
        "that are that", "that"
    )


def _follow(
    look: Inspector, queue: str, task: str | None, done: Iterable[MessageInfo], verb: str, *, quiet: bool
) -> int:
    """Count what is done, with a progress bar where somebody watches; if nothing is, the task has to exist at least.

    Raises:
        UnknownTaskError: No worker has described it.
    """
    if not quiet and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        total = look.queue(queue).dead
        done = track(done, verb, total=total, console=Console(stderr=True), transient=True)
    count = sum(1 for _ in done)
    if count == 0 and task is not None:
        look.check_task(task)
    return count
