"""What stands in the queues, for people: one object that the command line, a dashboard or a script of your own asks.

It reads indexes and records, never the whole keyspace, so a look costs the same with a million messages. It is safe for
threads; in a program on asyncio, call it by `asyncio.to_thread`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from alsek.core.rules import check_priority
from alsek.exceptions import MessageStateError, QueueStateError, ValidationError
from alsek.tools.explanation import REASONS
from alsek.tools.facts import MessageInfo, Minute, Page, Pause, QueueInfo, RunningInfo, Step, TaskInfo, WorkerInfo
from alsek.tools.looking import MOST_IN_A_PAGE, STATES, Looking
from alsek.tools.operations import Operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alsek.core.broker import Broker
    from alsek.storage.backends.redis.scripts import Code

__all__ = [
    "STATES",
    "Inspector",
    "MessageInfo",
    "Minute",
    "Page",
    "Pause",
    "QueueInfo",
    "RunningInfo",
    "Step",
    "TaskInfo",
    "WorkerInfo",
]


class Inspector(Looking):
    """Looks at the queues of a broker, and acts on what it sees.

    Args:
        broker: Whose queues.
    """

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self._operations = Operations(broker)

    def pause(self, queue: str, reason: str, *, by: str = "") -> Pause:
        """Have a queue give nothing: new messages are accepted, what runs goes on, and the rest waits.

        Args:
            queue: One that has had a message, or that a worker listens to.
            reason: For those who wonder; one line.
            by: Who wants it.

        Raises:
            UnknownQueueError: Nobody knows it.
            QueueStateError: It is paused already; the first pause stands.
        """
        self.check_queue(queue)
        if not self._operations.pause(queue, reason, by):
            before = self.queue(queue).paused
            raise QueueStateError(f"queue {queue} is paused already{_because(before)}", queue=queue)
        done = self.queue(queue).paused
        return done if done is not None else Pause(reason, self._look.now_ms(), by)  # resumed at once by another

    def resume(self, queue: str) -> Pause:
        """Let a paused queue go on, and wake idle workers; gives the pause that is over.

        Raises:
            UnknownQueueError: Nobody knows it.
            QueueStateError: It is not paused.
        """
        self.check_queue(queue)
        before = self.queue(queue).paused
        if not self._operations.resume(queue) or before is None:
            raise QueueStateError(f"queue {queue} is not paused", queue=queue)
        return before

    def revoke(self, uuid: str) -> MessageInfo:
        """End a message: a waiting one never runs, a running one is stopped; gives what it was before.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
            MessageStateError: It is not waiting or running.
        """
        info = self.message(uuid)
        alive = info.state in ("ready", "delayed", "running")
        if not alive or not self._operations.revoke(info).accepted:
            raise MessageStateError(f"{uuid} is {info.state} already", uuid=uuid)
        return info

    def reprioritize(self, uuid: str, priority: int) -> MessageInfo:
        """Give a waiting message another priority, and its place in that line; gives what it was before.

        Raises:
            ValidationError: That is no priority.
            MessageDoesNotExistsError: It never was, or ended a while ago.
            MessageStateError: It does not wait.
        """
        check_priority(priority)
        info = self.message(uuid)
        if not self._operations.reprioritize(info, priority).accepted:
            raise MessageStateError(f"{uuid} is {self._state(info)}: only what waits has a priority", uuid=uuid)
        return info

    def run_now(self, uuid: str) -> MessageInfo:
        """Make a delayed message ready (also: a retry in its backoff); gives what it was before.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
            MessageStateError: It is not delayed.
        """
        info = self.message(uuid)
        if info.state != "delayed" or not self._operations.run_now(info).accepted:
            raise MessageStateError(f"{uuid} is {self._state(info)}, not delayed", uuid=uuid)
        return info

    def replay(self, uuid: str) -> MessageInfo:
        """Give a dead letter a new life; gives what it was before.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
            MessageStateError: It is not among the dead letters.
        """
        return self._one_dead(uuid, self._operations.replay)

    def replay_all(
        self, queue: str, *, task: str | None = None, reason: str | None = None, most: int | None = None
    ) -> Iterator[MessageInfo]:
        """Give the dead letters of a queue a new life, each in one step, and tell of each.

        What somebody else replayed meanwhile is left out, and what dies again meanwhile is not replayed twice.

        Args:
            queue: Which.
            task: Only of this task.
            reason: Only what died of this.
            most: At most so many.
        """
        return self._all_dead(queue, task, reason, most, self._operations.replay)

    def purge(self, uuid: str) -> MessageInfo:
        """Delete a dead letter for good; gives what it was.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
            MessageStateError: It is not among the dead letters: nothing else is ever purged.
        """
        return self._one_dead(uuid, self._operations.purge)

    def purge_all(
        self, queue: str, *, task: str | None = None, reason: str | None = None, most: int | None = None
    ) -> Iterator[MessageInfo]:
        """Delete the dead letters of a queue for good, and tell of each.

        What is replayed meanwhile stays, and so does what dies meanwhile.

        Args:
            queue: Which.
            task: Only of this task.
            reason: Only what died of this.
            most: At most so many.
        """
        return self._all_dead(queue, task, reason, most, self._operations.purge)

    def _one_dead(self, uuid: str, act: Callable[[str, Sequence[MessageInfo]], list[Code]]) -> MessageInfo:
        info = self.message(uuid)
        queue = info.queue or self._look.home(uuid, sorted(self.broker.redis.queue_names()))
        if info.state != "dead" or not act(queue, [info])[0].accepted:
            raise MessageStateError(f"{uuid} is {self._state(info)}, not among the dead letters", uuid=uuid)
        return info

    def _all_dead(
        self,
        queue: str,
        task: str | None,
        reason: str | None,
        most: int | None,
        act: Callable[[str, Sequence[MessageInfo]], list[Code]],
    ) -> Iterator[MessageInfo]:
        self.check_queue(queue)
        if reason is not None and reason not in REASONS:
            raise ValidationError(f"reason has to be one of {', '.join(REASONS)}: {reason!r}")
        return self._act_on_all(queue, task, reason, most, act)

    def _act_on_all(
        self,
        queue: str,
        task: str | None,
        reason: str | None,
        most: int | None,
        act: Callable[[str, Sequence[MessageInfo]], list[Code]],
    ) -> Iterator[MessageInfo]:
        cursor: str | None = None
        left = most
        began = self._look.now_ms()
        while True:
            page = self.messages(queue, "dead", task=task, limit=MOST_IN_A_PAGE, cursor=cursor)
            chosen = [i for i in page.messages if (reason is None or i.reason == reason) and (i.ended_at or 0) <= began]
            chosen = chosen[:left]
            for info, code in zip(chosen, act(queue, chosen), strict=True):
                if code.accepted:
                    yield info
            left = None if left is None else left - len(chosen)
            if page.cursor is None or left == 0:
                return
            cursor = page.cursor


def _because(pause: Pause | None) -> str:
    if pause is None:
        return ""
    since = datetime.fromtimestamp(pause.since / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    by = f" by {pause.by}" if pause.by else ""
    return f", since {since}{by}{': ' + pause.reason if pause.reason else ''}"
