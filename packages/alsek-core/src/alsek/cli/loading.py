"""From the function or Typer that a command is written as to what runs, made when it is asked for and not before."""

from __future__ import annotations

import inspect
from typing import Any

import typer


def made(loaded: Any, name: str) -> Any:
    """Make a command of a function with typer's annotations, or a group of commands of a Typer.

    Args:
        loaded: The function or Typer.
        name: As it is typed.
    """
    if isinstance(loaded, typer.Typer):
        group = typer.main.get_group(loaded)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name=name)(loaded)
    return typer.main.get_command(alone)


def summary(loaded: Any) -> str:
    """Give the first sentence of what a command says of itself, without making the command."""
    text = loaded.info.help if isinstance(loaded, typer.Typer) else inspect.getdoc(loaded)
    paragraph = " ".join((text or "").partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].removesuffix(".") + "." * bool(paragraph)
