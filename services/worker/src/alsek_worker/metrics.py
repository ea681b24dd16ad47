"""The metrics of a whole pool, on one port: what all children counted, and what the supervisor sees itself.

A child that ends leaves its numbers here, so counters never go back while the pool lives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from operator import add
from threading import Lock
from typing import TYPE_CHECKING, Final

from alsek.tools.families import Described
from alsek_worker.tally import (
    BOUNDS,
    CLAIMED,
    DEAD_LETTERED,
    FAILED,
    LOST,
    RECOVERED,
    REDIS_BOUNDS,
    REDIS_ROW,
    RELEASED,
    RETRIED,
    REVOKED,
    ROW,
    RUN,
    SNOOZED,
    SUCCEEDED,
    WAIT,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from alsek_worker.children import Child
    from alsek_worker.tally import Tally


_PAIR: Final = ("queue", "task")

#: Counters of a row.
MESSAGES: Final = {
    CLAIMED: Described("alsek_messages_claimed_total", "counter", _PAIR, "Messages taken out of their queue."),
    SUCCEEDED: Described("alsek_messages_succeeded_total", "counter", _PAIR, "Messages whose task returned."),
    FAILED: Described("alsek_messages_failed_total", "counter", _PAIR, "Messages whose task failed for good."),
    RETRIED: Described("alsek_messages_retried_total", "counter", _PAIR, "Failed attempts that are tried again."),
    DEAD_LETTERED: Described(
        "alsek_messages_dead_lettered_total", "counter", _PAIR,
        "Messages that this pool moved to the dead letters: failed for good, rejected, or killed too many workers.",
    ),
    REVOKED: Described(
        "alsek_messages_revoked_total", "counter", _PAIR, "Messages that were revoked while this pool had them."
    ),
    RELEASED: Described(
        "alsek_messages_released_total", "counter", _PAIR,
        "Messages given back to the queue: at shutdown, after a crash, taken ahead in vain, or of an unknown task.",
    ),
    SNOOZED: Described("alsek_messages_snoozed_total", "counter", _PAIR, "Messages that their task put off."),
    RECOVERED: Described(
        "alsek_messages_recovered_total", "counter", _PAIR,
        "Messages claimed again after a worker that had them was lost, or gave them back at its crash.",
    ),
}  # fmt: skip

#: The same, by queue alone.
LEASES: Final = {
    LOST: Described(
        "alsek_leases_lost_total", "counter", ("queue",),
        "Leases that lapsed while this pool ran the message: what it did came too late and changed nothing.",
    ),
    RECOVERED: Described(
        "alsek_leases_recovered_total", "counter", ("queue",), "Leases of lost workers that this pool took over."
    ),
}  # fmt: skip

HISTOGRAMS: Final = {
    WAIT: Described(
        "alsek_message_wait_duration_seconds", "histogram", _PAIR,
        "From the moment a message could run until it was claimed.",
    ),
    RUN: Described("alsek_message_run_duration_seconds", "histogram", _PAIR, "From an attempt's start to its end."),
}  # fmt: skip

REDIS: Final = Described(
    "alsek_redis_command_duration_seconds", "histogram", ("command",),
    "Round trips to Redis: `exchange` settles and claims, `renew` keeps the leases.",
)  # fmt: skip
SLOTS: Final = Described(
    "alsek_worker_slots", "gauge", ("queue", "state"),
    "`running` and `held` (taken ahead) by queue; `free` slots belong to no queue.",
)  # fmt: skip
CHILDREN: Final = Described("alsek_worker_children", "gauge", ("kind",), "Child processes that are ready for work.")
DEATHS: Final = Described(
    "alsek_worker_child_deaths_total", "counter", ("kind",), "Child processes that died, or had to be killed."
)
CONNECTED: Final = Described(
    "alsek_worker_redis_up", "gauge", (), "Whether Redis answered the last heartbeat (0 or 1)."
)

ALL: Final = (*MESSAGES.values(), *LEASES.values(), *HISTOGRAMS.values(), REDIS, SLOTS, CHILDREN, DEATHS, CONNECTED)


class PoolMetrics:
    """Collects the numbers of one pool for Prometheus.

    Args:
        pairs: Queue and task of what is registered: shown from the start, so that the first message makes a rate.
        children: Gives the children alive.
        connected: Tells whether Redis answered lately.
    """

    def __init__(
        self, pairs: Iterable[tuple[str, str]], children: Callable[[], Sequence[Child]], connected: Callable[[], bool]
    ) -> None:
        self._children = children
        self._connected = connected
        self._lock = Lock()
        self._tallies: dict[int, Tally] = {}
        self._kept: dict[tuple[str, str], list[int]] = {pair: [0] * ROW for pair in pairs}
        self._kept_redis = [0] * REDIS_ROW
        self._beats = [0] * REDIS_ROW
        self._deaths: Counter[str] = Counter()

    def enlist(self, child: Child) -> None:
        """Count a child from now on."""
        with self._lock:
            self._tallies[child.settings.child] = child.ledger.tally
            self._deaths.setdefault(child.crew.kind, 0)

    def retire(self, child: Child, *, died: bool) -> None:
        """Keep the numbers of a child that ended."""
        with self._lock:
            tally = self._tallies.pop(child.settings.child, None)
            if tally is not None:
                _merge(self._kept, self._kept_redis, tally)
            self._deaths[child.crew.kind] += died

    def note(self, queue: str, task: str, counters: Iterable[int]) -> None:
        """Count what the supervisor settled for a child that could not."""
        with self._lock:
            pair = (queue, task)
            row = self._kept.setdefault(pair, [0] * ROW)
            for counter in counters:
                row[counter] += 1

    def beat(self, seconds: float) -> None:
        """Count a round trip of the heartbeat."""
        with self._lock:
            self._beats[0] += int(seconds * 1e6)
            self._beats[1 + bisect_left(REDIS_BOUNDS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        """Give all metrics as they are now."""
        with self._lock:
            rows = {pair: list(row) for pair, row in self._kept.items()}
            redis, beats = list(self._kept_redis), list(self._beats)
            deaths = dict(self._deaths)
            for tally in self._tallies.values():
                _merge(rows, redis, tally)
        for counter, one in MESSAGES.items():
            yield one.of({pair: row[counter] for pair, row in rows.items()})
        for counter, one in LEASES.items():
            by_queue: Counter[tuple[str, ...]] = Counter()
            for (queue, _), row in rows.items():
                by_queue[queue,] += row[counter]
            yield one.of(by_queue)
        for at, one in HISTOGRAMS.items():
            size = len(BOUNDS) + 2
            yield one.histogram(BOUNDS, {pair: row[at : at + size] for pair, row in rows.items()})
        yield REDIS.histogram(REDIS_BOUNDS, {("exchange",): redis, ("renew",): beats})
        yield DEATHS.of({(kind,): count for kind, count in deaths.items()})
        yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        children = [child for child in self._children() if child.ready]
        slots: Counter[tuple[str, ...]] = Counter({("", "free"): 0})
        at_work: Counter[tuple[str, ...]] = Counter({(child.crew.kind,): 0 for child in children})
        for child in children:
            at_work[child.crew.kind,] += 1
            running = 0
            for entry in child.ledger.entries():
                running += entry.running
                slots[child.settings.queues[entry.queue_index], "running" if entry.running else "held"] += 1
            slots["", "free"] += 0 if child.leaving else max(0, child.settings.concurrency - running)
        yield SLOTS.of(slots)
        yield CHILDREN.of(at_work)
        yield CONNECTED.of({(): int(self._connected())})


def _merge(rows: dict[tuple[str, str], list[int]], redis: list[int], tally: Tally) -> None:
    for pair, row in tally.rows():
        before = rows.get(pair)
        rows[pair] = row if before is None else list(map(add, before, row))
    redis[:] = map(add, redis, tally.redis())
