"""`alsek workers`, `alsek tasks`: who works here, and what can be asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from alsek.cli.completing import task_names
from alsek.cli.connection import (
    NARROW,
    AsJson,
    Namespace,
    Partitions,
    Url,
    Watch,
    columns_here,
    fewer,
    inspector,
    make_table,
    span,
    write_json,
    write_table,
)
from alsek.cli.watching import answer
from alsek.defaults import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.tools.inspector import TaskInfo, WorkerInfo


def workers(
    watch: Watch = None,
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
      alsek workers --watch 2
      alsek workers --json | jq -r '.[] | select(.busy == .slots) | .host'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    nothing = f"No worker lives in namespace {namespace}."

    wide = columns_here() >= NARROW

    def show(found: Sequence[WorkerInfo]) -> Any:
        table = worker_table(found, look.now_ms())
        return make_table(*(table if wide else fewer(table, NARROW_WORKERS)), narrow=not wide) if found else nothing

    answer(look.workers, show, watch, as_json=as_json)


def tasks(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK]",
            show_default=False,
            help="Only this one, with its parameters.",
            autocompletion=task_names,
        ),
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


#: What a narrow terminal shows of a worker.
NARROW_WORKERS: Final = ("host", "pid", "state", "queues", "busy", "beat", "runs")


def worker_table(
    found: Sequence[WorkerInfo], now_ms: int
) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
    """Give the columns and rows of a table of workers, and which of the columns are numbers."""
    columns = ("worker", "host", "pid", "state", "queues", "busy", "up", "beat", "runs", "version")
    rows: list[tuple[str, ...]] = [
        (w.id, w.host, str(w.pid), w.state, ", ".join(w.queues), f"{w.busy}/{w.slots}",
         span(now_ms - w.started), span(now_ms - w.last_beat), _runs(w, now_ms), w.version)
        for w in found
    ]  # fmt: skip
    return columns, rows, ("pid", "busy", "up", "beat")


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
