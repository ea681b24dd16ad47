"""What every command that looks into Redis is told: which Redis, which namespace, and for whom the answer is."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alsek.cli.completing import queue_names, task_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from alsek.tools.inspector import Inspector

Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL", show_default=False, help="Which Redis. ALSEK_REDIS_URL by default, else the local one."
    ),
]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="Namespace of the backend.")]
Partitions = Annotated[int, typer.Option(min=1, metavar="N", help="Partitions of the backend.")]
Uuid = Annotated[str, typer.Argument(metavar="UUID", help="Id of the message.")]
Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.", autocompletion=queue_names)]
Task = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default=False, help="Only of this task.", autocompletion=task_names),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]
Watch = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="SECONDS", show_default=False, help="Look again so often, until Ctrl-C."),
]


def inspector(url: str | None, namespace: str, partitions: int) -> Inspector:
    """Give an inspector of a namespace."""
    from alsek.core.broker import Broker
    from alsek.storage.backends.redis import RedisBackend
    from alsek.tools.inspector import Inspector

    return Inspector(Broker(RedisBackend(url, namespace=namespace, partitions=partitions)))


def confirm_deletion(what: str, *, as_json: bool) -> None:
    """Ask whether something is to be deleted; ends the command if not.

    Args:
        what: Named in the question.
        as_json: A program reads the answer, and cannot be asked.

    Raises:
        ValidationError: Nobody can be asked here.
    """
    from alsek.exceptions import ValidationError

    if as_json or not sys.stdin.isatty():
        raise ValidationError(f"this deletes {what} for good: say --yes where nobody can be asked")
    typer.confirm(f"Delete {what} for good?", abort=True)


def write_json(value: Any) -> None:
    """Write one JSON value; a dataclass or a named tuple as an object."""
    import json

    typer.echo(json.dumps(plain(value), indent=2, default=str))


def plain(value: Any) -> Any:
    """Give a value without classes: dataclasses and named tuples by the names of their fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if hasattr(value, "_asdict"):
        return {name: plain(one) for name, one in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value


#: Terminals that have fewer columns get narrower tables.
NARROW = 130

#: Columns of what is no terminal, such as a container's log: so many that no finding is folded.
PIPED = 2_000


def make_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[str] = (),
    *,
    narrow: bool = False,
    cut: bool = False,
) -> Table:
    """Make a table.

    Args:
        columns: Their headings.
        rows: Of cells.
        numbers: The columns that stand to the right.
        narrow: Without frames.
        cut: A row is one line, whatever does not fit into it.
    """
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    how: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"} if cut else {"overflow": "fold"}
    heads = [Column(c, justify="right", no_wrap=True) if c in numbers else Column(c, **how) for c in columns]
    style = box.SIMPLE_HEAD if narrow else box.HEAVY_HEAD
    table = Table(*heads, box=style, padding=(0, 1, 0, 0) if narrow else (0, 1), pad_edge=not narrow)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])  # what users wrote is no markup
    return table


def columns_here() -> int:
    """Give how many columns the output has; whoever reads through a pipe gets whole lines."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else PIPED


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Write a table; the columns named in `numbers` stand to the right."""
    from rich.console import Console

    Console(width=columns_here()).print(make_table(columns, rows, numbers, narrow=columns_here() < NARROW))


def fewer(
    table: tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]], kept: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
    """Leave out all columns of a table but some."""
    columns, rows, numbers = table
    where = [i for i, column in enumerate(columns) if column in kept]
    return tuple(columns[i] for i in where), [tuple(row[i] for i in where) for row in rows], numbers


def span(ms: float | None) -> str:
    """Give a time for people."""
    if ms is None:
        return ""
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"


def moment(ms: int | None) -> str:
    """Give a moment (ms since the epoch) for people, in UTC."""
    from datetime import UTC, datetime

    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
