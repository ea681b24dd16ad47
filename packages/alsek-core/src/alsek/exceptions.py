"""Every error that Alsek raises, in one tree.

    AlsekError
    ├── MessageAlreadyExistsError
    ├── MessageDoesNotExistsError
    │   └── MessageStateError
    ├── UnknownQueueError
    ├── QueueStateError
    ├── MultipleBrokersError
    ├── NoTasksFoundError
    ├── TaskImportError                  (also ImportError)
    ├── TaskNameCollisionError
    ├── UnknownTaskError
    ├── SchedulingError
    │   ├── ScheduleNotFoundError
    │   ├── ScheduleExistsError
    │   └── ScheduleConflictError
    ├── ValidationError                  (also ValueError)
    │   ├── CorruptMessageError
    │   ├── PayloadTooLargeError
    │   ├── WrongArgumentsError          (also TypeError)
    │   └── SerializationError           (also TypeError)
    ├── UnsupportedMessageVersionError
    ├── MissingExtraError                (also ImportError)
    ├── AddressUnavailableError
    ├── TerminationError
    ├── RevokedError
    ├── ExpiredError
    ├── LeaseLostError
    ├── LockAlreadyAcquiredError         (also RuntimeError; also redis_lock.AlreadyAcquired where installed)
    ├── LockNotAcquiredError             (also RuntimeError; also redis_lock.NotAcquired where installed)
    ├── PoisonMessageError
    │   └── CrashLoopError
    ├── TaskFailedError
    ├── NoRunningTaskError
    ├── Snooze                           (raised by tasks)
    ├── Reject                           (raised by tasks)
    └── BackendError
        ├── BackendUnavailableError
        ├── BackendAuthenticationError
        ├── BackendConfigurationError
        ├── BackendFullError
        └── BackendDataError

Each can be built without arguments: the first line of its docstring is then the text. Facts are attributes.
Time limits are the builtin `TimeoutError`; a result or status that is not there is the builtin `KeyError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.types import ExceptionDetails


class AlsekError(Exception):
    """Something in Alsek went wrong."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or (_default_text(type(self)),)))


class MessageAlreadyExistsError(AlsekError):
    """A message with this uuid exists already."""

    def __init__(self, *args: object, uuids: Sequence[str] = ()) -> None:
        super().__init__(*args)
        self.uuids = list(uuids)
        """All that were refused; the others of the same call were submitted."""


class MessageDoesNotExistsError(AlsekError):
    """The message is neither in its queue nor among the dead letters."""

    def __init__(self, *args: object, uuid: str | None = None) -> None:
        super().__init__(*args)
        self.uuid = uuid


class MessageStateError(MessageDoesNotExistsError):
    """The message is there, but not in the state that this needs."""


class UnknownQueueError(AlsekError):
    """There is no such queue."""

    def __init__(self, *args: object, queue: str | None = None) -> None:
        super().__init__(*args)
        self.queue = queue


class QueueStateError(AlsekError):
    """The queue is paused already, or is not paused."""

    def __init__(self, *args: object, queue: str | None = None) -> None:
        super().__init__(*args)
        self.queue = queue


class MultipleBrokersError(AlsekError):
    """The tasks do not share one broker."""


class NoTasksFoundError(AlsekError):
    """No tasks were found."""


class TaskImportError(AlsekError, ImportError):
    """A module with tasks could not be imported."""

    def __init__(self, *args: object, module: str | None = None) -> None:
        super().__init__(*args)
        self.module = module


class TaskNameCollisionError(AlsekError):
    """Two different tasks have the same name."""

    def __init__(self, *args: object, name: str | None = None) -> None:
        super().__init__(*args)
        self.name = name


class UnknownTaskError(AlsekError):
    """No worker knows the task of this message."""

    def __init__(self, *args: object, task_name: str | None = None, uuid: str | None = None) -> None:
        super().__init__(*args)
        self.task_name = task_name
        self.uuid = uuid


class SchedulingError(AlsekError):
    """The task cannot be scheduled."""


class ScheduleNotFoundError(SchedulingError):
    """There is no such schedule."""


class ScheduleExistsError(SchedulingError):
    """There is a schedule of this id already."""


class ScheduleConflictError(SchedulingError):
    """Somebody else changed the schedule since it was read."""

    def __init__(self, *args: object, version: int | None = None) -> None:
        super().__init__(*args)
        self.version = version
        """The one that the schedule has now."""


class ValidationError(AlsekError, ValueError):
    """A value is not allowed here."""


class CorruptMessageError(ValidationError):
    """The stored bytes of a message cannot be read."""

    def __init__(self, *args: object, uuid: str | None = None) -> None:
        super().__init__(*args)
        self.uuid = uuid


class PayloadTooLargeError(ValidationError):
    """The message is larger than allowed."""

    def __init__(self, *args: object, size: int | None = None, limit: int | None = None) -> None:
        super().__init__(*args)
        self.size = size
        """Bytes that the message would take."""
        self.limit = limit
        """Bytes allowed."""


class SerializationError(ValidationError, TypeError):
    """The value cannot be turned into text, or the text not back."""

    def __init__(self, *args: object, path: str | None = None, reason: str | None = None) -> None:
        super().__init__(*args)
        self.path = path
        """Where in the value the trouble is, such as `[0]['when']`; empty for the value itself."""
        self.reason = reason
        """What is wrong there."""


class WrongArgumentsError(ValidationError, TypeError):
    """The task's function does not take these arguments."""

    def __init__(self, *args: object, task_name: str | None = None) -> None:
        super().__init__(*args)
        self.task_name = task_name


class UnsupportedMessageVersionError(AlsekError):
    """The message was written by a newer release."""

    def __init__(self, *args: object, version: int | None = None, uuid: str | None = None) -> None:
        super().__init__(*args)
        self.version = version
        self.uuid = uuid


class MissingExtraError(AlsekError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, *args: object, extra: str | None = None) -> None:
        super().__init__(*args)
        self.extra = extra


class AddressUnavailableError(AlsekError):
    """Nobody can listen at this address: it is in use, or none of this machine."""


class TerminationError(AlsekError):
    """The worker pool is shutting down."""


# The text is upstream's: programs read it in `exception_details`.
class RevokedError(AlsekError):
    """Task Revoked."""


class ExpiredError(AlsekError):
    """Nobody ran the message before its time to live was over."""


class LeaseLostError(AlsekError):
    """The lease ended, so the message may belong to another worker now."""

    def __init__(self, *args: object, uuid: str | None = None, token: str | None = None) -> None:
        super().__init__(*args)
        self.uuid = uuid
        self.token = token


class LockAlreadyAcquiredError(AlsekError, RuntimeError):
    """This owner holds the lock already."""

    def __init__(self, *args: object, name: str | None = None, owner_id: str | None = None) -> None:
        super().__init__(*args)
        self.name = name
        self.owner_id = owner_id


class LockNotAcquiredError(AlsekError, RuntimeError):
    """This owner does not hold the lock."""

    def __init__(self, *args: object, name: str | None = None, owner_id: str | None = None) -> None:
        super().__init__(*args)
        self.name = name
        self.owner_id = owner_id


class PoisonMessageError(AlsekError):
    """The message was delivered too often without an end."""

    def __init__(self, *args: object, uuid: str | None = None, deliveries: int | None = None) -> None:
        super().__init__(*args)
        self.uuid = uuid
        self.deliveries = deliveries


class CrashLoopError(PoisonMessageError):
    """The message ended its worker too often."""


class TaskFailedError(AlsekError):
    """The task failed, so there will be no result."""

    def __init__(
        self,
        *args: object,
        uuid: str | None = None,
        exception_details: ExceptionDetails | None = None,
    ) -> None:
        super().__init__(*args)
        self.uuid = uuid
        self.exception_details = exception_details


class NoRunningTaskError(AlsekError):
    """No task runs here: a worker knows the current message, a plain call does not."""


class Snooze(AlsekError):
    """Raised by a task: try again later, without spending a retry or a delivery."""

    def __init__(self, seconds: float) -> None:
        if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
            raise ValidationError(f"Snooze takes a number of seconds, 0 or more: {seconds!r}")
        super().__init__(seconds)
        self.seconds = seconds
        """How long to wait."""

    def __str__(self) -> str:
        return f"snoozed for {self.seconds:g} s"


class Reject(AlsekError):
    """Raised by a task: the message is no good, and goes straight to the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """Why, for those who look at the dead letters."""


class BackendError(AlsekError):
    """The backend could not do what was asked."""


class BackendUnavailableError(BackendError):
    """The backend did not answer."""

    def __init__(self, *args: object, ambiguous: bool = False) -> None:
        super().__init__(*args)
        self.ambiguous = ambiguous
        """Whether the command may have been carried out all the same."""


class BackendAuthenticationError(BackendError):
    """The backend refused the user name or password."""


class BackendConfigurationError(BackendError):
    """The backend is set up in a way that would lose messages."""


class BackendFullError(BackendError):
    """The backend is out of memory and refuses to store more."""


class BackendDataError(BackendError):
    """The backend holds something else than expected under a key of ours."""


def _default_text(cls: type[AlsekError]) -> str:
    """First line of the docstring, without its full stop; the name where docstrings are stripped (`python -OO`)."""
    return (cls.__doc__ or cls.__name__).strip().partition("\n")[0].removesuffix(".")
