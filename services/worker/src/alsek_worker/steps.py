"""What is left to do for a message, step by step, for threads and event loops alike.

A step may wait: for a hook of the user's, or for Redis. So the steps are written down once, as a generator, and walked
by whoever runs the message: a thread, which may block, or an event loop, which must not.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


class Step(NamedTuple):
    """One thing to do; its result, or what it raises, goes back to the generator.

    Attributes:
        work: Does it; a hook may answer with an awaitable.
        blocks: It is ours and waits for Redis: an event loop has a thread do it.
    """

    work: Callable[[], Any]
    blocks: bool = False


Steps = Generator[Step, Any, R]


def walk(steps: Steps[R]) -> R:
    """Take all steps in this thread; a coroutine that a hook made runs on a loop of its own."""
    try:
        step = next(steps)
        while True:
            try:
                answer = finish(step.work())
            except BaseException as error:  # noqa: BLE001  (the generator decides what to do about it)
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: R = end.value
        return result


async def walk_async(steps: Steps[R]) -> R:
    """Take all steps on the running loop, which goes on with other work meanwhile."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await (_apart(step.work) if step.blocks else finish_async(step.work()))
            except BaseException as error:  # noqa: BLE001  (as above; a hook may be cancelled)
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: R = end.value
        return result


def finish(answer: Any) -> Any:
    """Give an answer; one that is still a coroutine runs now, on a loop of its own."""
    return asyncio.run(finish_async(answer)) if inspect.isawaitable(answer) else answer


async def finish_async(answer: Any) -> Any:
    """Give an answer; one that is still a coroutine runs now, on this loop."""
    return await answer if inspect.isawaitable(answer) else answer


async def _apart(work: Callable[[], Any]) -> Any:
    # What is being written cannot be called back: a cancellation only ends hooks.
    done = asyncio.ensure_future(asyncio.to_thread(work))
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            continue
    return done.result()
