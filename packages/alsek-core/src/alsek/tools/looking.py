"""Looks at queues and messages: the half of `Inspector` that changes nothing."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from alsek.core.rules import check_name
from alsek.exceptions import MessageDoesNotExistsError, UnknownQueueError, UnknownTaskError, ValidationError
from alsek.storage.backends.redis.counts import MOST_MINUTES
from alsek.storage.backends.redis.look import LETTERS, Look, Place, open_place, pack_place
from alsek.tools.explanation import Standing, explain
from alsek.tools.facts import MessageInfo, Minute, Page, QueueInfo, TaskInfo, WorkerInfo
from alsek.tools.history import with_hosts
from alsek.tools.operations import open_pause
from alsek.tools.records import told, with_times
from alsek.tools.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.broker import Broker

#: States that a list can be asked for.
STATES: Final = tuple(LETTERS)

#: Most messages of one page, and most that are looked at to fill it when a task is asked for.
MOST_IN_A_PAGE: Final = 500
_MOST_LOOKED_AT: Final = 1_000


class Looking:
    """Looks at the queues of a broker.

    Args:
        broker: Whose queues.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._look = Look(broker.redis, broker.verbs.policy.weight)
        self._roster = Roster(broker.redis, self._look)

    def queues(self) -> list[QueueInfo]:
        """Give all queues that ever had a message or have a worker, by name."""
        listeners = self._roster.listeners() or []
        heard = {queue for worker in listeners for queue in worker.queues}
        return self._queues(sorted(self.broker.redis.queue_names() | heard), listeners)

    def queue(self, name: str) -> QueueInfo:
        """Give one queue; one that never had a message is empty.

        Raises:
            ValidationError: That cannot be the name of a queue.
        """
        check_name(name, "queue")
        return self._queues([name], self._roster.listeners() or [])[0]

    def throughput(self, queue: str, minutes: int = 60) -> list[Minute]:
        """Give what happened in a queue minute by minute, the oldest first; the last is the minute that runs.

        Counted by the engine in the same step as what is counted, so that a crash loses nothing of it.

        Args:
            queue: Which.
            minutes: 1 to 360: so long counts are kept.

        Raises:
            ValidationError: That cannot be the name of a queue, or minutes are out of their range.
        """
        return self.throughput_of([queue], minutes)[0]

    def throughput_of(self, queues: Sequence[str], minutes: int = 60) -> list[list[Minute]]:
        """Give what `throughput` does for each of many queues, by one round trip for all of them.

        Raises:
            ValidationError: As there.
        """
        for queue in queues:
            check_name(queue, "queue")
        if not 1 <= minutes <= MOST_MINUTES:
            raise ValidationError(f"minutes has to be 1 to {MOST_MINUTES}: {minutes!r}")
        found = self._look.minutes(queues, minutes)
        quiet = {at: _minute(at, {}) for at, _ in found[0]} if found else {}  # most minutes of most queues are
        return [[_minute(at, counts) if counts else quiet[at] for at, counts in of_queue] for of_queue in found]

    def workers(self) -> list[WorkerInfo]:
        """Give the workers that live, by host and pid; one that was killed counts as gone after two leases."""
        return self._roster.workers()

    def tasks(self) -> list[TaskInfo]:
        """Give all tasks that workers have described in the last seven days, by name."""
        return self._roster.tasks()

    def task(self, name: str) -> TaskInfo:
        """Give one task.

        Raises:
            UnknownTaskError: No worker has described it.
        """
        tasks = {task.name: task for task in self.tasks()}
        if name not in tasks:
            close = get_close_matches(name, tasks, 1)
            hint = f"did you mean {close[0]}?" if close else "no worker has described it"
            raise UnknownTaskError(f"there is no task {name}: {hint}", task_name=name)
        return tasks[name]

    def messages(
        self, queue: str, state: str = "ready", *, task: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """Give messages of a queue that are in one state, in the order of their index.

        Args:
            queue: Which.
            state: `ready` (the next to run first), `delayed` (by due time), `running` (by the end of the lease) or
                `dead` (by the end of their keeping).
            task: Only of this task; so many messages are looked at for it that a page may come back short.
            limit: Most messages, 1 to 500.
            cursor: Of the page before.

        Raises:
            ValidationError: No such state, a limit out of its range, or a cursor that is none.
        """
        check_name(queue, "queue")
        if state not in LETTERS:
            raise ValidationError(f"state has to be one of {', '.join(STATES)}: {state!r}")
        if not 1 <= limit <= MOST_IN_A_PAGE:
            raise ValidationError(f"limit has to be 1 to {MOST_IN_A_PAGE}: {limit!r}")
        place = None if cursor is None else open_place(cursor)
        found: list[MessageInfo] = []
        looked_at = 0
        # Of messages that are only looked at, no more is read than their task.
        step = limit if task is None else MOST_IN_A_PAGE
        while looked_at < _MOST_LOOKED_AT:
            places = self._look.page(queue, state, place, step)
            looked_at += len(places)
            chosen = places if task is None else self._of_task(places, task)
            left = limit - len(found)
            found += self._infos(chosen[:left], state)
            if len(chosen) >= left:
                return Page(found, pack_place(chosen[left - 1]))
            if len(places) < step:
                return Page(found, None)
            place = places[-1]
        return Page(found, pack_place(place) if place is not None else None)

    def message(self, uuid: str) -> MessageInfo:
        """Give one message.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
        """
        (record,) = self._look.records([uuid])
        if not record:
            raise MessageDoesNotExistsError(
                f"no message {uuid}: it never was, or it ended more than {self.broker.receipt_ms // 1000} s ago",
                uuid=uuid,
            )
        info = told(uuid, record, self.broker.backend.serializer)
        seen = [step.worker for step in info.timeline if step.worker]
        if seen:
            hosts = self._roster.hosts(seen)
            info = replace(info, timeline=with_hosts(info.timeline, hosts, self._look.now_ms()))
        if isinstance(record, bytes):
            return info
        _, due, lease, _ = self._look.standing(uuid, info.queue)
        return with_times(info, due, lease)

    def explain(self, uuid: str) -> str:
        """Say in one sentence why a message does not run now, or that it does.

        Raises:
            MessageDoesNotExistsError: It never was, or ended a while ago.
        """
        info = self.message(uuid)
        rank, _, _, clock = self._look.standing(uuid, info.queue) if info.queue else (None, None, None, 0)
        pause = self._look.pause(info.queue) if info.state in ("ready", "delayed") and info.queue else None
        nobody = "" if info.state not in ("ready", "delayed") or not info.queue else self._nobody(info)
        around = Standing(self._look.now_ms(), rank, clock, self.broker.lease_ms, open_pause(pause), nobody)
        return explain(info, around)

    def check_queue(self, queue: str) -> None:
        """Refuse the name of a queue that nobody knows.

        Raises:
            ValidationError: That cannot be the name of a queue.
            UnknownQueueError: It never had a message, and no worker listens to it.
        """
        check_name(queue, "queue")
        names = self.broker.redis.queue_names()
        if queue not in names:
            names |= {heard for worker in self._roster.listeners() or [] for heard in worker.queues}
        if queue not in names:
            close = get_close_matches(queue, names, 1)
            hint = f"did you mean {close[0]}?" if close else "it never had a message, and no worker listens to it"
            if not names:
                hint = f"no queue has had a message in namespace {self.broker.redis.namespace} yet"
            raise UnknownQueueError(f"there is no queue {queue}: {hint}", queue=queue)

    def check_task(self, name: str) -> None:
        """Refuse the name of a task that no worker has described, where some have described others.

        Raises:
            UnknownTaskError: So it is.
        """
        if self.tasks():
            self.task(name)

    def now_ms(self) -> int:
        """Give Redis' own time, ms since the epoch: all times here are told by it."""
        return self._look.now_ms()

    def close(self) -> None:
        """Drop the connection; the next look makes a new one."""
        self._look.close()

    def _nobody(self, info: MessageInfo) -> str:
        """Why no worker will take a message; empty where one may."""
        listeners = self._roster.listeners()
        if listeners is None:  # consumers of their own making do not say that they are there
            return ""
        if not any(worker.listens_to(info.queue) for worker in listeners):
            return "no worker listens to it"
        able = [worker for worker in listeners if worker.listens_to(info.queue, info.task)]
        if not any(not worker.tasks or info.task in worker.tasks for worker in able):
            return f"no worker that listens to it knows the task {info.task}"
        return ""

    def _queues(self, names: list[str], listeners: list[WorkerInfo]) -> list[QueueInfo]:
        now = self._look.now_ms()
        return [
            QueueInfo(
                name=facts.name,
                **facts.counts,
                waiting_ms=0 if facts.head_ms is None else max(0, now - facts.head_ms),
                due_in_ms=None if facts.due_ms is None else max(0, facts.due_ms - now),
                paused=open_pause(facts.pause),
                workers=sum(facts.name in worker.queues for worker in listeners),
                submitted_per_minute=round(facts.pace.submitted, 2),
                finished_per_minute=round(facts.pace.finished, 2),
                drain_ms=_drain_ms(facts.counts["ready"], facts.pace.finished),
            )
            for facts in self._look.queues(names, now)
        ]

    def _of_task(self, places: list[Place], task: str) -> list[Place]:
        tasks = self._look.tasks_of([place.uuid for place in places])
        return [place for place in places if tasks.get(place.uuid) == task]

    def _infos(self, places: list[Place], state: str) -> list[MessageInfo]:
        # One that ended between the two looks left a receipt, for which its score says nothing.
        serializer = self.broker.backend.serializer
        timed = {"delayed": "due", "running": "lease"}.get(state, "")
        return [
            told(place.uuid, record, serializer, **({timed: place.score} if timed else {}))
            for place, record in zip(places, self._look.records([place.uuid for place in places]), strict=True)
        ]

    def _state(self, before: MessageInfo) -> str:
        (record,) = self._look.records([before.uuid])
        return told(before.uuid, record, self.broker.backend.serializer).state if record else "gone"


def _drain_ms(ready: int, finished_per_minute: float) -> int | None:
    if ready == 0:
        return 0
    return int(ready / finished_per_minute * 60_000) if finished_per_minute > 0 else None


def _minute(at: int, counts: dict[str, int]) -> Minute:
    claimed, succeeded = counts.get("c", 0), counts.get("k", 0)
    return Minute(
        at=at,
        submitted=counts.get("s", 0),
        claimed=claimed,
        succeeded=succeeded,
        retried=counts.get("r", 0),
        failed=counts.get("f", 0),
        dead={what.removeprefix("x:"): n for what, n in counts.items() if what.startswith("x:")},
        wait_ms=counts.get("w", 0) / claimed if claimed else None,
        held_ms=counts.get("h", 0) / succeeded if succeeded else None,
    )
