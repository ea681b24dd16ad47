"""Runs what is queued in the thread of a test: by the engine's claims and settlements, and the worker's execution."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from alsek.core.consumer import Consumer
from alsek.core.discovery import collect_tasks
from alsek.core.settlement import Failed, Released, Retried, Settlement, Succeeded
from alsek.core.task import Task
from alsek.exceptions import NoTasksFoundError, TaskFailedError, UnknownTaskError, ValidationError
from alsek.storage.backends.redis import RedisBackend
from alsek_worker.attempt import Attempt
from alsek_worker.execution import Execution
from alsek_worker.testing.deadline import run_in_time
from alsek_worker.testing.travel import travel
from alsek_worker.workload import by_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from alsek.core.broker import Broker
    from alsek.core.message import Message

#: So many runs without an end are a task that enqueues itself for ever, or is retried for ever.
MOST_RUNS: Final = 10_000

Outcome = Literal["succeeded", "retried", "failed", "snoozed", "revoked", "lost"]

_OUTCOMES: Final[dict[type[Settlement], Outcome]] = {
    Succeeded: "succeeded", Retried: "retried", Failed: "failed", Released: "snoozed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """One attempt that a `Runner` ran.

    Attributes:
        message: What was run; `exception_details` say what it raised.
        outcome: What became of it: `succeeded`, `retried` (later), `failed` (for good), `snoozed`, `revoked`, or
            `lost` (somebody else had taken it over or removed it).
    """

    message: Message
    outcome: Outcome

    @property
    def task_name(self) -> str:
        """The task's name."""
        return self.message.task_name


class Runner:
    """Executes queued messages in the calling thread, one after another: what a worker does, where a debugger sees it.

    Claims, retries, callbacks, hooks, results, statuses, unique messages and dead letters are the engine's own. Every
    mechanism runs here: plain functions in this thread, coroutines on an event loop of the runner. A context manager.

    Args:
        url: Of the test server, to which the backends of all tasks have to lead (`TestServer.detour`).
        *tasks: Tasks, or modules and packages (or their names) that define them. They may have several brokers.

    Raises:
        NoTasksFoundError: There is none.
        TaskImportError: A module cannot be imported.
        TaskNameCollisionError: Two tasks of one broker share a name.
        ValidationError: A broker leads elsewhere: what is not the tests' own is neither run nor moved in time.
    """

    def __init__(self, url: str, *tasks: Task | ModuleType | str) -> None:
        shared: list[tuple[Broker, list[Task]]] = []
        for task in gathered(tasks):
            _check_place(task, url)
            mine = next((some for broker, some in shared if broker.redis.same_store(task.broker.redis)), None)
            if mine is None:
                shared.append((task.broker, [task]))
            else:
                mine.append(task)
        self._desks = [_Desk(broker, Execution(by_name(some), broker)) for broker, some in shared]
        self._loop = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections, and end the event loop of the coroutines."""
        for desk in self._desks:
            desk.close()
        self._loop.close()

    def run_until_empty(self, *, raise_failures: bool = False, most: int = MOST_RUNS) -> list[Ran]:
        """Run all there is, and all that comes of it; time jumps ahead to whatever only waits for its moment.

        So delayed messages, retries after their backoff and snoozed messages run at once, in their order. What stands
        in a paused queue stays there.

        Args:
            raise_failures: Raise the first failure for good, instead of leaving it to the dead letters.
            most: Give up after so many runs.

        Returns:
            The attempts, in the order in which they ran.

        Raises:
            TaskFailedError: With `raise_failures`.
            UnknownTaskError: A message is there whose task is none of ours.
            RuntimeError: There was no end; or this is called in a coroutine (see `arun_until_empty`).
        """
        return self._run(raise_failures, most, jump=True)

    def run_due(self, *, raise_failures: bool = False, most: int = MOST_RUNS) -> list[Ran]:
        """Run what is due now, and what comes of it; delayed messages and retries wait. See `run_until_empty`."""
        return self._run(raise_failures, most, jump=False)

    async def arun_until_empty(self, *, raise_failures: bool = False, most: int = MOST_RUNS) -> list[Ran]:
        """Do the same from a coroutine, in a thread of its own meanwhile."""
        return await asyncio.to_thread(self._run, raise_failures, most, jump=True)

    def travel(self, seconds: float) -> None:
        """Let time pass for all that is queued: delays, backoffs, `expires`, `ttl`, `unique_for`, leases, kept results.

        Python's own clock stays as it is, and so do schedules.

        Raises:
            ValidationError: `seconds` is no number of at least 0.
        """
        travel(self._desks[0].broker.redis, seconds)

    def _run(self, raise_failures: bool, most: int, *, jump: bool) -> list[Ran]:
        _refuse_running_loop()
        ran: list[Ran] = []
        while True:
            progress = False
            for desk in self._desks:
                while (message := desk.claim()) is not None:
                    if len(ran) >= most:
                        desk.give_back(message)
                        raise RuntimeError(f"no end after {most:,} runs; the next would be {message.summary}")
                    ran.append(desk.run(message, self._loop))
                    progress = True
                    if raise_failures and ran[-1].outcome == "failed":
                        raise _failure(message)
            if progress:
                continue  # what one broker's tasks enqueued may be another's
            waits_ms = [desk.next_ms for desk in self._desks if desk.next_ms is not None]
            if not jump or not waits_ms:
                return ran
            self.travel(min(waits_ms) / 1000)


def gathered(tasks: Iterable[Task | ModuleType | str]) -> list[Task]:
    """Give the tasks that were meant, and import what has to be.

    Raises:
        NoTasksFoundError, TaskImportError: As in `Runner`.
    """
    found: list[Task] = []
    for given in tasks:
        found += [given] if isinstance(given, Task) else collect_tasks(given)
    if not found:
        raise NoTasksFoundError("A runner needs tasks, or the names of the modules that define them")
    return found


class _Desk:
    """One broker and its tasks."""

    def __init__(self, broker: Broker, execution: Execution) -> None:
        self.broker = broker
        self._execution = execution
        self._consumer: Consumer | None = None

    @property
    def next_ms(self) -> float | None:
        """Time until something falls due, as the last claim saw it; `None`: nothing will."""
        return self._consumer.next_ms if self._consumer is not None else None

    def claim(self) -> Message | None:
        """Take the next message that may run now."""
        queues = sorted(self.broker.redis.queue_names())
        if self._consumer is None or self._consumer.queues != queues:
            self.close()
            self._consumer = Consumer(self.broker, queues)
        while True:
            messages = self._consumer.exchange((), 1).messages
            # What cannot be read is settled by the consumer with its next exchange.
            if messages or not self._consumer.owed:
                return messages[0] if messages else None

    def run(self, message: Message, loop: asyncio.Runner) -> Ran:
        """Run and settle a message."""
        recipe = self._execution.recipe(message)
        if recipe is None:
            self.give_back(message)
            raise UnknownTaskError(f"the runner has no task {message.task_name!r}: name its module, too")
        attempt = Attempt(message, recipe, 0)
        attempt.started = time.monotonic()
        attempt.deadline = attempt.started + message.timeout / 1000
        if recipe.task.mechanism == "async":
            loop.run(self._run_async(attempt))
        else:
            run_in_time(self._execution, attempt)
        outcome = self._settle(attempt)
        details = message.exception_details
        if details is not None and details.name == "KeyboardInterrupt":
            raise KeyboardInterrupt  # it was meant for the tests
        return Ran(message, outcome)

    def give_back(self, message: Message) -> None:
        """Leave a message as if it had never been claimed."""
        self.broker.settle([Released(message)])

    def close(self) -> None:
        """Drop the connections."""
        if self._consumer is not None:
            self._consumer.close()

    def _settle(self, attempt: Attempt) -> Outcome:
        if attempt.settlement is None:
            if attempt.settled_alone is not None:
                return _OUTCOMES[type(attempt.settled_alone)]
        elif self.broker.settle([attempt.settlement])[0].accepted:
            return _OUTCOMES[type(attempt.settlement)]
        if attempt.recipe is None or not attempt.recipe.task.is_revoked(attempt.message):
            return "lost"
        self._execution.revoked(attempt.message)
        return "revoked"

    async def _run_async(self, attempt: Attempt) -> None:
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            if not attempt.decided:
                attempt.interruption = TimeoutError
                task.cancel()

        timer = asyncio.get_running_loop().call_later(attempt.message.timeout / 1000, interrupt)
        try:
            await self._execution.run_async(attempt)
        except BaseException as error:
            if attempt.interruption is None:
                raise
            await self._execution.break_off_async(attempt, error)
        finally:
            timer.cancel()


def _check_place(task: Task, url: str) -> None:
    backend = task.broker.redis
    if not RedisBackend(url, backend.namespace, backend.serializer, backend.partitions).same_store(backend):
        raise ValidationError(f"the broker of {task.name!r} does not lead to the test server: use TestServer.runner()")


def _failure(message: Message) -> TaskFailedError:
    details = message.exception_details
    what = f": {details.name}: {details.text}\n{details.traceback or ''}" if details is not None else ""
    return TaskFailedError(f"{message.summary} failed{what}", uuid=message.uuid, exception_details=details)


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("an event loop runs here: `await runner.arun_until_empty()`")
