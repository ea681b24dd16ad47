"""What every command that looks into Redis is told: which Redis, which namespace, and for whom the answer is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]


def inspector(url: str | None, namespace: str, partitions: int) -> Inspector:
    """Give an inspector of a namespace."""
    from alsek.core.broker import Broker
    from alsek.storage.backends.redis import RedisBackend
    from alsek.tools.inspector import Inspector

    return Inspector(Broker(RedisBackend(url, namespace=namespace, partitions=partitions)))


def write_json(value: Any) -> None:
    """Write one JSON value; a dataclass as an object, several as a list."""
    plain = [asdict(one) for one in value] if isinstance(value, list) else value
    typer.echo(json.dumps(plain if isinstance(plain, list | dict) else asdict(plain), indent=2, default=str))


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Write a table; the columns named in `numbers` stand to the right."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*[Column(c, justify="right" if c in numbers else "left", overflow="fold") for c in columns])
    for row in rows:
        table.add_row(*row)
    # Whoever reads through a pipe gets whole lines.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


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
