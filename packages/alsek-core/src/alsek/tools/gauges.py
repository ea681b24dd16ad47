"""What Prometheus learns about the queues of a namespace: one collector, for the exporter and for the API service.

Redis is asked at a scrape, and not more often than once a second however many scrape. That Redis does not answer is
itself a metric, not a failure.
"""

from __future__ import annotations

import time
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Final

from alsek.exceptions import AlsekError
from alsek.logging import get_logger
from alsek.tools.families import Described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from alsek.tools.facts import QueueInfo, WorkerInfo
    from alsek.tools.inspector import Inspector

log = get_logger(__name__)

UP: Final = Described("alsek_redis_up", "gauge", (), "1 if Redis answers, else 0; then nothing else is told.")
MESSAGES: Final = Described(
    "alsek_queue_messages", "gauge", ("queue", "state"), "Messages that are ready, delayed, running or dead."
)
OLDEST: Final = Described(
    "alsek_queue_oldest_age_seconds", "gauge", ("queue",),
    "How long the message at the head of the line has been ready; 0 when none is.",
)  # fmt: skip
PAUSED: Final = Described("alsek_queue_paused", "gauge", ("queue",), "1 while the queue is paused, else 0.")
SERVED: Final = Described("alsek_queue_workers", "gauge", ("queue",), "Workers that listen to the queue.")
WORKERS: Final = Described("alsek_workers", "gauge", ("state",), "Workers that are starting, running or draining.")
SLOTS: Final = Described("alsek_workers_slots", "gauge", ("state",), "Slots of all workers: busy or free.")
USED: Final = Described("alsek_redis_memory_used_bytes", "gauge", ("node",), "Memory that Redis uses.")
MOST: Final = Described("alsek_redis_memory_max_bytes", "gauge", ("node",), "Memory that Redis may use; 0: no limit.")
EVICTED: Final = Described(
    "alsek_redis_evicted_keys_total", "counter", (), "Keys that Redis threw away: messages may be lost."
)
SAFE: Final = Described("alsek_redis_noeviction", "gauge", (), "1 if Redis never throws keys away, else 0.")
PERSISTS: Final = Described(
    "alsek_redis_persistence_ok", "gauge", (), "1 if Redis could write its data to disk the last time, else 0."
)

ALL: Final = (UP, MESSAGES, OLDEST, PAUSED, SERVED, WORKERS, SLOTS, USED, MOST, EVICTED, SAFE, PERSISTS)

#: Queues beyond this many, by name, share the label `other`: a name made of data must not fill Prometheus.
MOST_QUEUES: Final = 1_000

#: Scrapes within so long share one look, seconds.
_FRESH_S: Final = 1.0

#: The label of the one Redis that we ask.
_NODE: Final = "primary"


class QueueGauges:
    """Collects the gauges of a namespace.

    Args:
        inspector: Asked at a scrape.
    """

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._lock = Lock()
        self._looked_at = -_FRESH_S
        self._last: list[Metric] = []
        self._up = False

    def collect(self) -> Iterator[Metric]:
        """Give all gauges as they are now."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _FRESH_S:
                self._last = list(self._look())
                self._looked_at = time.monotonic()
            yield from self._last

    def reachable(self) -> tuple[bool, str]:
        """Tell whether Redis answered the last look; a check for `/readyz`."""
        for _ in self.collect():
            pass
        return self._up, "Redis answers" if self._up else "Redis did not answer the last look"

    def _look(self) -> Iterator[Metric]:
        try:
            queues, workers = self._inspector.queues(), self._inspector.workers()
            server = self._inspector.broker.redis.server_info()
        except AlsekError as error:
            if self._up or self._looked_at < 0:
                log.warning("gauges.missed", reason=str(error))
            self._up = False
            yield UP.of({(): 0})
            return
        self._up = True
        yield UP.of({(): 1})
        yield from _of_queues(queues, workers)
        yield from _of_workers(workers)
        yield from _of_server(server)


def _of_queues(queues: list[QueueInfo], workers: list[WorkerInfo]) -> Iterator[Metric]:
    messages: Counter[tuple[str, ...]] = Counter()
    oldest: dict[tuple[str, ...], float] = {}
    paused: dict[tuple[str, ...], float] = {}
    served: Counter[tuple[str, ...]] = Counter()
    for i, queue in enumerate(sorted(queues, key=lambda one: one.name)):
        name = queue.name if i < MOST_QUEUES else "other"
        for state in ("ready", "delayed", "running", "dead"):
            messages[name, state] += getattr(queue, state)
        oldest[name,] = max(oldest.get((name,), 0.0), queue.waiting_ms / 1000)
        paused[name,] = max(paused.get((name,), 0.0), float(queue.paused is not None))
        served[name,] += sum(worker.listens_to(queue.name) for worker in workers)
    yield MESSAGES.of(messages)
    yield OLDEST.of(oldest)
    yield PAUSED.of(paused)
    yield SERVED.of(served)


def _of_workers(workers: list[WorkerInfo]) -> Iterator[Metric]:
    states: Counter[tuple[str, ...]] = Counter({(state,): 0 for state in ("starting", "running", "draining")})
    states.update((worker.state,) for worker in workers)
    busy, slots = sum(worker.busy for worker in workers), sum(worker.slots for worker in workers)
    yield WORKERS.of(states)
    yield SLOTS.of({("busy",): busy, ("free",): max(0, slots - busy)})


def _of_server(server: Mapping[str, str]) -> Iterator[Metric]:
    yield USED.of({(_NODE,): float(server.get("used_memory", 0))})
    yield MOST.of({(_NODE,): float(server.get("maxmemory", 0))})
    yield EVICTED.of({(): float(server.get("evicted_keys", 0))})
    yield SAFE.of({(): float(server.get("maxmemory_policy", "noeviction") == "noeviction")})
    broken = any(
        server.get(name, "ok") != "ok"
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    )
    yield PERSISTS.of({(): float(not broken)})
