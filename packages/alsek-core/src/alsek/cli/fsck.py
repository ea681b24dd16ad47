"""`alsek fsck`: the audit of what stands in Redis, for people and for monitoring."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from alsek.defaults import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from alsek.storage.backends.redis import RedisBackend
    from alsek.tools.fsck import Report

#: Exit code when something is wrong; 2 is for an audit that could not be made.
FINDINGS = 1


def fsck(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", show_default=False, help="Which Redis. ALSEK_REDIS_URL by default, else the local one."
        ),
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Namespace of the backend.")] = DEFAULT_NAMESPACE,
    partitions: Annotated[int, typer.Option(min=1, metavar="N", help="Partitions of the backend.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object instead of a table.")] = False,
) -> None:
    """Check that what stands in Redis is whole. Changes nothing, and may run beside workers.

    Every message must stand where its record says, and only what has ended may vanish by itself. Ends with 1 when
    something is wrong, and with 2 when Redis cannot be asked.

    \b
    Examples:
      alsek fsck
      alsek fsck --url redis://redis.internal:6379/0 --namespace shop --partitions 4
      alsek fsck --json | jq .findings
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek.storage.backends.redis import RedisBackend

    backend = RedisBackend(url, namespace=namespace, partitions=partitions)
    report = _audit(backend, show=sys.stderr.isatty() and not as_json)
    if as_json:
        typer.echo(_as_json(report))
    else:
        _show(report, namespace)
    raise typer.Exit(0 if report.ok else FINDINGS)


def _audit(backend: RedisBackend, *, show: bool) -> Report:
    from alsek.tools.fsck import audit

    if not show:
        return audit(backend)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    # How much there is to check is known at the end only: the bar pulses.
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("looking around", total=None)

        def tell(report: Report) -> None:
            progress.update(bar, description=f"{_counts(report)}; {len(report.findings)} findings")

        return audit(backend, progress=tell)


def _show(report: Report, namespace: str) -> None:
    typer.echo(f"Checked in namespace {namespace}: {_counts(report) or 'nothing is there'}.")
    if report.newer:
        typer.echo(f"{report.newer:,} messages were written by a newer release, and left unread.")
    if report.ok:
        typer.echo("Everything is whole.")
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(Column("message", no_wrap=True), "what is wrong with it", show_lines=True)
    for finding in report.findings:
        where = Text(f"{finding.uuid}\n{finding.queue}")
        table.add_row(where, Text.assemble((finding.kind, "bold"), f": {finding.text}\n→ {finding.what_to_do}"))
    Console().print(table)
    number = len(report.findings)
    more = "" if report.complete else ", and more: the audit gave up looking"
    typer.echo(f"{number:,} {'finding' if number == 1 else 'findings'}{more}.")


def _counts(report: Report) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.checked.items()) if count)


def _as_json(report: Report) -> str:
    import json
    from dataclasses import asdict

    return json.dumps({"ok": report.ok, **asdict(report)}, indent=2)
