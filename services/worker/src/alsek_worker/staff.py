"""The children of one kind: never fewer than the floor, up to the ceiling under load.

A child that died or retires is replaced at once. One that cannot even start is tried again
with growing pauses, and gives the pool up when it is hopeless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.logging import get_logger
from alsek_worker.settings import (
    FIRST_BOOT_PAUSE_MS,
    IDLE_GROUP_MS,
    LONGEST_BOOT_PAUSE_MS,
    MOST_BOOT_FAILURES,
    Crew,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek_worker.children import Child

log = get_logger(__name__)

#: A child that dies this soon and had nothing to run did not die of its work.
SETTLED_MS = 2_000

#: Reports of "full" are believed when they last this long: a burst is over sooner than a child is up.
PRESSURE_MS = 100


class Staff:
    """Children of one crew.

    Args:
        crew: How many, of which kind.
        hire: Starts a child.
    """

    def __init__(self, crew: Crew, hire: Callable[[Crew], Child]) -> None:
        self.crew = crew
        self.children: list[Child] = []
        self.wanted = crew.floor
        self.boot_failures = 0
        self.last_failure = ""
        self._hire = hire
        self._not_before_ms = 0

    @property
    def hopeless(self) -> bool:
        """Whether its children cannot start."""
        return self.boot_failures >= MOST_BOOT_FAILURES

    @property
    def complete(self) -> bool:
        """Whether as many as wanted are at work."""
        return sum(child.ready for child in self._active()) >= self.wanted

    def fill(self, now: int) -> int:
        """Start the children that are missing, unless a pause is due.

        Returns:
            Monotonic ms when to try again; 0 when all are there.
        """
        missing = self.wanted - len(self._active())
        if missing <= 0:
            return 0
        if now < self._not_before_ms:
            return self._not_before_ms
        for _ in range(missing):
            try:
                self.children.append(self._hire(self.crew))
            except (OSError, EOFError) as error:  # the fork server was killed, or no process can be had
                self._failed(now, f"it could not be started: {error}")
                return self._not_before_ms
        return 0

    def left(self, child: Child, now: int, *, busy: bool) -> None:
        """Take a dead child off the list.

        Args:
            child: Who.
            now: Monotonic ms.
            busy: Whether it died while it ran messages.
        """
        self.children.remove(child)
        if child.killed_because or child.leaving:
            return
        if not child.ready or (not busy and now - child.born_ms < SETTLED_MS):
            self._failed(now, child.failure or child.death())

    def look(self, now: int) -> None:
        """See who has too much and who nothing to do."""
        active = self._active()
        if any(child.ready and now - child.born_ms > SETTLED_MS for child in active):
            self.boot_failures = 0
        for child in active:
            idle = child.ready and not child.ledger.entries()
            child.idle_since_ms = (child.idle_since_ms or now) if idle else 0
        if any(0 < child.ledger.full_since_ms <= now - PRESSURE_MS for child in active):
            self.pressed()
        self._thin_out(active, now)

    def pressed(self) -> None:
        """Want one more, if all we have are up already."""
        active = self._active()
        if len(active) == self.wanted < self.crew.ceiling and all(child.ready for child in active):
            self.wanted += 1
            log.info("group.added", kind=self.crew.kind, groups=self.wanted)

    def _thin_out(self, active: list[Child], now: int) -> None:
        if len(active) <= self.crew.floor or len(active) < self.wanted:
            return
        idle = [child for child in active if 0 < child.idle_since_ms <= now - IDLE_GROUP_MS]
        if idle:
            youngest = max(idle, key=lambda child: child.born_ms)
            youngest.leaving = True
            youngest.order("drain")
            self.wanted -= 1
            log.info("group.retired", kind=self.crew.kind, groups=self.wanted)

    def _failed(self, now: int, reason: str) -> None:
        self.boot_failures += 1
        self.last_failure = reason
        pause = min(LONGEST_BOOT_PAUSE_MS, FIRST_BOOT_PAUSE_MS * 2 ** (self.boot_failures - 1))
        self._not_before_ms = now + pause
        log.error("child.not_started", kind=self.crew.kind, reason=_on_one_line(reason), attempt=self.boot_failures)

    def _active(self) -> list[Child]:
        return [child for child in self.children if not child.leaving]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
