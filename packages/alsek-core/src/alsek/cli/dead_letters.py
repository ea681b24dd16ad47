"""`alsek dlq`: the dead letters, and how they get another life."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from alsek.cli.connection import AsJson, Namespace, Partitions, Queue, Url, inspector, write_json
from alsek.cli.look import write_messages
from alsek.defaults import DEFAULT_NAMESPACE
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from alsek.tools.inspector import Inspector, MessageInfo

dlq = typer.Typer(
    help="List dead letters, and give them another life.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="""\b
Examples:
  alsek dlq list mail
  alsek dlq replay --uuid 01a20e33-e5d4-7cda-aebb-441508951d5b
  alsek dlq replay mail --reason crash_loop
""",
)

Task = Annotated[str | None, typer.Option(metavar="NAME", show_default=False, help="Only of this task.")]


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
    page = inspector(url, namespace, partitions).messages(queue, "dead", task=task, limit=limit, cursor=cursor)
    if as_json:
        write_json(page)
        return
    write_messages(page.messages, nothing=f"Queue {queue} has no dead letters.")
    if page.cursor is not None:
        typer.echo(f"There are more: --cursor {page.cursor}")


@dlq.command()
def replay(
    queue: Annotated[
        str | None, typer.Argument(metavar="[QUEUE]", show_default=False, help="All dead letters of this queue.")
    ] = None,
    uuid: Annotated[str | None, typer.Option(metavar="UUID", show_default=False, help="Only this message.")] = None,
    task: Task = None,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", show_default=False, help="Only what died of this.")
    ] = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Give dead letters a new life: ready at once, their counts at zero.

    \b
    Examples:
      alsek dlq replay --uuid 01a20e33-e5d4-7cda-aebb-441508951d5b
      alsek dlq replay mail
      alsek dlq replay mail --task send --reason failed
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    if (queue is None) == (uuid is None) or (uuid is not None and (task or reason)):
        raise ValidationError("name a queue (and --task, --reason to choose from it), or one --uuid")
    look = inspector(url, namespace, partitions)
    count = 1
    if uuid is not None:
        look.replay(uuid)
    elif queue is not None:
        count = _replay_all(look, queue, task, reason, show=sys.stderr.isatty() and not as_json)
    if as_json:
        write_json({"replayed": count})
    else:
        typer.echo(f"Replayed {count:,} {'message' if count == 1 else 'messages'}.")


def _replay_all(look: Inspector, queue: str, task: str | None, reason: str | None, *, show: bool) -> int:
    replayed = look.replay_all(queue, task=task, reason=reason)
    if not show:
        return sum(1 for _ in replayed)
    from rich.console import Console
    from rich.progress import track

    dead = look.queue(queue).dead
    followed: list[MessageInfo] = list(
        track(replayed, "replaying", total=dead, console=Console(stderr=True), transient=True)
    )
    return len(followed)
