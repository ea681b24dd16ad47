"""The states that a message is reported in. Numbers are upstream's; new states only get new numbers."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple


class TaskStatus(Enum):
    """State of a message, as its status tracker reports it."""

    UNKNOWN = 0
    SUBMITTED = 1
    RUNNING = 2
    RETRYING = 3
    FAILED = 4
    SUCCEEDED = 5
    #: Nobody ran it before its ttl was over (ours; upstream's numbers end at 5).
    EXPIRED = 6


#: Nothing follows on these.
TERMINAL_TASK_STATUSES = (TaskStatus.FAILED, TaskStatus.SUCCEEDED, TaskStatus.EXPIRED)


class StatusUpdate(NamedTuple):
    """A status, and what the task said along with it."""

    status: TaskStatus
    details: Any | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the *name* of the status, and the details."""
        return {"status": self.status.name, "details": self.details}
