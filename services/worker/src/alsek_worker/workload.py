"""What a pool works on: the tasks of a package, by name, and the broker they share.

The supervisor loads it first, so that every mistake in it is told once, early and in one
line; then each child loads it again, by name, so that nothing has to be pickled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from multiprocessing import spawn
from typing import TYPE_CHECKING, Any

from alsek.core.discovery import collect_tasks
from alsek.core.rules import check_name
from alsek.exceptions import MultipleBrokersError, NoTasksFoundError, TaskNameCollisionError, ValidationError

if TYPE_CHECKING:
    from types import ModuleType

    from alsek.core.broker import Broker
    from alsek.core.task import Task
    from alsek.types import SupportedMechanismType

#: Queues in order of preference; for each the task names wanted, none for all.
Subset = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """Where tasks come from, in a form that reaches a child.

    Attributes:
        modules: Imported in this order.
        names: The task names wanted; `None`: all.
        main_path: The file that is `__main__`, if tasks are defined there.
    """

    modules: tuple[str, ...]
    names: tuple[str, ...] | None = None
    main_path: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """Tasks by name, and their broker."""

    tasks: dict[str, Task]
    broker: Broker

    def of(self, kind: SupportedMechanismType) -> Workload:
        """The part that runs by one mechanism.

        Raises:
            NoTasksFoundError: There is none.
        """
        tasks = {name: task for name, task in self.tasks.items() if task.mechanism == kind}
        if not tasks:
            raise NoTasksFoundError(
                f"No task runs by mechanism {kind!r}: {', '.join(sorted(self.tasks))} run by "
                f"{', '.join(sorted({task.mechanism for task in self.tasks.values()}))}"
            )
        return Workload(tasks, self.broker)

    @property
    def kinds(self) -> list[SupportedMechanismType]:
        """The mechanisms in use."""
        return sorted({task.mechanism for task in self.tasks.values()})


def load(source: Source) -> Workload:
    """Import tasks.

    Raises:
        TaskImportError: A module cannot be imported.
        NoTasksFoundError: There are none, or some that were there in the supervisor are not here.
        TaskNameCollisionError: Two tasks have one name.
        MultipleBrokersError: They do not share a broker.
    """
    if source.main_path is not None:
        spawn.import_main_path(source.main_path)
    found: list[Task] = []
    for name in source.modules:
        found += collect_tasks(sys.modules["__main__"] if name == "__main__" else name)
    workload = of_tasks(found)
    if source.names is None:
        return workload
    missing = sorted(set(source.names) - set(workload.tasks))
    if missing:
        raise NoTasksFoundError(f"{', '.join(source.modules)} did not define {', '.join(missing)} when imported again")
    return Workload({name: workload.tasks[name] for name in source.names}, workload.broker)


def of_tasks(tasks: Iterable[Task]) -> Workload:
    """Check tasks that are at hand.

    Raises:
        NoTasksFoundError, TaskNameCollisionError, MultipleBrokersError: As in `load`.
    """
    found = by_name(tasks)
    if not found:
        raise NoTasksFoundError("No tasks were found: decorate a function with @task(broker)")
    brokers = {id(task.broker): task.broker for task in found.values()}
    if len(brokers) > 1:
        one, two = (next(t for t in found.values() if id(t.broker) == broker) for broker in list(brokers)[:2])
        raise MultipleBrokersError(
            f"The tasks {one.name!r} and {two.name!r} use different brokers; one pool works for one broker"
        )
    return Workload(found, next(iter(brokers.values())))


def by_name(tasks: Iterable[Task]) -> dict[str, Task]:
    """Give tasks by their names.

    Raises:
        TaskNameCollisionError: Two have one name.
    """
    named: dict[str, Task] = {}
    for task in tasks:
        other = named.setdefault(task.name, task)
        if other is not task:
            raise TaskNameCollisionError(
                f"Two tasks are named {task.name!r}: {_place(other)} and {_place(task)}; give one of them a name=",
                name=task.name,
            )
    return named


def source_of(tasks: Mapping[str, Task]) -> Source:
    """Say how a child finds tasks that somebody handed over as objects.

    Raises:
        ValidationError: A task cannot be found by importing the module it was written in.
    """
    modules = tuple(dict.fromkeys(_module(task) for task in tasks.values()))
    main_path: str | None = None
    for name in modules:
        module: ModuleType | None = sys.modules.get(name)
        at_hand = {id(value) for value in vars(module).values()} if module is not None else set()
        lost = [task.name for task in tasks.values() if _module(task) == name and id(task) not in at_hand]
        if lost:
            raise ValidationError(
                f"Worker processes import tasks by name, and {', '.join(lost)} cannot be found in {name!r}: "
                "define them at the top level of a module, or pass package_name="
            )
        if name == "__main__":
            main_path = getattr(module, "__file__", None)
            if main_path is None:
                raise ValidationError("Worker processes cannot import what was typed in: put the tasks into a file")
    return Source(modules, tuple(tasks), main_path)


def subset(
    everything: Mapping[str, Task], mine: Mapping[str, Task], queues: Iterable[str] | None, task_specific: bool
) -> dict[str, tuple[str, ...]]:
    """Say what a pool of one mechanism claims.

    A queue that tasks of another mechanism share is narrowed to our own tasks, and one that
    is theirs alone is left out, so that no message reaches a pool that cannot run it.

    Args:
        everything: All tasks of the package.
        mine: Those of the pool.
        queues: What the operator chose, in order of preference; `None`: the queues of the tasks, by name.
        task_specific: Narrow every queue.

    Raises:
        ValidationError: A queue is named twice, or by what is no name.
        NoTasksFoundError: Nothing is left to claim.
    """
    chosen = sorted({task.queue for task in mine.values()}) if queues is None else list(queues)
    for queue in chosen:
        check_name(queue, "queue")
    if len(set(chosen)) != len(chosen):
        raise ValidationError(f"a queue is named twice: {', '.join(chosen)}")
    foreign = {task.queue for name, task in everything.items() if name not in mine}
    wanted: dict[str, tuple[str, ...]] = {}
    for queue in chosen:
        names = tuple(sorted(name for name, task in mine.items() if task.queue == queue))
        if not names and (task_specific or queue in foreign):
            continue
        wanted[queue] = names if names and (task_specific or queue in foreign) else ()
    if not wanted:
        raise NoTasksFoundError(f"None of the tasks belongs to {', '.join(chosen) or 'any queue'}")
    return wanted


def _module(task: Task) -> str:
    return str(getattr(task.function, "__module__", "__main__"))


def _place(task: Task) -> str:
    function: Any = task.function
    return f"{_module(task)}.{getattr(function, '__qualname__', function)}"
