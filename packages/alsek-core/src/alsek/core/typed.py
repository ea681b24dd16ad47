"""What `@task` gives, as type checkers see it: a `Task` that keeps the signature of its function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from alsek.core.calling import Options
from alsek.core.task import Task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
    from typing import Unpack

    from alsek.core.calling import Choices
    from alsek.core.message import Message

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
Q = ParamSpec("Q")
T = TypeVar("T")


class TypedOptions(Options, Generic[P]):
    """`Options` whose `delay` takes what the function takes."""

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Options.delay`."""
        raise NotImplementedError

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Options.adelay`."""
        raise NotImplementedError


class TypedTask(Task, Generic[P, R_co]):
    """A `Task` that is called, and enqueued by `delay`, with what its function takes."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """See `Task.__call__`."""
        raise NotImplementedError

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Task.delay`."""
        raise NotImplementedError

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Message:
        """See `Task.adelay`."""
        raise NotImplementedError

    def options(self, **choices: Unpack[Choices]) -> TypedOptions[P]:
        """See `Task.options`."""
        raise NotImplementedError

    @overload
    def map(
        self: TypedTask[Q, Coroutine[Any, Any, T]],
        *iterables: Iterable[Any],
        window: int = ...,
        as_completed: bool = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool | None = ...,
    ) -> Iterator[T]: ...

    @overload
    def map(
        self,
        *iterables: Iterable[Any],
        window: int = ...,
        as_completed: bool = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool | None = ...,
    ) -> Iterator[R_co]: ...

    @overload
    def map(
        self,
        *iterables: Iterable[Any],
        window: int = ...,
        as_completed: bool = ...,
        return_exceptions: bool = ...,
        progress: bool | None = ...,
    ) -> Iterator[Any]: ...

    def map(self, *_iterables: Any, **_choices: Any) -> Iterator[Any]:
        """See `Task.map`."""
        raise NotImplementedError

    @overload
    def amap(
        self: TypedTask[Q, Coroutine[Any, Any, T]],
        *iterables: Iterable[Any],
        window: int = ...,
        as_completed: bool = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool | None = ...,
    ) -> AsyncIterator[T]: ...

    @overload
    def amap(
        self,
        *iterables: Iterable[Any],
        window: int = ...,
        as_completed: bool = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool | None = ...,
    ) -> AsyncIterator[R_co]: ...

    @overload
    def amap(
        self,
        *iterables: Iterable[Any],
        window: int = ...,
        as_completed: bool = ...,
        return_exceptions: bool = ...,
        progress: bool | None = ...,
    ) -> AsyncIterator[Any]: ...

    def amap(self, *_iterables: Any, **_choices: Any) -> AsyncIterator[Any]:
        """See `Task.amap`."""
        raise NotImplementedError
