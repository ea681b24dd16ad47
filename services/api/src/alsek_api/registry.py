"""What the workers published of their tasks, as the service knows it: a copy that is seconds old."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry as References
from referencing.exceptions import Unresolvable
from starlette.concurrency import run_in_threadpool

from alsek.exceptions import BackendError
from alsek.logging import get_logger
from alsek_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alsek.tools.facts import TaskInfo
    from alsek.tools.inspector import Inspector

log = get_logger("alsek.api")

#: Seconds for which the copy is good.
_FRESH_S: Final = 5.0

#: Things told about one call; more of them help nobody.
_MOST_COMPLAINTS: Final = 5


class Registry:
    """The tasks of all workers.

    Args:
        inspector: Asked for them.
    """

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._tasks: Mapping[str, TaskInfo] = {}
        self._until = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._checks: dict[str, tuple[TaskInfo, ArgumentCheck]] = {}

    async def refresh(self) -> None:
        """Ask the workers' registry again if the copy is old; only the first time does anybody wait for it."""
        if time.monotonic() < self._until:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        if not self._until:
            await asyncio.shield(self._asking)

    def find(self, task: str) -> TaskInfo | None:
        """Give what is known of a task; `None`: no worker published it."""
        return self._tasks.get(task)

    def names(self) -> frozenset[str]:
        """Name all tasks that are known."""
        return frozenset(self._tasks)

    def check(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, enforce: bool) -> list[str]:
        """Say what is wrong with the arguments of a message.

        Args:
            name: Of its task.
            args: Positional ones.
            kwargs: Named ones.
            enforce: Refuse it then.

        Raises:
            Problem: 422 that names the parameters.
        """
        task = self._tasks.get(name)
        if task is None:
            if not self._tasks:
                return []  # nobody published anything: there is nothing to compare with
            complaints = [("", f"no worker has published a task {name}")]
        else:
            complaints = self._check_of(task)(args, kwargs)
        if complaints and enforce:
            errors = [{"pointer": f"/arguments/{one}" if one else "/task", "detail": why} for one, why in complaints]
            raise Problem(422, f"{name}: {complaints[0][1]}", kind="wrong-arguments", errors=errors)
        return [f"{name}: {why}" for _, why in complaints]

    def _check_of(self, task: TaskInfo) -> ArgumentCheck:
        made = self._checks.get(task.name)
        if made is None or made[0].parameters != task.parameters:
            made = self._checks[task.name] = (task, ArgumentCheck(task.parameters))
        return made[1]

    async def _ask(self) -> None:
        try:
            tasks = await run_in_threadpool(self._inspector.tasks)
        except BackendError as error:
            log.warning("tasks.not_read", error=str(error))
            self._until = time.monotonic() + 1.0
            return
        self._tasks = {task.name: task for task in tasks}
        self._until = time.monotonic() + _FRESH_S


class ArgumentCheck:
    """Checks arguments against the JSON Schema of a task's parameters.

    Args:
        schema: Of an object: the parameters by name, in their order. `x-varargs` describes further positional ones,
            `x-kind` says that one goes by position or by name only.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        properties: dict[str, Any] = schema.get("properties", {})
        self._knows = "properties" in schema
        self._by_name_only = {name for name, one in properties.items() if one.get("x-kind") == "keyword-only"}
        self._by_position_only = {name for name, one in properties.items() if one.get("x-kind") == "positional-only"}
        self._positional = [name for name in properties if name not in self._by_name_only]
        self._varargs = "x-varargs" in schema
        # An empty registry: a reference to somewhere else is never followed.
        self._validator = Draft202012Validator(schema, registry=References())

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Give what is wrong: names of parameters, and why."""
        if not self._knows:
            return []
        found: list[tuple[str, str]] = []
        if len(args) > len(self._positional) and not self._varargs:
            found.append(("", f"takes at most {len(self._positional)} positional arguments, {len(args)} were given"))
        values = dict(zip(self._positional, args, strict=False))
        for name in kwargs:
            if name in values:
                found.append((name, f"{name}: given twice, by position and by name"))
            elif name in self._by_position_only:
                found.append((name, f"{name}: goes by position only"))
        try:
            errors = sorted(self._validator.iter_errors({**values, **kwargs}), key=lambda one: list(map(str, one.path)))
        except (SchemaError, Unresolvable, RecursionError):  # a worker published something odd: no reason to refuse
            return found
        for error in errors:
            name = str(error.path[0]) if error.path else _missing(error)
            found.append((name, f"{name}: {error.message[:200]}" if error.path else error.message[:200]))
        return found[:_MOST_COMPLAINTS]


def _missing(error: Any) -> str:
    """Name the parameter that is missing, as `required` complains of it; empty for another complaint."""
    if error.validator != "required":
        return ""
    return next(
        (name for name in error.validator_value if name not in error.instance and repr(name) in error.message), ""
    )
