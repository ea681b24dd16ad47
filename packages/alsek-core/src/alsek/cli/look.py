"""`alsek queues`, `messages`, `show`, `explain`, `revoke`: what stands in the queues, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from alsek.cli.completing import states
from alsek.cli.connection import (
    NARROW,
    AsJson,
    Namespace,
    Partitions,
    Queue,
    Task,
    Url,
    Uuid,
    Watch,
    columns_here,
    fewer,
    inspector,
    make_table,
    moment,
    span,
    write_json,
    write_table,
)
from alsek.cli.watching import answer
from alsek.defaults import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.tools.inspector import Inspector, MessageInfo, Page, QueueInfo


def queues(
    watch: Watch = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Show all queues: what is ready, delayed, running and dead, how long the head of the line waits, and the pace.

    The pace is that of the last five minutes; "drained in" is how long what is ready takes at it.

    \b
    Examples:
      alsek queues
      alsek queues --watch 2
      alsek queues --namespace shop --json | jq '.[] | select(.ready > 1000)'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    nothing = f"No queue has had a message in namespace {namespace} yet."
    wide = columns_here() >= NARROW

    def show(found: Sequence[QueueInfo]) -> Any:
        table = queue_table(found) if wide else fewer(queue_table(found), NARROW_QUEUES)
        return make_table(*table, narrow=not wide) if found else nothing

    answer(look.queues, show, watch, as_json=as_json)


#: What a narrow terminal shows of a queue.
NARROW_QUEUES: Final = ("queue", "ready", "delayed", "running", "dead", "waiting", "out/min", "workers", "remark")


def queue_table(found: Sequence[QueueInfo]) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
    """Give the columns and rows of a table of queues, and which of the columns are numbers."""
    numbers = ("ready", "delayed", "running", "dead", "waiting", "due in", "in/min", "out/min", "drained in", "workers")
    rows: list[tuple[str, ...]] = [
        (q.name, f"{q.ready:,}", f"{q.delayed:,}", f"{q.running:,}", f"{q.dead:,}",
         span(q.waiting_ms) if q.ready else "", span(q.due_in_ms), f"{q.submitted_per_minute:,.0f}",
         f"{q.finished_per_minute:,.0f}", span(q.drain_ms) if q.ready else "", str(q.workers),
         f"paused: {q.paused.reason}".removesuffix(": ") if q.paused else "")
        for q in found
    ]  # fmt: skip
    return ("queue", *numbers, "remark"), rows, numbers


def messages(
    queue: Queue,
    state: Annotated[
        str, typer.Option(metavar="STATE", help="ready, delayed, running or dead.", autocompletion=states)
    ] = "ready",
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
    """List messages of a queue that are in one state: the next to run first, or by due time, or by end of lease.

    \b
    Examples:
      alsek messages mail
      alsek messages mail --state running --task send
      alsek messages mail --state dead --limit 100 --json | jq -r '.messages[].uuid'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    page = look.messages(queue, state, task=task, limit=limit, cursor=cursor)
    write_page(look, page, as_json, queue, task, nothing=f"No message of queue {queue} is {state}{of_task(task)}.")


def show(
    uuid: Uuid,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one message.

    \b
    Examples:
      alsek show 01a20e33-e5d4-7cda-aebb-441508951d5b
      alsek show 01a20e33-e5d4-7cda-aebb-441508951d5b --json | jq .error.text
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    info = inspector(url, namespace, partitions).message(uuid)
    if as_json:
        write_json(info)
        return
    rows = [(name, text) for name, value in _facts(info) if (text := str(value))]
    write_table(("what", "value"), rows)
    steps = [(moment(s.at), s.what, s.worker, s.host, span(s.duration_ms), s.note) for s in info.timeline]
    write_table(("when (UTC)", "what", "worker", "host", "took", "note"), steps, ("took",))


def explain(
    uuid: Uuid,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Say in one sentence why a message does not run now, or that it does.

    \b
    Examples:
      alsek explain 01a20e33-e5d4-7cda-aebb-441508951d5b
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    sentence = inspector(url, namespace, partitions).explain(uuid)
    if as_json:
        write_json({"uuid": uuid, "explanation": sentence})
    else:
        typer.echo(sentence)


def revoke(
    uuid: Uuid,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """End a message: a waiting one never runs, a running one is stopped. It becomes a dead letter.

    \b
    Examples:
      alsek revoke 01a20e33-e5d4-7cda-aebb-441508951d5b
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    before = inspector(url, namespace, partitions).revoke(uuid)
    if as_json:
        write_json({"uuid": uuid, "revoked": True, "was": before.state})
    else:
        typer.echo(f"Revoked {uuid} ({before.task}), which was {before.state}.")


def of_task(task: str | None) -> str:
    """Give the part of a sentence that tells of a chosen task."""
    return f" and of task {task}" if task else ""


def write_page(look: Inspector, page: Page, as_json: bool, queue: str, task: str | None, nothing: str) -> None:
    """Write a page of messages; where there is none, first make sure that what was asked for exists.

    Raises:
        UnknownQueueError: Nobody knows the queue.
        UnknownTaskError: No worker has described the task.
    """
    if not page.messages and page.cursor is None:
        look.check_queue(queue)
        if task is not None:
            look.check_task(task)
    if as_json:
        write_json(page)
        return
    if page.messages or page.cursor is None:
        _write_messages(page.messages, nothing)
    if page.cursor is not None:
        typer.echo(f"There {'are' if page.messages else 'may be'} more: --cursor {page.cursor}")


def _write_messages(found: list[MessageInfo], nothing: str) -> None:
    """Write a table of messages, or the line that says that there are none."""
    if not found:
        typer.echo(nothing)
        return
    rows = [
        (m.uuid, m.task, str(m.priority), str(m.retries), str(m.deliveries), moment(m.created_at), _remark(m))
        for m in found
    ]
    columns = ("uuid", "task", "priority", "retries", "deliveries", "created (UTC)", "remark")
    write_table(columns, rows, ("priority", "retries", "deliveries"))


def _remark(info: MessageInfo) -> str:
    if info.due_at is not None:
        return f"due {moment(info.due_at)}"
    if info.leased_until is not None:
        return f"held by {info.worker} until {moment(info.leased_until)}"
    error = "" if info.error is None else " ".join(f"{info.error.name}: {info.error.text or ''}".split())
    return f"{info.reason}; {error}" if info.reason and error else info.reason or error


def _facts(info: MessageInfo) -> list[tuple[str, Any]]:
    error = info.error
    return [
        ("uuid", info.uuid), ("state", info.state), ("task", info.task), ("queue", info.queue),
        ("args", info.args or ""), ("kwargs", info.kwargs or ""),
        ("priority", info.priority), ("retries", info.retries), ("deliveries", info.deliveries),
        ("fence", info.fence), ("created (UTC)", moment(info.created_at)), ("due (UTC)", moment(info.due_at)),
        ("leased until (UTC)", moment(info.leased_until)), ("worker", info.worker),
        ("progress", info.progress or ""), ("died of", info.reason),
        ("ended (UTC)", moment(info.ended_at)), ("last error", f"{error.name}: {error.text or ''}" if error else ""),
        ("traceback", (error.traceback or "") if error else ""),
    ]  # fmt: skip
