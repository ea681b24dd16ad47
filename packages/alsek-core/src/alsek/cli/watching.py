"""`--watch`: the same answer again and again, in place where that is a terminal, one below the other elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import typer

from alsek.cli.connection import plain, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def answer(
    look: Callable[[], Sequence[Any]], show: Callable[[Sequence[Any]], Any], seconds: float | None, *, as_json: bool
) -> None:
    """Write an answer once, or until Ctrl-C.

    Args:
        look: Gives the values.
        show: Makes of them what rich can print.
        seconds: Between two looks; `None`: once.
        as_json: Write the values instead; one line for each look when there are several.
    """
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 200)
    if seconds is None:
        found = look()
        if as_json:
            write_json(found)
        else:
            console.print(show(found))
        return
    try:
        if as_json:
            import json

            while True:
                typer.echo(json.dumps(plain(look()), default=str))
                time.sleep(seconds)
        elif console.is_terminal:
            _in_place(console, look, show, seconds)
        else:
            while True:
                console.print(show(look()))
                time.sleep(seconds)
    except KeyboardInterrupt:
        return


def _in_place(
    console: Any, look: Callable[[], Sequence[Any]], show: Callable[[Sequence[Any]], Any], seconds: float
) -> None:
    from rich.live import Live

    with Live(show(look()), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(seconds)
            live.update(show(look()), refresh=True)
