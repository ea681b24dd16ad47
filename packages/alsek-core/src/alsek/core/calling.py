"""Enqueues a task in the style of a call: `add.delay(1, 2)`, `add.options(priority=1).delay(1, 2)`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alsek.core.generation import Generation
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def options(self, **choices: Any) -> Options:
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
