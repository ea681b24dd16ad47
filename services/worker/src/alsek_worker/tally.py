"""What a child counts for Prometheus, in memory that its supervisor reads without asking.

Each pair of queue and task has a row of numbers behind the child's ledger: counters and two histograms. The intake
alone writes them, the supervisor alone adds them up, and a dead child's numbers are still there to be kept. So there
are no files to merge, and counting costs about a microsecond per message.

Only queues and tasks that the pool registered have rows; whatever else comes is counted as `other`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from alsek.core.settlement import Failed, Released, Retried, Succeeded
from alsek.exceptions import LeaseLostError, RevokedError
from alsek.storage.backends.redis.scripts import Code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alsek.core.message import Message
    from alsek.core.settlement import Settlement
    from alsek_worker.attempt import Attempt

#: Label of queues and tasks that nobody registered.
OTHER: Final = "other"

#: Counters of a row, each the middle of `alsek_messages_…_total`.
CLAIMED, SUCCEEDED, FAILED, RETRIED, DEAD_LETTERED, REVOKED, RELEASED, SNOOZED, RECOVERED, LOST = range(10)
COUNTERS: Final = 10

#: Upper bounds in seconds: from a task that does nothing to one that takes half an hour.
BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

#: Upper bounds in seconds of a call to Redis.
REDIS_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

#: A histogram: its sum in microseconds, a number for each bound, and one for what is beyond them.
_HISTOGRAM: Final = 1 + len(BOUNDS) + 1
WAIT: Final = COUNTERS
RUN: Final = WAIT + _HISTOGRAM
ROW: Final = RUN + _HISTOGRAM
REDIS_ROW: Final = 1 + len(REDIS_BOUNDS) + 1

#: More rows than this are a mistake in naming; what is beyond them counts as `other`.
MOST_ROWS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Labels:
    """The queues and tasks of one kind of children: which row is whose.

    Attributes:
        queues: Registered queues.
        tasks: Registered tasks.
    """

    queues: tuple[str, ...]
    tasks: tuple[str, ...]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Queue and task of each row, in order; the first row is for everything else."""
        yield OTHER, OTHER
        count = 1
        for queue in (*self.queues, OTHER):
            for task in (*self.tasks, OTHER):
                if (queue, task) != (OTHER, OTHER) and count < MOST_ROWS:
                    count += 1
                    yield queue, task

    @property
    def numbers(self) -> int:
        """How many numbers of 8 bytes a child needs."""
        return REDIS_ROW + ROW * sum(1 for _ in self.pairs())


class Tally:
    """The numbers of one child.

    Args:
        numbers: Shared memory as unsigned 64-bit numbers, zero at first.
        labels: Which row is whose.
    """

    def __init__(self, numbers: memoryview, labels: Labels) -> None:
        self._numbers = numbers
        self._labels = labels
        self._rows = {pair: REDIS_ROW + i * ROW for i, pair in enumerate(labels.pairs())}
        self._queues, self._tasks = frozenset(labels.queues), frozenset(labels.tasks)

    # What the child does.

    def claimed(self, messages: Sequence[Message]) -> None:
        """Count messages that were just claimed, and how long each had waited since it could have run."""
        numbers, rows, now_ms = self._numbers, self._rows, time.time() * 1000
        for message in messages:
            at = rows.get((message.queue, message.task_name)) or self._row(message)
            numbers[at] += 1
            lease = message.lease
            if lease is not None and lease.deliveries > 1:
                numbers[at + RECOVERED] += 1
            waited_ms = now_ms - (message.ready_at if message.retries else message.created_at + message.delay)
            if waited_ms > 0:
                numbers[at + WAIT] += int(waited_ms * 1000)
                numbers[at + WAIT + 1 + bisect_left(BOUNDS, waited_ms / 1000)] += 1
            else:
                numbers[at + WAIT + 1] += 1

    def settled(self, attempt: Attempt, settlement: Settlement, code: Code) -> None:
        """Count an attempt whose settlement Redis answered."""
        message = attempt.message
        at = self._rows.get((message.queue, message.task_name)) or self._row(message)
        if code is Code.DONE and type(settlement) is Succeeded:  # by far the most, and so by the shortest way
            self._numbers[at + SUCCEEDED] += 1
        elif code is Code.REVOKED:
            self._numbers[at + REVOKED] += 1
        elif not code.accepted:
            self._numbers[at + LOST] += 1
        else:
            for counter in counters_of(settlement, code):
                self._numbers[at + counter] += 1
        if attempt.started:
            self._observe(at + RUN, BOUNDS, attempt.ended - attempt.started)

    def dropped(self, attempt: Attempt) -> None:
        """Count an attempt that leaves nothing to settle: it settled by itself, was revoked, or lost its lease."""
        if attempt.settled_alone is not None:
            self.settled(attempt, attempt.settled_alone, Code.DONE)
        elif attempt.interruption is RevokedError:
            self._numbers[self._row(attempt.message) + REVOKED] += 1
        elif attempt.interruption is LeaseLostError:
            self._numbers[self._row(attempt.message) + LOST] += 1

    def exchanged(self, seconds: float) -> None:
        """Count a round trip to Redis."""
        self._observe(0, REDIS_BOUNDS, seconds)

    # What the supervisor does.

    def rows(self) -> Iterator[tuple[tuple[str, str], list[int]]]:
        """Every row that is not empty, with its queue and task."""
        for pair, at in self._rows.items():
            row = self._numbers[at : at + ROW].tolist()
            if any(row):
                yield pair, row

    def redis(self) -> list[int]:
        """The histogram of round trips."""
        return self._numbers[:REDIS_ROW].tolist()

    def _row(self, message: Message) -> int:
        queue, task = message.queue, message.task_name
        at = self._rows.get((queue, task))
        if at is None:
            pair = (queue if queue in self._queues else OTHER, task if task in self._tasks else OTHER)
            at = self._rows.get(pair, REDIS_ROW)
        return at

    def _observe(self, at: int, bounds: tuple[float, ...], seconds: float) -> None:
        self._numbers[at] += int(seconds * 1e6)
        self._numbers[at + 1 + bisect_left(bounds, seconds)] += 1


class NoTally(Tally):
    """Counts nothing, when nobody wants to know."""

    def __init__(self) -> None:
        super().__init__(memoryview(b"").cast("Q"), Labels((), ()))

    def claimed(self, messages: Sequence[Message]) -> None:
        """Count nothing."""

    def settled(self, attempt: Attempt, settlement: Settlement, code: Code) -> None:
        """Count nothing."""

    def dropped(self, attempt: Attempt) -> None:
        """Count nothing."""

    def exchanged(self, seconds: float) -> None:
        """Count nothing."""


def counters_of(settlement: Settlement, code: Code) -> tuple[int, ...]:
    """Say what an accepted settlement counts as."""
    if isinstance(settlement, Succeeded):
        return (SUCCEEDED,)
    if isinstance(settlement, Retried):
        return (RETRIED,)
    if isinstance(settlement, Failed):
        return (FAILED, DEAD_LETTERED)
    assert isinstance(settlement, Released)
    if code is Code.DEAD:
        return (DEAD_LETTERED,)
    return (SNOOZED,) if settlement.delay_ms and not settlement.counts else (RELEASED,)
