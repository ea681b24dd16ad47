"""What the synchronous and the asynchronous status tracker share: names, texts, and the order of what is heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alsek.core.status.types import TERMINAL_TASK_STATUSES, StatusUpdate, TaskStatus
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import SerializationError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import BaseBackend


class BaseStatusTracker:
    """Base of the trackers.

    Args:
        backend: Where statuses are kept.
        ttl: How long the last status of a message is kept after its end, ms; `None` or 0: for ever. While the message
            lives, its status does not expire.
        enable_pubsub: Publish each status as it is set; `None`: if the backend can.

    Raises:
        AssertionError: The backend cannot publish, but should.
    """

    def __init__(self, backend: BaseBackend, ttl: int | None = DEFAULT_TTL, enable_pubsub: bool | None = None) -> None:
        if enable_pubsub and not backend.SUPPORTS_PUBSUB:
            raise AssertionError(f"{type(backend).__name__} has no pub/sub")
        self.ttl = ttl
        self.enable_pubsub = backend.SUPPORTS_PUBSUB if enable_pubsub is None else enable_pubsub

    @staticmethod
    def get_storage_name(message: Message) -> str:
        """Give the name under which a message's status is kept (behind the namespace or tag).

        Raises:
            ValidationError: Queue, task name or uuid is empty.
        """
        return f"status:{_stem(message)}"

    @staticmethod
    def get_pubsub_name(message: Message) -> str:
        """Give the channel on which a message's statuses are published.

        Raises:
            ValidationError: Queue, task name or uuid is empty.
        """
        return f"channel:{_stem(message)}"

    def kept_ms(self, status: TaskStatus) -> int | None:
        """Tell how long a status is kept, ms; `None`: until the next one.

        UNKNOWN counts as an end: whoever sets it gave the message up.
        """
        ended = status in TERMINAL_TASK_STATUSES or status is TaskStatus.UNKNOWN
        return (self.ttl or None) if ended else None


class Timeline:
    """Puts the status that was read and those that were pushed into one order, each once.

    What was published before the reading may arrive after it. So pushes are held back after `read`, until the caller
    knows that all earlier ones have arrived (`settle`).
    """

    def __init__(self) -> None:
        self._last: StatusUpdate | None = None
        self._held: list[StatusUpdate] | None = None
        self._echo = False

    @property
    def unsettled(self) -> bool:
        """Whether pushes are held back."""
        return self._held is not None

    def read(self, update: StatusUpdate | None) -> list[StatusUpdate]:
        """Take what was read (`None`: nothing there); gives what is news."""
        news = [update] if update is not None and update != self._last else []
        self._last = update
        self._held = []
        return news

    def push(self, update: StatusUpdate | None) -> list[StatusUpdate]:
        """Take what was pushed (`None`: something strange); gives what is news."""
        if update is None:
            return []
        if self._held is not None:
            self._held.append(update)
            return []
        # Where storing and publishing are two steps, what was read is still to be published.
        echo, self._echo = self._echo and update == self._last, False
        self._last = update
        return [] if echo else [update]

    def settle(self) -> list[StatusUpdate]:
        """Give what was held back and came after the reading."""
        held, self._held = self._held or [], None
        self._echo = True
        if self._last is not None and self._last in held:
            self._echo = False
            held = held[len(held) - held[::-1].index(self._last) :]
        if held:
            self._last, self._echo = held[-1], False
        return held


def wanted_statuses(status: Any) -> tuple[TaskStatus, ...]:
    """Give the statuses that a caller waits for.

    Raises:
        ValueError: Neither a status nor a tuple or list of them.
    """
    wanted = tuple(status) if isinstance(status, tuple | list) else (status,)
    if not wanted or not all(isinstance(one, TaskStatus) for one in wanted):
        raise ValueError(f"status has to be a TaskStatus, or a tuple or list of them: {status!r}")
    return wanted


def read_update(fields: dict[str, Any]) -> StatusUpdate:
    """Give the update that was stored as a dict."""
    return StatusUpdate(TaskStatus[fields["status"]], fields["details"])


def unpack_update(backend: BaseBackend, text: bytes) -> StatusUpdate | None:
    """Give the update that a published text stands for; `None` for what is none, as anybody may publish."""
    try:
        return read_update(backend.reverse(text))
    except (SerializationError, LookupError, TypeError, ValueError):
        return None


def give_up(message: Message, wanted: Sequence[TaskStatus], last: TaskStatus, raises: bool) -> TaskStatus:
    """End a wait that brought none of the statuses.

    Raises:
        TimeoutError: `raises`.
    """
    if not raises:
        return last
    names = " or ".join(status.name for status in wanted)
    how = "ended as" if last in TERMINAL_TASK_STATUSES else "is still"
    raise TimeoutError(f"{message.summary} did not become {names}: it {how} {last.name}")


def _stem(message: Message) -> str:
    if not (message.queue and message.task_name and message.uuid):
        raise ValidationError(f"a status needs a queue, a task name and a uuid: {message.summary}")
    return f"{message.queue}:{message.task_name}:{message.uuid}"
