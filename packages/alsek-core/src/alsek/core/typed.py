"""What `@task` gives, as type checkers see it: a `Task` that keeps the signature of its function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from alsek.core.calling import Options
from alsek.core.task import Task

if TYPE_CHECKING:
    from alsek.core.message import Message

P = ParamSpec("P")
R = TypeVar("R")


class TypedOptions(Options, Generic[P]):
    """`Options` whose `delay` takes what the function takes."""

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Options.delay`."""
        raise NotImplementedError

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Options.adelay`."""
        raise NotImplementedError


class TypedTask(Task, Generic[P, R]):
    """A `Task` that is called, and enqueued by `delay`, with what its function takes."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Task.__call__`."""
        raise NotImplementedError

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Task.delay`."""
        raise NotImplementedError

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Task.adelay`."""
        raise NotImplementedError

    def options(self, **choices: Any) -> TypedOptions[P]:
        """See `Task.options`."""
        raise NotImplementedError
