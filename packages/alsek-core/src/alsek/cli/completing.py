"""What a shell offers besides commands and options: names of queues and tasks, asked of Redis for a moment at most."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import typer  # noqa: TC002 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.tools.inspector import Inspector

#: Who pressed a key waits no longer for names, seconds; without them the shell offers nothing.
PATIENCE_S: Final = 2.0

#: More names than this help nobody.
MOST: Final = 200


def queue_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Give the queues that a word may become."""
    return _asked(ctx, incomplete, lambda look: look.broker.redis.queue_names())


def task_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Give the tasks that a word may become, as far as workers have described them."""
    return _asked(ctx, incomplete, lambda look: {task.name for task in look.tasks()})


def states(incomplete: str) -> list[str]:
    """Give the states that a word may become."""
    from alsek.tools.inspector import STATES

    return [state for state in STATES if state.startswith(incomplete)]


def reasons(incomplete: str) -> list[str]:
    """Give the reasons of deaths that a word may become."""
    from alsek.tools.explanation import REASONS

    return [reason for reason in REASONS if reason.startswith(incomplete)]


def _asked(ctx: typer.Context, incomplete: str, names: Callable[[Inspector], set[str]]) -> list[str]:
    from alsek.exceptions import AlsekError

    found: set[str] = set()
    try:
        look = _inspector(ctx)
    except AlsekError:
        return []  # a shell that completes has no place for complaints; the command itself will tell

    def ask() -> None:
        with suppress(AlsekError):
            found.update(names(look))

    # A Redis that is out of reach keeps whoever asks it waiting: the thread is left behind then.
    asking = threading.Thread(target=ask, name="ask-names", daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return sorted(name for name in tuple(found) if name.startswith(incomplete))[:MOST]


def _inspector(ctx: typer.Context) -> Inspector:
    from alsek.cli.connection import inspector
    from alsek.settings import load

    settings = load()

    def chosen(option: str, otherwise: Any) -> Any:
        source = ctx.get_parameter_source(option)
        typed = source is not None and source.name == "COMMANDLINE"
        return ctx.params.get(option, otherwise) if typed else otherwise

    return inspector(
        chosen("url", settings.redis_url),
        chosen("namespace", settings.namespace),
        chosen("partitions", settings.partitions),
    )
