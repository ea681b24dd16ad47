"""Finding the tasks of a package, the way a worker does when it starts."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from alsek.exceptions import NoTasksFoundError, TaskImportError, TaskNameCollisionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.core.task import Task


def collect_tasks(module: str | ModuleType) -> tuple[Task, ...]:
    """Import a module, and if it is a package everything below it, and return the tasks found there.

    The current folder is searched as well. Modules named `__main__` are programs, and are left alone.

    Args:
        module: A module, or its dotted name.

    Returns:
        The tasks in the order in which they were found, each once.

    Raises:
        TypeError: Neither a module nor a text.
        TaskImportError: A module could not be imported.
        TaskNameCollisionError: Two different tasks share a name, their own or that of their variable.
        NoTasksFoundError: There is none.
    """
    if not isinstance(module, str | ModuleType):
        raise TypeError(f"collect_tasks() takes a module or its name, not {type(module).__name__}")
    from alsek.core.task import Task

    by_variable: dict[str, Task] = {}
    by_name: dict[str, Task] = {}
    for found in _modules(_load(module) if isinstance(module, str) else module):
        for variable, value in list(vars(found).items()):
            if isinstance(value, Task):
                where = f"'{variable}' in module '{found.__name__}'"
                _claim_name(by_variable, variable, value, f"variable {where}")
                _claim_name(by_name, value.name, value, f"task {where}")
    if not by_name:
        name = module if isinstance(module, str) else module.__name__
        raise NoTasksFoundError(f"No tasks were found in '{name}': it needs functions decorated with @task(broker)")
    return tuple(by_name.values())


def _modules(root: ModuleType) -> Iterator[ModuleType]:
    yield root
    for entry in pkgutil.iter_modules(getattr(root, "__path__", [])):
        if entry.name != "__main__":
            yield from _modules(_load(f"{root.__name__}.{entry.name}"))


def _load(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    if name.endswith(".py") or "/" in name:
        suggestion = ".".join(Path(name).with_suffix("").parts).strip("./")
        raise TaskImportError(f"'{name}' is a file: pass the name of the module, '{suggestion}'", module=name)
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        # A missing module may be the one asked for, or one that it imports itself.
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            reason = f"there is no module '{error.name}' in {here} or elsewhere on sys.path"
        raise TaskImportError(f"Could not import '{name}': {reason}", module=name) from error


def _claim_name(owners: dict[str, Task], name: str, task: Task, what: str) -> None:
    owner = owners.setdefault(name, task)
    if owner is not task:
        raise TaskNameCollisionError(
            f"Two different tasks are named '{name}': the second is the {what}. Rename one (or pass name=…)", name=name
        )
