"""The command `alsek bench`; imports nothing heavy before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from alsek.cli.connection import AsJson, Partitions, Url  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from alsek_worker.bench.measuring import Step
    from alsek_worker.bench.run import Outcome, Wish

#: Exit codes: something was lost or ran twice, or the worker got stuck; the user ended it.
FAILED = 1
STOPPED = 130


def bench(
    messages: Annotated[
        int, typer.Option(min=100, max=5_000_000, metavar="N", help="Messages that are submitted and drained.")
    ] = 10_000,
    payload: Annotated[
        int, typer.Option(min=0, max=1_000_000, metavar="BYTES", help="Size of an argument sent with each of them.")
    ] = 0,
    samples: Annotated[
        int, typer.Option(min=10, max=100_000, metavar="N", help="Messages timed one by one, for each of both times.")
    ] = 200,
    mechanism: Annotated[
        Literal["thread", "process", "async"], typer.Option(help="How the worker runs its tasks.")
    ] = "thread",
    n_processes: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Processes of the worker.")] = 1,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, metavar="N", show_default=False,
            help="Threads or coroutines of each process. What the pool takes by default.",
        ),
    ] = None,
    url: Url = None,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure submit, drain, latency and round trip on this machine and this Redis.

    Starts a real worker here whose tasks do nothing, counts each run exactly, and works in a namespace of its own that
    is deleted afterwards, also after Ctrl-C. The Redis is kept busy for some seconds: mind that on one that others use.

    Ends with 0; with 1 when a message was lost or ran twice, or the worker got stuck; with 2 when it could not begin.

    \b
    Examples:
      alsek bench
      alsek bench --messages 100000 --n-processes 4
      alsek bench --mechanism async --payload 2000 --url redis://redis.internal:6379/0
      alsek bench --json | jq '.steps[] | {name, per_second, p50_ms}'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek_worker.bench.measuring import StuckError
    from alsek_worker.bench.run import Wish, measure

    wish = Wish(messages, payload, samples, mechanism, n_processes, concurrency, url, partitions)
    try:
        outcome = measure(wish, tell=lambda line: typer.echo(line, err=True), as_json=as_json)
    except StuckError as error:
        typer.echo(f"alsek: {error}", err=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt:
        typer.echo("alsek: stopped; what was measured is deleted", err=True)
        raise typer.Exit(STOPPED) from None
    if as_json:
        from alsek.cli.connection import write_json

        write_json(outcome.plain())
    else:
        _show(wish, outcome)
    raise typer.Exit(0 if outcome.exact else FAILED)


def _show(wish: Wish, outcome: Outcome) -> None:
    from alsek.cli.connection import write_table

    slots = f" of {wish.concurrency}" * (wish.concurrency is not None)
    typer.echo(
        f"{outcome.engine}, {outcome.ping_ms:.2f} ms away; Alsek {outcome.version}, Python {outcome.python}, "
        f"{outcome.cpus} CPUs; one {wish.mechanism} pool, {wish.n_processes} processes{slots}"
    )
    columns = ("what", "messages", "seconds", "per second", "p50 ms", "p95 ms", "p99 ms", "longest ms", "exact")
    write_table(columns, [_row(step) for step in outcome.steps], columns[1:8])
    typer.echo(f"Deleted the namespace: {outcome.deleted_keys:,} keys.")


def _title(name: str) -> str:
    from alsek_worker.bench.measuring import BULK

    return {
        "submit_single": "submit, one by one",
        "submit_bulk": f"submit, {BULK:,} in a call",
        "drain": "drain",
        "latency": "submit to start, idle worker",
        "round_trip": "submit to result, one by one",
    }[name]


def _row(step: Step) -> tuple[str, ...]:
    times: list[Any] = [step.p50_ms, step.p95_ms, step.p99_ms, step.max_ms]
    exact = "yes" if step.exact else f"{step.lost:,} lost, {step.repeated:,} repeated"
    return (
        _title(step.name), f"{step.messages:,}", f"{step.seconds:.2f}", f"{step.per_second:,.0f}",
        *("" if one is None else f"{one:.2f}" for one in times), exact,
    )  # fmt: skip
