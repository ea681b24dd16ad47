"""The commands that services bring: found by entry point, loaded when they are asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

from alsek.cli.announced import announced
from alsek.exceptions import AlsekError

#: A service announces its commands in this group of entry points: name → function with typer's annotations, or a Typer.
GROUP: Final = "alsek.commands"

#: The distribution of every command that a service of ours brings.
HOMES: Final = {
    "thread-pool": "alsek-worker",
    "process-pool": "alsek-worker",
    "async-pool": "alsek-worker",
    "worker": "alsek-worker",
    "bench": "alsek-worker",
    "scheduler": "alsek-scheduler",
    "api": "alsek-api",
}


class ServiceNotInstalledError(AlsekError):
    """The service of this command is not installed."""


#: Commands of the core that run until they are stopped, as those of services do.
LASTING: Final = ("up", "exporter")


def configurable() -> list[str]:
    """Name the commands whose options can all be set by the environment or a file, installed or not."""
    return [*LASTING, *HOMES, *(name for name in _announced() if name not in HOMES)]


def installed() -> list[str]:
    """Name the commands of the services that are installed, ours in the order of `HOMES`."""
    found = _announced()
    return [*(name for name in HOMES if name in found), *sorted(set(found) - set(HOMES))]


def find(name: str) -> Any:
    """Load the command of a service.

    Returns:
        The function or Typer that it is written as; `None` when nobody knows the name.

    Raises:
        ServiceNotInstalledError: The name is known, its service is not here.
    """
    place = _announced().get(name)
    if place is not None:
        module, _, attribute = place.partition(":")
        return getattr(import_module(module), attribute)
    if name in HOMES:
        raise ServiceNotInstalledError(f"`alsek {name}` comes with {HOMES[name]}: pip install {HOMES[name]}")
    return None


@cache
def _announced() -> dict[str, str]:
    return announced(GROUP)
