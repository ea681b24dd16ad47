"""The one value that travels: what to run, with what, and how often it was tried.

A message is checked when it is made, in the program that makes it, where a mistake can still be seen. What comes back
from the backend was checked then, and is not checked again.
"""

from __future__ import annotations

import logging
import time
from copy import deepcopy
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Self

from alsek.core import rules
from alsek.core.backoff import settings2backoff
from alsek.core.fields import Lease, LinkedLock, MessageFields
from alsek.core.ids import new_uuid
from alsek.exceptions import ValidationError

__all__ = ["Lease", "LinkedLock", "Message"]

log = logging.getLogger(__name__)


class Message(MessageFields):
    """A request to run a task.

    Args:
        task_name: Name of the task.
        queue: Queue to wait in.
        args: Positional arguments for the task; always a tuple afterwards.
        kwargs: Named arguments for the task.
        priority: Lower is sooner, from 0.
        metadata: Whatever else should travel along.
        exception_details: What the last attempt raised.
        result_ttl: How long the result is kept (ms); None for the default retention.
        uuid: Id of the message; a UUIDv7 unless given.
        progenitor_uuid: Id of the root of the chain of callbacks, or of the first message of a trigger.
        retries: Attempts after the first one.
        timeout: How long one attempt may take (ms).
        created_at: When the message was made (ms since the epoch, UTC). Goes with `updated_at`.
        updated_at: When it last changed, which is when its last attempt failed.
        delay: How long to wait before the first attempt (ms).
        previous_result: Result of the message that this one is the callback of.
        previous_message_uuid: Id of that message.
        callback_message_data: `data` of the message to submit after this one.
        backoff_settings: `settings` of the backoff between attempts.
        mechanism: How the task is executed.
        linked_lock: A lock to release along with the message.

    Raises:
        ValidationError: A value breaks a rule.
        TypeError: `exception_details` is neither a dict nor `ExceptionDetails`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        fields = self.data
        for name in ("created_at", "updated_at"):
            fields[name] = datetime.fromtimestamp(fields[name] / 1000, tz=UTC)
        lines = (
            f"    {name}='{value}',\n" if isinstance(value, str | datetime) else f"    {name}={value},\n"
            for name, value in fields.items()
        )
        return f"{type(self).__name__}(\n{''.join(lines)})"

    @property
    def summary(self) -> str:
        """Uuid, queue and task on one line."""
        return f"Message(uuid='{self.uuid}', queue='{self.queue}', task='{self.task_name}')"

    @property
    def descendant_uuids(self) -> list[str] | None:
        """Ids of all nested callbacks, in the order in which they will run; None without a callback."""
        uuids = []
        data = self.callback_message_data
        while data:
            uuids.append(data["uuid"])
            data = data.get("callback_message_data")
        return uuids or None

    def get_backoff_duration(self) -> int:
        """Return how long to wait before the next attempt (ms), after as many failures as there were."""
        return settings2backoff(self.backoff_settings).get(self.retries)

    @property
    def ready_at(self) -> int:
        """When the message may run (ms since the epoch): its delay counts from its making, backoff from the failure."""
        start = self.created_at + self.delay
        if self.retries:
            start = max(start, self.updated_at)
        return start + self.get_backoff_duration()

    @property
    def ttr(self) -> int:
        """Milliseconds until the message may run, by the clock of this host."""
        return max(self.ready_at - time.time_ns() // 1_000_000, 0)

    @property
    def ready(self) -> bool:
        """Whether the message may run by now, by the clock of this host."""
        return self.ttr == 0

    def link_lock(self, lock: Any, override: bool = False) -> Self:
        """Have a lock released along with the message.

        Args:
            lock: Anything with `name` and `owner_id`.
            override: Forget a lock that is linked already.

        Raises:
            AttributeError: A lock is linked already (without `override`).
        """
        if self.linked_lock and not override:
            raise AttributeError(f"{self.summary} is linked to the lock '{self.linked_lock['name']}' already")
        self.linked_lock = LinkedLock(name=lock.name, owner_id=lock.owner_id)
        return self

    def release_lock(self, not_linked_ok: bool, target_backend: Any) -> bool:
        """Release the linked lock.

        Args:
            not_linked_ok: Do nothing if there is none.
            target_backend: Where the lock is held.

        Returns:
            Whether it was held, by the owner it was linked with, and is free now.

        Raises:
            AttributeError: No lock is linked (without `not_linked_ok`).
        """
        if not self.linked_lock:
            if not_linked_ok:
                return False
            raise AttributeError(f"{self.summary} is not linked to a lock")
        # By name: this method is upstream's, the lock lives floors above.
        lock = import_module("alsek.core.concurrency").Lock(
            self.linked_lock["name"], backend=target_backend, owner_id=self.linked_lock["owner_id"]
        )
        log.info("Releasing lock for %s...", self.summary)
        if not lock.release():
            log.critical("The lock '%s' of %s was not held.", self.linked_lock["name"], self.summary)
            return False
        log.info("Released lock for %s.", self.summary)
        self.linked_lock = None
        return True

    def clone(self) -> Self:
        """Return a deep copy with the same uuid, without the lease: that stays with the original."""
        copy = deepcopy(self)
        copy.lease = None
        return copy

    def duplicate(self, uuid: str | None = None) -> Self:
        """Return a deep copy with a new uuid."""
        copy = self.clone()
        copy.uuid = new_uuid() if uuid is None else rules.check_uuid(uuid)
        return copy

    def update(self, **data: Any) -> Self:
        """Change fields in place: all of them, or none if one is refused.

        Raises:
            KeyError: There is no such field.
            ValidationError: A value breaks a rule.
        """
        fields = self.data
        for name in data:
            if name not in fields:
                raise KeyError(f"A message has no field '{name}'")
        checked = Message(**fields | data)
        for name in data:
            setattr(self, name, getattr(checked, name))
        return self

    def increment_retries(self) -> Self:
        """Count one more failed attempt, as of now."""
        self.retries += 1
        self.updated_at = time.time_ns() // 1_000_000
        return self

    def add_to_metadata(self, **data: Any) -> Self:
        """Add to the metadata; the dict given before stays as it is.

        Raises:
            KeyError: A key is there already.
            ValueError: Nothing to add.
        """
        self.metadata = _merged(self.metadata or {}, data, "metadata")
        return self

    def add_to_ephemeral_state(self, **data: Any) -> Self:
        """Add to the ephemeral state; the dict given before stays as it is.

        Raises:
            KeyError: A key is there already.
            ValueError: Nothing to add.
        """
        self._ephemeral_state = _merged(self._ephemeral_state or {}, data, "ephemeral state")
        return self


def _merged(present: dict[str, Any], added: dict[str, Any], what: str) -> dict[str, Any]:
    if not added:
        raise ValidationError(f"Nothing to add to the {what}")
    for key in added:
        if key in present:
            raise KeyError(f"'{key}' is in the {what} already")
    return {**present, **added}
