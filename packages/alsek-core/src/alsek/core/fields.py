"""The fields of a message, checked where a user sets them and trusted where they come from the backend."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Self, TypedDict

from alsek.core import rules
from alsek.core.backoff import BackoffSettingsType, ExponentialBackoff
from alsek.core.ids import made_at, new_uuid
from alsek.defaults import DEFAULT_MECHANISM, DEFAULT_QUEUE, DEFAULT_TASK_TIMEOUT
from alsek.exceptions import ValidationError
from alsek.types import ExceptionDetails, SupportedMechanismType


class LinkedLock(TypedDict):
    """A lock that is released along with the message."""

    name: str
    owner_id: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to a message, for a while."""

    token: str
    """Who claimed it, unique for each claim: every later write is conditional on it."""
    fence: int
    """Grows with every claim of the message; lets other systems refuse a worker that lost its lease."""
    deliveries: int
    """How often the message was handed out, this time included."""
    deadline: float
    """When the worker must have stopped, in seconds of its monotonic clock."""


class MessageFields:
    """What a message holds; `Message` says what each field means, and adds what one can do with them."""

    __slots__ = (
        "__weakref__",
        "_backoff_settings",
        "_ephemeral_state",
        "_exception_details",
        "args",
        "callback_message_data",
        "created_at",
        "delay",
        "kwargs",
        "lease",
        "linked_lock",
        "mechanism",
        "metadata",
        "previous_message_uuid",
        "previous_result",
        "priority",
        "progenitor_uuid",
        "queue",
        "result_ttl",
        "retries",
        "task_name",
        "timeout",
        "unknown_fields",
        "updated_at",
        "uuid",
    )

    def __init__(
        self,
        task_name: str,
        queue: str | None = None,
        args: tuple[Any, ...] | list[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        priority: int = 0,
        metadata: dict[str, Any] | None = None,
        exception_details: ExceptionDetails | dict[str, Any] | None = None,
        result_ttl: int | None = None,
        uuid: str | None = None,
        progenitor_uuid: str | None = None,
        retries: int = 0,
        timeout: int = DEFAULT_TASK_TIMEOUT,
        created_at: int | None = None,
        updated_at: int | None = None,
        delay: int | None = None,
        previous_result: Any = None,
        previous_message_uuid: str | None = None,
        callback_message_data: dict[str, Any] | None = None,
        backoff_settings: BackoffSettingsType | None = None,
        mechanism: SupportedMechanismType = DEFAULT_MECHANISM,
        linked_lock: LinkedLock | None = None,
    ) -> None:
        self.task_name = rules.check_name(task_name, "task name")
        self.queue = DEFAULT_QUEUE if queue is None else rules.check_name(queue, "queue")
        self.args = () if args is None else rules.check_args(args)
        self.kwargs = {} if kwargs is None else rules.check_mapping(kwargs, "kwargs")
        self.priority = 0 if priority == 0 else rules.check_priority(priority)
        self.metadata = None if metadata is None else rules.check_mapping(metadata, "metadata")
        self.result_ttl = None if result_ttl is None else rules.check_ms(result_ttl, "result_ttl", least=1)
        # One reading for both: a body leaves out a time that its uuid tells as well.
        now = time.time_ns() // 1_000_000
        self.uuid = new_uuid(now) if uuid is None else rules.check_uuid(uuid)
        self.progenitor_uuid = progenitor_uuid and rules.check_uuid(progenitor_uuid, "progenitor_uuid")
        self.retries = 0 if retries == 0 else rules.check_count(retries, "number of retries")
        self.timeout = rules.check_ms(timeout, "timeout", least=1)
        if (created_at is None) is not (updated_at is None):
            raise ValidationError("Give both created_at and updated_at, or neither")
        self.created_at = now if created_at is None else rules.check_ms(created_at, "time created_at")
        self.updated_at = now if updated_at is None else rules.check_ms(updated_at, "time updated_at")
        self.delay = 0 if delay is None else rules.check_ms(delay, "delay")
        self.previous_result = previous_result
        self.previous_message_uuid = previous_message_uuid and rules.check_uuid(
            previous_message_uuid, "previous_message_uuid"
        )
        self.callback_message_data = callback_message_data and rules.check_callback(callback_message_data)
        self._backoff_settings = backoff_settings and rules.check_backoff(backoff_settings)
        self.mechanism = rules.check_mechanism(mechanism)
        self.linked_lock = linked_lock
        self.exception_details = exception_details
        self.lease: Lease | None = None
        self.unknown_fields: dict[str, Any] | None = None
        self._ephemeral_state: dict[str, Any] | None = None

    @classmethod
    def from_record(
        cls,
        *,
        task_name: str,
        uuid: str,
        queue: str,
        created_at: int,
        updated_at: int | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        priority: int = 0,
        metadata: dict[str, Any] | None = None,
        exception_details: ExceptionDetails | None = None,
        result_ttl: int | None = None,
        progenitor_uuid: str | None = None,
        retries: int = 0,
        timeout: int = DEFAULT_TASK_TIMEOUT,
        delay: int = 0,
        previous_result: Any = None,
        previous_message_uuid: str | None = None,
        callback_message_data: dict[str, Any] | None = None,
        backoff_settings: BackoffSettingsType | None = None,
        mechanism: SupportedMechanismType = DEFAULT_MECHANISM,
        linked_lock: LinkedLock | None = None,
        unknown_fields: dict[str, Any] | None = None,
    ) -> Self:
        """Rebuild a message from fields that were checked when it was made; nothing is checked again."""
        self = cls.__new__(cls)
        self.task_name = task_name
        self.queue = queue
        self.args = args
        self.kwargs = {} if kwargs is None else kwargs
        self.priority = priority
        self.metadata = metadata
        self._exception_details = exception_details
        self.result_ttl = result_ttl
        self.uuid = uuid
        self.progenitor_uuid = progenitor_uuid
        self.retries = retries
        self.timeout = timeout
        self.created_at = created_at
        self.updated_at = created_at if updated_at is None else updated_at
        self.delay = delay
        self.previous_result = previous_result
        self.previous_message_uuid = previous_message_uuid
        self.callback_message_data = callback_message_data
        self._backoff_settings = backoff_settings
        self.mechanism = mechanism
        self.linked_lock = linked_lock
        self.lease = None
        self.unknown_fields = unknown_fields
        self._ephemeral_state = None
        return self

    def twin(self, uuid: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Self:
        """Make a new message like this one, but for these; a UUIDv7 says when it was made."""
        new = self.__class__.__new__(self.__class__)
        new.task_name = self.task_name
        new.queue = self.queue
        new.args = args
        new.kwargs = kwargs
        new.priority = self.priority
        new.metadata = self.metadata
        new._exception_details = self._exception_details
        new.result_ttl = self.result_ttl
        new.uuid = uuid
        new.progenitor_uuid = self.progenitor_uuid
        new.retries = self.retries
        new.timeout = self.timeout
        new.created_at = new.updated_at = made_at(uuid) or self.created_at
        new.delay = self.delay
        new.previous_result = self.previous_result
        new.previous_message_uuid = self.previous_message_uuid
        new.callback_message_data = self.callback_message_data
        new._backoff_settings = self._backoff_settings
        new.mechanism = self.mechanism
        new.linked_lock = self.linked_lock
        new.lease = None
        new.unknown_fields = self.unknown_fields
        new._ephemeral_state = None
        return new

    @property
    def data(self) -> dict[str, Any]:
        """All fields as a plain dict; `Message(**message.data)` is an equal message."""
        details = self._exception_details
        return {
            "task_name": self.task_name,
            "queue": self.queue,
            "args": self.args,
            "kwargs": self.kwargs,
            "priority": self.priority,
            "metadata": self.metadata,
            "exception_details": None if details is None else details.as_dict(),
            "result_ttl": self.result_ttl,
            "uuid": self.uuid,
            "progenitor_uuid": self.progenitor_uuid,
            "retries": self.retries,
            "timeout": self.timeout,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "delay": self.delay,
            "previous_result": self.previous_result,
            "previous_message_uuid": self.previous_message_uuid,
            "callback_message_data": self.callback_message_data,
            "backoff_settings": self.backoff_settings,
            "mechanism": self.mechanism,
            "linked_lock": self.linked_lock,
        }

    @property
    def exception_details(self) -> ExceptionDetails | None:
        """What the last attempt raised."""
        return self._exception_details

    @exception_details.setter
    def exception_details(self, value: ExceptionDetails | dict[str, Any] | None) -> None:
        if value is None or isinstance(value, ExceptionDetails):
            self._exception_details = value
        elif isinstance(value, dict):
            self._exception_details = ExceptionDetails(**value)
        else:
            raise TypeError(f"exception_details must be ExceptionDetails, a dict or None, not {type(value).__name__}")

    @property
    def backoff_settings(self) -> BackoffSettingsType:
        """`settings` of the backoff between attempts."""
        # Made on demand: most messages have the default, and few are ever asked.
        if self._backoff_settings is None:
            self._backoff_settings = ExponentialBackoff().settings
        return self._backoff_settings

    @backoff_settings.setter
    def backoff_settings(self, value: BackoffSettingsType | None) -> None:
        self._backoff_settings = value

    @property
    def own_backoff_settings(self) -> BackoffSettingsType | None:
        """The same, or None where the default applies and nobody looked at it."""
        return self._backoff_settings

    @property
    def duplicate_of(self) -> str | None:
        """The uuid of the message that was there already when this one, a unique one, was enqueued; else `None`.

        It is the message's own uuid from then on: its result and status are those of the one that was there.
        """
        return None if self._ephemeral_state is None else self._ephemeral_state.get("duplicate_of")

    @property
    def ephemeral_state(self) -> dict[str, Any]:
        """Whatever the process that holds the message wants to remember with it; never stored, not in `data`."""
        if self._ephemeral_state is None:
            self._ephemeral_state = {}
        return self._ephemeral_state

    @ephemeral_state.setter
    def ephemeral_state(self, value: dict[str, Any]) -> None:
        self._ephemeral_state = value
