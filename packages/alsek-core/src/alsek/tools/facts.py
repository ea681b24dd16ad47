"""What `Inspector` tells: plain values, each true at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsek.core.progress import Progress
    from alsek.types import ExceptionDetails


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a queue gives nothing.

    Attributes:
        reason: In the words of who paused it.
        since: When, ms since the epoch, on Redis' clock.
        by: Who, as far as that was told.
    """

    reason: str
    since: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue at one moment.

    Attributes:
        name: Of the queue.
        ready: Messages that wait to be run now.
        delayed: Messages that wait for their time: delays, and retries in their backoff.
        running: Messages that a worker holds.
        dead: Dead letters.
        waiting_ms: How long the message at the head of the line has been ready; 0: none is.
        due_in_ms: When the next delayed message is due; `None`: none is delayed.
        paused: Since when it gives nothing, and why; `None`: it does.
    """

    name: str
    ready: int
    delayed: int
    running: int
    dead: int
    waiting_ms: int
    due_in_ms: int | None
    paused: Pause | None = None


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """A message at one moment. Times are ms since the epoch, on Redis' clock.

    Attributes:
        uuid: Its id.
        state: `ready`, `delayed`, `running`, `dead`; for about a minute after the end `succeeded`, `failed`,
            `revoked` or `expired`.
        task: Its task; empty once it has ended.
        queue: Its queue; empty once it has ended.
        priority: Lower runs sooner.
        retries: Attempts that failed and were repeated.
        deliveries: How often a worker got it, without what was given back unharmed.
        fence: How often it was claimed at all.
        created_at: When it was made.
        due_at: When it may run, if it is delayed.
        leased_until: When its lease ends, if it runs.
        worker: Id of the worker that holds it, or held it last.
        reason: Why it died: `failed`, `revoked`, `expired`, `crash_loop`, `rejected`, `unknown_task`, `corrupt`.
        ended_at: When it ended.
        error: The last exception.
        args: Positional arguments; `None` where they cannot be read.
        kwargs: Keyword arguments; `None` where they cannot be read.
        progress: What its present, or last, run said of how far it has come.
    """

    uuid: str
    state: str
    task: str = ""
    queue: str = ""
    priority: int = 0
    retries: int = 0
    deliveries: int = 0
    fence: int = 0
    created_at: int | None = None
    due_at: int | None = None
    leased_until: int | None = None
    worker: str = ""
    reason: str = ""
    ended_at: int | None = None
    error: ExceptionDetails | None = None
    args: Any = None
    kwargs: Any = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages of a list.

    Attributes:
        messages: In the order of the list; with several partitions, one partition after the other.
        cursor: Continues the list; `None`: this was the end.
    """

    messages: list[MessageInfo]
    cursor: str | None
