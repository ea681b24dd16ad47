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
        workers: Workers that listen to it.
        submitted_per_minute: Over the last five minutes, or since its first message in them.
        finished_per_minute: What succeeded or failed for good, over the same time.
        drain_ms: How long what is ready will take at that pace if nothing is added; `None`: nothing finishes.
    """

    name: str
    ready: int
    delayed: int
    running: int
    dead: int
    waiting_ms: int
    due_in_ms: int | None
    paused: Pause | None = None
    workers: int = 0
    submitted_per_minute: float = 0.0
    finished_per_minute: float = 0.0
    drain_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Minute:
    """What happened in a queue in one minute.

    Attributes:
        at: When it began, ms since the epoch, on Redis' clock.
        submitted: New messages, those of schedules and callbacks included.
        claimed: Messages that workers took, each time.
        succeeded: Messages that succeeded.
        retried: Attempts that failed and are repeated.
        failed: Messages that failed for good.
        dead: What ended badly, by reason; `revoked` and `expired` are no failures.
        wait_ms: How long what was claimed had been ready, on average (of messages claimed together, as long as the one
            in the middle); `None`: nothing was.
        held_ms: How long what succeeded had been held by its worker, on average; `None`: nothing did.
    """

    at: int
    submitted: int
    claimed: int
    succeeded: int
    retried: int
    failed: int
    dead: dict[str, int]
    wait_ms: float | None
    held_ms: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step in the life of a message.

    Attributes:
        at: When it began, ms since the epoch: an attempt when it was claimed.
        what: `submitted`; of an attempt `running`, `succeeded`, or how else it ended: `retried`, `failed`, `crashed`
            (its process died), `lapsed` (its worker vanished), `revoked`, `postponed` (it snoozed), `refused` (its
            task was unknown); `replayed`; `dead`, with the reason as `note`.
        worker: Who had it.
        host: Where that worker ran, as far as that is remembered.
        duration_ms: How long the attempt took; so far, if it runs.
        note: The error, in one line.
    """

    at: int
    what: str
    worker: str = ""
    host: str = ""
    duration_ms: int | None = None
    note: str = ""


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
        claimed_at: When a worker took it, if it runs or has succeeded.
        worker: Id of the worker that holds it, or held it last.
        reason: Why it died: `failed`, `revoked`, `expired`, `crash_loop`, `rejected`, `unknown_task`, `corrupt`.
        ended_at: When it ended.
        error: The last exception.
        args: Positional arguments; `None` where they cannot be read.
        kwargs: Keyword arguments; `None` where they cannot be read.
        timeline: What became of it, the oldest first: of attempts that did not end well the last ten.
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
    claimed_at: int | None = None
    worker: str = ""
    reason: str = ""
    ended_at: int | None = None
    error: ExceptionDetails | None = None
    args: Any = None
    kwargs: Any = None
    timeline: tuple[Step, ...] = ()
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


@dataclass(frozen=True, slots=True)
class RunningInfo:
    """A message that a worker runs.

    Attributes:
        uuid: Its id.
        queue: Its queue.
        task: Its task; empty where it has ended meanwhile.
        since: When it started, ms since the epoch, on Redis' clock.
    """

    uuid: str
    queue: str
    task: str
    since: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it described itself with its last beat. Times are ms since the epoch, on Redis' clock.

    Attributes:
        id: Of this boot of it.
        host: Where it runs.
        pid: Of its supervisor.
        state: `starting`, `running` or `draining`.
        queues: What it listens to, in order of preference.
        narrowed: Of a queue from which it takes only some tasks, their names.
        tasks: The tasks it knows.
        mechanisms: How it runs them.
        slots: Messages that it can run at a time.
        busy: Messages that it runs.
        processes: Child processes at work.
        running: What it runs, the longest running first; at most 50.
        started: When it booted.
        last_beat: When it last spoke.
        version: Of Alsek.
        python: Version of Python.
    """

    id: str
    host: str
    pid: int
    state: str
    queues: tuple[str, ...]
    narrowed: dict[str, tuple[str, ...]]
    tasks: tuple[str, ...]
    mechanisms: tuple[str, ...]
    slots: int
    busy: int
    processes: int
    running: tuple[RunningInfo, ...]
    started: int
    last_beat: int
    version: str
    python: str

    def listens_to(self, queue: str, task: str = "") -> bool:
        """Tell whether it takes messages of a queue (and of a task)."""
        wanted = self.narrowed.get(queue, ())
        return queue in self.queues and (not task or not wanted or task in wanted)


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task as a worker described it; known for seven days after the last worker that had it.

    Attributes:
        name: Of the task.
        queue: Where its messages go.
        mechanism: `thread`, `process` or `async`.
        timeout: Longest run of one attempt, ms.
        max_retries: Attempts after the first; `None`: no limit.
        doc: Docstring of its function.
        parameters: JSON Schema of what it takes, by name.
        keeps_results: Whether its results are stored.
        workers: Workers that know it now.
    """

    name: str
    queue: str
    mechanism: str
    timeout: int
    max_retries: int | None
    doc: str
    parameters: dict[str, Any]
    keeps_results: bool
    workers: int
