"""A scheduler inside of a program that calls `generate()` on a triggered task: it takes part in the election there.

The core finds `candidates` through the entry-point group `alsek.candidates`, and never imports this package.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

from alsek_scheduler.service import Scheduler

if TYPE_CHECKING:
    from alsek.core.broker import Broker


class Candidates:
    """The schedulers of this process, one for each store of messages. Safe for threads; a fork starts without any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[tuple[Broker, Scheduler, set[str]]] = []
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.stop)

    def join(self, task: Any) -> None:
        """Let a task be fired from here, whenever we lead; the first one starts a scheduler."""
        with self._lock:
            scheduler = self._find(task.broker)
            if scheduler is None:
                scheduler = Scheduler(task.broker).start()
                self._running.append((task.broker, scheduler, set()))
            scheduler.roster.add(task)
            self._members(task.broker).add(task.name)

    def leave(self, task: Any) -> None:
        """Take a task back; after the last one the scheduler ends, and hands the lead over."""
        with self._lock:
            scheduler = self._find(task.broker)
            if scheduler is None:
                return
            members = self._members(task.broker)
            members.discard(task.name)
            scheduler.roster.remove(task)
            if members:
                return
            self._running = [entry for entry in self._running if entry[1] is not scheduler]
        scheduler.stop()

    def runs(self, task: Any) -> bool:
        """Tell whether a task has joined."""
        with self._lock:
            return self._find(task.broker) is not None and task.name in self._members(task.broker)

    def stop(self) -> None:
        """End all schedulers."""
        with self._lock:
            running, self._running = self._running, []
        for _, scheduler, _ in running:
            scheduler.stop()

    def _find(self, broker: Broker) -> Scheduler | None:
        return next((scheduler for known, scheduler, _ in self._running if _same(known, broker)), None)

    def _members(self, broker: Broker) -> set[str]:
        return next(members for known, _, members in self._running if _same(known, broker))

    def _reset(self) -> None:
        # The threads are our parent's, and the lock may be held by one of them.
        self._lock = threading.Lock()
        self._running = []


def _same(one: Broker, other: Broker) -> bool:
    return one is other or one.redis.same_store(other.redis)


candidates = Candidates()
