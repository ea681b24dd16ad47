"""`alsek workers`, `alsek tasks`: who works here, and what can be asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alsek.cli.connection import AsJson, Namespace, Partitions, Url, inspector, span, write_json, write_table
from alsek.defaults import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from alsek.tools.inspector import TaskInfo, WorkerInfo


def workers(
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Show the workers that live: where they run, what they listen to, and what they run since when.

    A worker speaks every third of a lease; one that was killed is shown for two leases more.

    \b
    Examples:
      alsek workers
      alsek workers --json | jq -r '.[] | select(.busy == .slots) | .host'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    found = look.workers()
    if as_json:
        write_json(found)
    elif not found:
        typer.echo(f"No worker lives in namespace {namespace}.")
    else:
        columns, rows = worker_table(found, look.now_ms())
        write_table(columns, rows, ("pid", "busy", "up", "beat"))


def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="[TASK]", show_default=False, help="Only this one, with its parameters.")
    ] = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Show the tasks that workers have described in the last seven days, or all that is known of one.

    \b
    Examples:
      alsek tasks
      alsek tasks send_mail
      alsek tasks send_mail --json | jq .parameters
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    found = [look.task(name)] if name is not None else look.tasks()
    if as_json:
        write_json(found[0] if name is not None else found)
    elif name is not None:
        write_table(("what", "value"), _facts(found[0]))
    elif not found:
        typer.echo(f"No worker has described a task in namespace {namespace}.")
    else:
        rows = [
            (t.name, t.queue, t.mechanism, span(t.timeout), _retries(t), str(t.workers), _first_line(t.doc))
            for t in found
        ]
        columns = ("task", "queue", "mechanism", "timeout", "retries", "workers", "what it does")
        write_table(columns, rows, ("timeout", "retries", "workers"))


def worker_table(found: list[WorkerInfo], now_ms: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Give the columns and rows of a table of workers."""
    columns = ("worker", "host", "pid", "state", "queues", "busy", "up", "beat", "runs", "version")
    rows: list[tuple[str, ...]] = [
        (w.id, w.host, str(w.pid), w.state, ", ".join(w.queues), f"{w.busy}/{w.slots}",
         span(now_ms - w.started), span(now_ms - w.last_beat), _runs(w, now_ms), w.version)
        for w in found
    ]  # fmt: skip
    return columns, rows


def _runs(worker: WorkerInfo, now_ms: int) -> str:
    shown = [f"{one.task or one.uuid} {span(now_ms - one.since)}" for one in worker.running[:3]]
    more = worker.busy - len(shown)
    return ", ".join(shown) + (f" and {more} more" if shown and more > 0 else "")


def _facts(info: TaskInfo) -> list[tuple[str, str]]:
    import json

    return [
        ("task", info.name), ("queue", info.queue), ("mechanism", info.mechanism), ("timeout", span(info.timeout)),
        ("retries", _retries(info)), ("keeps results", "yes" if info.keeps_results else "no"),
        ("workers", str(info.workers)), ("what it does", info.doc),
        ("parameters", json.dumps(info.parameters, indent=2)),
    ]  # fmt: skip


def _retries(info: TaskInfo) -> str:
    return "no limit" if info.max_retries is None else str(max(0, info.max_retries))


def _first_line(doc: str) -> str:
    return doc.strip().partition("\n")[0]
