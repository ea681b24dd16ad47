"""Enqueues a task in the style of a call: `add.delay(1, 2)`, `add.options(priority=1).delay(1, 2)`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from alsek.core.generation import Generation
from alsek.core.mapping import DEFAULT_WINDOW, run_amap, run_map
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
    from typing import Unpack

    from alsek.core.callback import Callback
    from alsek.core.message import Message

#: What `options` takes, and the parameter of `generate` that it becomes.
_PARAMETERS = {
    "priority": "priority",
    "delay": "delay",
    "queue": "queue",
    "timeout": "timeout_override",
    "expires": "ttl",
    "result_ttl": "result_ttl",
    "metadata": "metadata",
    "uuid": "uuid",
    "callback": "callback",
    "unique_for": "unique_for",
    "unique_key": "unique_key",
}


class Choices(TypedDict, total=False):
    """What `options` takes, for type checkers."""

    priority: int
    delay: int | None
    queue: str | None
    timeout: int | None
    expires: int | None
    result_ttl: int | None
    metadata: dict[str, Any] | None
    uuid: str | None
    callback: Callback | None
    unique_for: int | None
    unique_key: str | None


@dataclass(frozen=True, slots=True)
class Options:
    """A task with choices for its next messages; it can be kept, and used often.

    Attributes:
        task: Whose messages.
        choices: What was chosen, as `generate` calls it.
    """

    task: Generation
    choices: Mapping[str, Any] = field(default_factory=dict)

    def delay(self, *args: Any, **kwargs: Any) -> Message:
        """Enqueue a call with these arguments; see `Task.generate` for errors."""
        return self.task.generate(args, kwargs, **self.choices)

    async def adelay(self, *args: Any, **kwargs: Any) -> Message:
        """Enqueue a call without blocking the event loop; see `Task.agenerate`."""
        return await self.task.agenerate(args, kwargs, **self.choices)

    def map(
        self,
        *iterables: Iterable[Any],
        window: int = DEFAULT_WINDOW,
        as_completed: bool = False,
        return_exceptions: bool = False,
        progress: bool | None = None,
    ) -> Iterator[Any]:
        """Call the task with many arguments, and give the results; see `Task.map`."""
        return run_map(
            self.task, iterables, window, in_order=not as_completed, return_exceptions=return_exceptions,
            progress=progress, options=dict(self.choices),
        )  # fmt: skip

    def amap(
        self,
        *iterables: Iterable[Any],
        window: int = DEFAULT_WINDOW,
        as_completed: bool = False,
        return_exceptions: bool = False,
        progress: bool | None = None,
    ) -> AsyncIterator[Any]:
        """Call the task with many arguments, without blocking the event loop; see `Task.amap`."""
        return run_amap(
            self.task, iterables, window, in_order=not as_completed, return_exceptions=return_exceptions,
            progress=progress, options=dict(self.choices),
        )  # fmt: skip


class Calling(Generation):
    """Mixed into `Task`."""

    def delay(self, *args: Any, **kwargs: Any) -> Message:
        """Enqueue a call of this task with these arguments; `generate(args=…, kwargs=…)` in the style of a call.

        Raises:
            WrongArgumentsError: The function does not take them; nothing was enqueued.
            SerializationError: An argument cannot be serialised; nothing was enqueued.
        """
        return self.generate(args, kwargs)

    async def adelay(self, *args: Any, **kwargs: Any) -> Message:
        """Enqueue a call without blocking the event loop; see `delay`."""
        return await self.agenerate(args, kwargs)

    def map(
        self,
        *iterables: Iterable[Any],
        window: int = DEFAULT_WINDOW,
        as_completed: bool = False,
        return_exceptions: bool = False,
        progress: bool | None = None,
    ) -> Iterator[Any]:
        """Call this task with many arguments, a window of them at a time, and give the results.

        Nothing is enqueued before the first result is asked for, and nothing while you do not ask. Each call is made,
        also of a task whose messages are unique.

        Args:
            *iterables: As of the builtin `map`: one for each positional argument, until the shortest ends. They may be
                endless: they are read as far as the window goes.
            window: Most calls that were enqueued and whose results you have not had.
            as_completed: Give each result as soon as it is there, instead of in the order of the calls.
            return_exceptions: Give the `TaskFailedError` of a call that failed in the place of its result, instead of
                raising the first.
            progress: Show a bar on standard error; `None`: if that is a terminal.

        Raises:
            ValidationError: The task has no result store, or the window is no number. At once.
            TaskFailedError: A call failed for good (while iterating). No more are enqueued; those that were, run on.
        """
        return run_map(
            self, iterables, window, in_order=not as_completed, return_exceptions=return_exceptions,
            progress=progress, options={},
        )  # fmt: skip

    def amap(
        self,
        *iterables: Iterable[Any],
        window: int = DEFAULT_WINDOW,
        as_completed: bool = False,
        return_exceptions: bool = False,
        progress: bool | None = None,
    ) -> AsyncIterator[Any]:
        """Call this task with many arguments, without blocking the event loop; for the rest as `map`.

        Leaving the loop early, close the iterator (`contextlib.aclosing`), or it listens on for a while.
        """
        return run_amap(
            self, iterables, window, in_order=not as_completed, return_exceptions=return_exceptions,
            progress=progress, options={},
        )  # fmt: skip

    def options(self, **choices: Unpack[Choices]) -> Options:
        """Choose how the next messages are enqueued: `add.options(priority=1, delay=5_000).delay(1, 2)`.

        Args:
            **choices: `priority` (0 to 4095, lower runs sooner), `delay` (ms before it may run), `queue`, `timeout`
                (ms), `expires` (ms after which nobody needs to run it any more), `result_ttl` (ms), `metadata`,
                `uuid`, `callback`, `unique_for` (ms) and `unique_key`: see `Task`.

        Raises:
            ValidationError: There is no such choice.
        """
        unknown = choices.keys() - _PARAMETERS.keys()
        if unknown:
            raise ValidationError(f"options() takes {', '.join(_PARAMETERS)}; not {', '.join(sorted(unknown))}")
        return Options(self, {_PARAMETERS[name]: value for name, value in choices.items()})
