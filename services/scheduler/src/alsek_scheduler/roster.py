"""The tasks that this process knows: their triggers, and whether a schedule's task is still there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from alsek.core import record
from alsek.core.hooks import TaskHooks
from alsek.exceptions import AlsekError, UnknownTaskError
from alsek.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek.core.schedules import ScheduleStore
    from alsek.core.schedules.book import Definition

log = get_logger(__name__)


class Roster:
    """Tasks by name; safe for threads.

    Args:
        tasks: What is known from the start.
        package: The package that was searched for them: of its modules every task is known.
    """

    def __init__(self, tasks: Iterable[Any] = (), package: str | None = None) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._package = package
        self._lock = threading.Lock()

    def add(self, task: Any) -> None:
        """Know one more task."""
        with self._lock:
            self._tasks[task.name] = task

    def remove(self, task: Any) -> None:
        """Know a task no longer."""
        with self._lock:
            self._tasks.pop(task.name, None)

    def trigger(self, schedule_id: str) -> Any:
        """Give the trigger of the task that defines a schedule; `None`: it is not known here."""
        return getattr(self._tasks.get(schedule_id), "trigger", None)

    def require(self, definition: Definition) -> None:
        """Refuse a schedule whose task has gone.

        Raises:
            UnknownTaskError: The task was in our package once, and is not any more.
        """
        if self.owns(definition.origin) and definition.task not in self._tasks:
            raise UnknownTaskError(f"there is no task {definition.task} in {self._package} any more")

    def owns(self, origin: str | None) -> bool:
        """Tell whether a module belongs to our package."""
        return self._package is not None and origin is not None and f"{origin}.".startswith(f"{self._package}.")

    def submitted(self, definition: Definition, uuid: str, body: bytes) -> None:
        """Run the task's hook for a message that was submitted, where there is one; a failing one breaks nothing."""
        task = self._tasks.get(definition.task)
        if task is None or type(task).on_submit is TaskHooks.on_submit:
            return
        try:
            serializer = task.broker.backend.serializer
            task.on_submit(
                record.unpack(
                    body, task_name=definition.task, uuid=uuid, priority=definition.priority, serializer=serializer
                )
            )
        except Exception:
            log.exception("hook.failed", hook="on_submit", task=definition.task)

    def scan(self, store: ScheduleStore) -> tuple[int, int]:
        """Bring the schedules that our code defines up to date; gives how many there are, and how many have vanished.

        A schedule of ours whose task, or whose trigger, is no longer in the code is deleted. What cannot be registered
        is told, and the others go on.
        """
        mine = {name: task for name, task in self._tasks.items() if getattr(task, "trigger", None) is not None}
        for name, task in mine.items():
            try:
                task.register(store)
            except AlsekError as error:
                log.error("schedule.refused", schedule=name, reason=str(error))
        gone = [one for one in store if one.owner == "code" and self.owns(one.origin) and one.id not in mine]
        for one in gone:
            store.delete(one.id, one.version)
            log.info("schedule.vanished", schedule=one.id)
        return len(mine), len(gone)
