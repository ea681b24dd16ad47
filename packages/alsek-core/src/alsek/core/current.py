"""What code that runs as a task may ask about itself."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from alsek.core.progress import Progress, check_progress
from alsek.exceptions import NoRunningTaskError
from alsek.logging import EventLogger, get_logger

if TYPE_CHECKING:
    from alsek.core.message import Message


class Run(Protocol):
    """One run of a message, as whoever executes it knows it."""

    message: Message
    deadline: float
    interruption: type[BaseException] | None

    def report(self, progress: Progress) -> None:
        """Pass on how far the run has come, soon; must not block, nor fail."""


#: The run in this thread or coroutine; whoever executes tasks sets and resets it.
current_run: ContextVar[Run | None] = ContextVar("alsek_current_run", default=None)


class Running:
    """The message that runs here, and how this run stands."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def message(self) -> Message:
        """The message that runs."""
        return self._run.message

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1: retries before it, and itself."""
        return self._run.message.retries + 1

    @property
    def deliveries(self) -> int:
        """How often the message was handed to a worker, without what was given back unharmed."""
        lease = self._run.message.lease
        return lease.deliveries if lease is not None else 1

    @property
    def fence(self) -> int:
        """Grows with every claim of this message: a write that carries a lower one than the last is a zombie's."""
        lease = self._run.message.lease
        return lease.fence if lease is not None else 0

    @property
    def deadline(self) -> float:
        """When the timeout is over, in seconds of `time.monotonic`."""
        return self._run.deadline

    @property
    def cancelled(self) -> bool:
        """Whether the run is to end: revoked, over its timeout, its lease lost, or the worker stops."""
        return self._run.interruption is not None

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Say how far this run has come, for whoever follows it: listeners of its status, and the Inspector.

        It never waits for Redis, and never fails because of it. Of many calls at most five a second are passed on; the
        last one always is, and so is the one that completes the work, unless Redis is away.

        Args:
            done: Units that are done, 0 or more.
            total: Units there are; `None` while you do not know.
            note: A few words for people, up to 200 characters.

        Raises:
            ValidationError: A number that is none, or negative; a note that is no text.
        """
        self._run.report(check_progress(done, total, note))

    @property
    def log(self) -> EventLogger:
        """A logger of events whose lines carry uuid, task, queue and attempt."""
        return get_logger(self._run.message.task_name)


def current() -> Running:
    """Give the run that this code belongs to.

    Raises:
        NoRunningTaskError: A worker does not run this.
    """
    run = current_run.get()
    if run is None:
        raise NoRunningTaskError
    return Running(run)
