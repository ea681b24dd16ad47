"""A task: a function that producers enqueue and workers run, with the hooks around it."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from alsek.core.backoff import Backoff, ConstantBackoff, ExponentialBackoff
from alsek.core.calling import Calling
from alsek.core.failure import parse_exception
from alsek.core.injection import wants_message
from alsek.core.message import Message
from alsek.core.rules import check_exceptions
from alsek.core.signature import CallCheck
from alsek.core.status.types import TaskStatus
from alsek.core.triggering import Triggering
from alsek.core.uniqueness import check_window
from alsek.defaults import DEFAULT_MAX_RETRIES, DEFAULT_MECHANISM, DEFAULT_QUEUE, DEFAULT_TASK_TIMEOUT
from alsek.exceptions import RevokedError, SchedulingError
from alsek.storage.backends.redis.scripts import Code
from alsek.types import SUPPORTED_MECHANISMS, SupportedMechanismType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alsek.core.async_broker import AsyncBroker
    from alsek.core.broker import Broker
    from alsek.core.schedules import FirePolicy
    from alsek.core.status.standard import StatusTracker
    from alsek.core.typed import TypedTask
    from alsek.storage.result import ResultStore

P = ParamSpec("P")
R = TypeVar("R")

Exceptions = type[BaseException] | tuple[type[BaseException], ...]

#: What tasks that say nothing else wait between two attempts; it is never changed.
_USUAL_BACKOFF = ExponentialBackoff()


class Task(Calling):
    """A function with everything that decides how its messages are made and run.

    Args:
        function: What is run; `async def` needs `mechanism="async"`.
        broker: Takes the messages; of an `AsyncBroker`, its twin does.
        name: Unique name; by default the function's.
        queue: Where messages wait.
        timeout: Longest run of one attempt, ms.
        max_retries: Attempts after the first; `None`: no limit; negative: none.
        backoff: Pause before each retry; `None`: none.
        result_store: Keeps what the function returns.
        status_tracker: Follows every message.
        mechanism: Runs in a `thread`, a `process`, or as a coroutine (`async`).
        no_positional_args: Refuse positional arguments at `generate`.
        interrupt: Whether a thread that runs over its timeout, or was revoked, gets an exception raised in it;
            `False`: its message is settled all the same, and its process replaced once the others are done.
        retry_on: Exceptions after which a message is tried again; `None`: all.
        no_retry_on: Exceptions after which it is not; they win over `retry_on`.
        unique_for: While a message waits or runs, and unless it failed until so many ms after its submit, the same
            call is not enqueued again: it gives that message. `None`: each call is enqueued.
        unique_key: What makes two calls the same: a function of the arguments that gives a text; by default all
            arguments together.

    Raises:
        ValueError: Something else than exceptions in `retry_on` or `no_retry_on`, an unknown mechanism, an async
            tracker, or a coroutine function for another mechanism than `async`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        broker: Broker | AsyncBroker,
        name: str | None = None,
        queue: str | None = None,
        timeout: int = DEFAULT_TASK_TIMEOUT,
        max_retries: int | None = DEFAULT_MAX_RETRIES,
        backoff: Backoff | None = _USUAL_BACKOFF,
        result_store: ResultStore | None = None,
        status_tracker: StatusTracker | None = None,
        mechanism: SupportedMechanismType = DEFAULT_MECHANISM,
        no_positional_args: bool = False,
        interrupt: bool = True,
        retry_on: Exceptions | None = None,
        no_retry_on: Exceptions = (),
        unique_for: int | None = None,
        unique_key: Callable[..., str] | None = None,
    ) -> None:
        if mechanism not in SUPPORTED_MECHANISMS:
            raise ValueError(f"mechanism has to be one of {', '.join(SUPPORTED_MECHANISMS)}: {mechanism!r}")
        if inspect.iscoroutinefunction(function) != (mechanism == "async"):
            kind = "an `async def` function" if mechanism != "async" else "a plain function"
            wanted = 'mechanism="async"' if mechanism != "async" else '`async def`, or another mechanism than "async"'
            raise ValueError(f"{_name_of(function)} is {kind}: it needs {wanted}")
        if getattr(getattr(status_tracker, "backend", None), "IS_ASYNC", False):
            raise ValueError("a task needs a StatusTracker with a synchronous backend, not an AsyncStatusTracker")
        self.function = function
        given: Any = broker
        self.broker: Broker = getattr(given, "broker", given)  # of an AsyncBroker, its twin
        self.queue = queue or DEFAULT_QUEUE
        self.timeout = timeout
        self.max_retries = max_retries
        self.backoff = backoff or ConstantBackoff(constant=0, floor=0, ceiling=0, zero_override=True)
        self.result_store = result_store
        self.status_tracker = status_tracker
        self.mechanism = mechanism
        self.no_positional_args = no_positional_args
        self.interrupt = interrupt
        self.retry_on = None if retry_on is None else check_exceptions(retry_on, "retry_on")
        self.no_retry_on = check_exceptions(no_retry_on, "no_retry_on")
        self.unique_for = check_window(unique_for, unique_key)
        self.unique_key = unique_key
        self._name = name or _name_of(function)
        # A message of this name and queue has to be possible: say so now, not at the first generate().
        Message(self._name, queue=self.queue, timeout=timeout, mechanism=mechanism)
        self._backoff_settings = self.backoff.settings
        self._takes_message: bool | None = None
        self._call_check: CallCheck | None = None
        self._defers = threading.local()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name={self.name!r}, queue={self.queue!r}, mechanism={self.mechanism!r}, "
            f"timeout={self.timeout}, max_retries={self.max_retries}, backoff={self.backoff!r}, broker={self.broker!r})"
        )

    # -- status and revocation -----------------------------------------------------------------------------------

    def update_status(self, message: Message, status: TaskStatus) -> None:
        """Set a message's status, where there is a tracker."""
        if self.status_tracker is not None:
            self.status_tracker.set(message, status)

    def revoke(self, message: Message, skip_if_running: bool = False) -> None:
        """End a message: a waiting one never runs, a running one is stopped and fenced off.

        Its status becomes FAILED, its exception details a `RevokedError`, and it stands among the dead letters. One
        that has ended already is left alone.

        Args:
            message: Which.
            skip_if_running: Leave it alone while it runs.
        """
        code = self.broker.revoke(message, skip_if_running)
        if code.accepted:
            message.update(exception_details=parse_exception(RevokedError("Task Revoked")))
            if not self.tracks_natively:
                self.update_status(message, TaskStatus.FAILED)
            if code is Code.DONE:
                # Not of a running one: it still works under its lock, which is released when it has stopped.
                message.release_lock(not_linked_ok=True, target_backend=self.broker.backend)

    def is_revoked(self, message: Message) -> bool:
        """Tell whether a message was revoked."""
        return self.broker.redis.record(message.uuid).get(b"a") == b"revoked"

    # -- what a worker calls, and users override ------------------------------------------------------------------

    def execute(self, message: Message) -> Any:
        """Run one attempt; an async task returns its coroutine."""
        return self.op(message)

    def op(self, message: Message) -> Any:
        """Call the function with the message's arguments, and the message where it asks for it."""
        if self.takes_message and "message" not in message.kwargs:
            return self.function(*message.args, **message.kwargs, message=message)
        return self.function(*message.args, **message.kwargs)

    # -- for the engine ------------------------------------------------------------------------------------------

    @property
    def takes_message(self) -> bool:
        """Whether the function has a parameter `message` that wants the message itself."""
        if self._takes_message is None:
            self._takes_message = wants_message(self.function)
        return self._takes_message

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that the function does not take; a task with an `op` of its own decides itself."""
        (self._call_check or self._make_call_check())(args, kwargs)

    def normal_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give a call in the one form that all calls with the same meaning have."""
        return (self._call_check or self._make_call_check()).normal(args, kwargs)

    def _make_call_check(self) -> CallCheck:
        kind = type(self)
        own = kind.op is Task.op and kind.execute is Task.execute
        injected = frozenset({"message"}) if self.takes_message else frozenset()
        self._call_check = CallCheck(self.name, self.function if own else _anything, injected)
        return self._call_check


class TriggerTask(Triggering, Task):
    """A task that a trigger fires; nothing is scheduled before `generate()`, or before a scheduler finds the task.

    Args:
        function: Takes no parameters.
        trigger: When to fire: one of `alsek.core.triggers`, one of APScheduler's, or any object with its method
            `get_next_fire_time(previous, now)`.
        broker: Takes the messages.
        policy: What becomes of late and overlapping fires.
        **settings: As of `Task`.

    Raises:
        SchedulingError: The function has a parameter, or messages are to be unique: that is what the policy is for.
        ValidationError: That is no trigger.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        trigger: Any,
        broker: Broker,
        *,
        policy: FirePolicy | None = None,
        **settings: Any,
    ) -> None:
        if inspect.signature(function).parameters:
            raise SchedulingError(f"{_name_of(function)} has parameters: a trigger cannot fill them")
        if settings.get("unique_for") is not None:
            raise SchedulingError(
                f"{_name_of(function)} is fired by a trigger: not unique_for but FirePolicy(overlap=...) says what "
                "becomes of a fire while the last one is still there"
            )
        super().__init__(function, broker, **settings)
        self.set_trigger(trigger, policy)


def task(
    broker: Broker | AsyncBroker,
    name: str | None = None,
    queue: str | None = None,
    timeout: int = DEFAULT_TASK_TIMEOUT,
    max_retries: int | None = DEFAULT_MAX_RETRIES,
    backoff: Backoff | None = _USUAL_BACKOFF,
    trigger: Any = None,
    result_store: ResultStore | None = None,
    status_tracker: StatusTracker | None = None,
    mechanism: SupportedMechanismType = DEFAULT_MECHANISM,
    no_positional_args: bool = False,
    base_task: Callable[..., Task] | None = None,
    interrupt: bool = True,
    retry_on: Exceptions | None = None,
    no_retry_on: Exceptions = (),
    unique_for: int | None = None,
    unique_key: Callable[..., str] | None = None,
    policy: FirePolicy | None = None,
) -> Callable[[Callable[P, R]], TypedTask[P, R]]:
    """Turn a function into a task.

    Args:
        broker: Takes the messages.
        name: See `Task`, as for the others.
        queue: See `Task`.
        timeout: See `Task`.
        max_retries: See `Task`.
        backoff: See `Task`.
        trigger: Makes a `TriggerTask`, fired by the scheduler.
        result_store: See `Task`.
        status_tracker: See `Task`.
        mechanism: See `Task`; `async def` functions need `async`.
        no_positional_args: See `Task`.
        base_task: A subclass of `Task` with hooks of its own (or a `functools.partial` of one).
        interrupt: See `Task`.
        retry_on: See `Task`.
        no_retry_on: See `Task`.
        unique_for: See `Task`.
        unique_key: See `Task`.
        policy: Goes with a trigger; see `TriggerTask`.

    Raises:
        ValueError: A policy without a trigger, or a trigger for a `base_task` that takes none.
    """
    make = base_task or (Task if trigger is None else TriggerTask)
    if trigger is not None and "trigger" not in inspect.signature(make).parameters:
        raise ValueError(f"base_task {make!r} has no parameter trigger")

    if policy is not None and trigger is None:
        raise ValueError("a policy goes with a trigger, and there is none")

    def decorate(function: Callable[P, R]) -> TypedTask[P, R]:
        settings: dict[str, Any] = {
            "function": function,
            "broker": broker,
            "name": name,
            "queue": queue,
            "timeout": timeout,
            "max_retries": max_retries,
            "backoff": backoff,
            "result_store": result_store,
            "status_tracker": status_tracker,
            "mechanism": mechanism,
            "no_positional_args": no_positional_args,
        }
        if trigger is not None:
            settings["trigger"] = trigger
        if policy is not None:
            settings["policy"] = policy
        if not interrupt:
            settings["interrupt"] = interrupt
        if retry_on is not None:
            settings["retry_on"] = retry_on
        if no_retry_on:
            settings["no_retry_on"] = no_retry_on
        if unique_for is not None or unique_key is not None:
            settings |= {"unique_for": unique_for, "unique_key": unique_key}
        made = make(**settings)
        made.__doc__ = function.__doc__
        made.__module__ = function.__module__
        return cast("TypedTask[P, R]", made)  # the same object, as type checkers are to see it

    return decorate


def _anything(*_args: Any, **_kwargs: Any) -> None:
    """Stands for a function that takes whatever comes."""


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
