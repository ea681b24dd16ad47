"""A bar that shows people how far something has come, where people watch: on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


def bar_for(name: str, iterables: Sequence[Any], wanted: bool | None) -> ProgressBar | None:
    """Make a bar for as many steps as the shortest of some iterables has; `None` where nobody would see it.

    Args:
        name: What is done.
        iterables: Their lengths are asked for, as far as they have one.
        wanted: `None`: if standard error is a terminal.
    """
    if not (sys.stderr.isatty() if wanted is None else wanted):
        return None
    lengths = [len(one) for one in iterables if hasattr(one, "__len__")]
    return ProgressBar(name, min(lengths, default=None))


class ProgressBar:
    """A bar on standard error; use it in a `with` block.

    Args:
        name: What is done.
        total: Steps there are; `None`: nobody knows.
    """

    def __init__(self, name: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeLeft())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(name, total=total)

    def advance(self, steps: int) -> None:
        """Note steps that are done."""
        self._progress.advance(self._task, steps)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._progress.stop()
