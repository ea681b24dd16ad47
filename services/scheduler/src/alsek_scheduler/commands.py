"""The command that this service adds to `alsek`; imports nothing heavy before it runs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from alsek.cli.connection import Namespace, Partitions, Url  # noqa: TC001 - typer reads the annotations
from alsek.defaults import DEFAULT_NAMESPACE


def scheduler(
    package: Annotated[
        str | None,
        typer.Argument(
            metavar="[PACKAGE]",
            show_default=False,
            help="Module or package whose triggers become schedules. Without one, those that are stored are fired.",
        ),
    ] = None,
    leader_lease: Annotated[
        float,
        typer.Option(min=0.5, metavar="SECONDS", help="How long nothing may be fired after the leader was killed."),
    ] = 10,
    metrics_port: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT", show_default=False, help="Serve /livez, /readyz, /startupz and /metrics there."
        ),
    ] = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR or CRITICAL.")] = "INFO",
    log_format: Annotated[
        Literal["console", "json"], typer.Option(help="Lines for people, or for machines.")
    ] = "console",
) -> None:
    """Fire schedules: any number of schedulers may run, one leads, each due fire becomes exactly one message.

    With PACKAGE its broker is used; otherwise the one of --url, --namespace and --partitions. SIGTERM hands the lead
    over at once.

    Exit codes: 0 after a signal; 2 when it could not begin, for instance because Redis does not answer.

    \b
    Examples:
      alsek scheduler my_app
      alsek scheduler my_app --leader-lease 5 --metrics-port 9102
      alsek scheduler --url redis://redis.internal:6379/0
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek_scheduler.running import Plan, run

    run(Plan(package, leader_lease, metrics_port, url, namespace, partitions, log_level, log_format))
