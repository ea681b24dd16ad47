"""Reads the ledgers and ends what is past its time.

Threads and coroutines are interrupted by their own process, which knows them; the message
in a process slot is interrupted from here, by signals. And a process that could not
interrupt its work, because the GIL is held or the loop blocked, is ended from here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.logging import get_logger
from alsek_worker.children import Child, Interruption
from alsek_worker.ledger import Entry, Stop
from alsek_worker.settings import BACKSTOP_GRACE_MS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek_worker.postmortem import Postmortem

log = get_logger(__name__)

#: Time between two looks when no deadline comes first.
LOOK_MS = 1_000

#: The intake of a child ticks at least every 5 s; silence this long means that it cannot act.
SILENCE_MS = 6_000

#: A child that has been asked to leave and holds nothing is given this long to end by itself.
LINGER_MS = 5_000


class Watch:
    """Keeps time limits and size limits.

    Args:
        postmortem: Settles what ran out of time.
        settings: The limits.
    """

    def __init__(self, postmortem: Postmortem, settings: Settings) -> None:
        self._postmortem = postmortem
        self._settings = settings
        self._lingering: dict[Child, int] = {}

    def look(self, children: Iterable[Child], now: int) -> int:
        """Check everything once.

        Returns:
            Monotonic ms of the next look.
        """
        children = list(children)
        soonest = now + LOOK_MS
        # Before the ledgers are read: a child that starts a message meanwhile tells us if this is too late for it.
        for child in children:
            child.ledger.next_look_ms = soonest
        for child in children:
            entries = child.ledger.entries()
            soonest = min(soonest, self._deadlines(child, entries, now), self._signals(child, now))
            self._insist(child, entries, now)
            self._limits(child)
            self._linger(child, entries, now)
        for child in children:
            child.ledger.next_look_ms = soonest
        return soonest

    def forget(self, child: Child) -> None:
        """Drop what was noted about a dead child."""
        self._lingering.pop(child, None)

    def revoke(self, child: Child, entry: Entry, now: int) -> None:
        """Have a child drop a message that was revoked; Redis knows already."""
        self._drop(child, entry, Stop.REVOKED, now)

    def lose(self, child: Child, entry: Entry, now: int) -> None:
        """Have a child drop a message whose lease is gone."""
        self._drop(child, entry, Stop.LOST, now)

    def stop(self, child: Child, now: int) -> None:
        """Have a child stop all it runs and end; it gives everything back by itself if it can."""
        child.order("stop", "shutdown")
        if child.crew.kind == "process":
            for entry in child.ledger.entries():
                if entry.running and entry.generation not in child.interrupted:
                    child.interrupt(entry, Stop.SHUTDOWN, now)

    def _drop(self, child: Child, entry: Entry, reason: Stop, now: int) -> None:
        if entry.generation in child.told or entry.generation in child.interrupted:
            return
        child.told[entry.generation] = reason
        log.warning("message.dropped", uuid=entry.uuid, reason=reason.name.lower(), running=entry.running)
        child.order("revoke" if reason is Stop.REVOKED else "lost", entry.uuid, entry.token)
        if child.crew.kind == "process" and entry.running:
            child.interrupt(entry, reason, now)

    def _deadlines(self, child: Child, entries: list[Entry], now: int) -> int:
        soonest = now + LOOK_MS
        grace = 0 if child.crew.kind == "process" else BACKSTOP_GRACE_MS
        overdue: list[Entry] = []
        for entry in entries:
            if not entry.deadline_ms or entry.generation in child.interrupted:
                continue
            if now >= entry.deadline_ms + grace:
                overdue.append(entry)
            else:
                soonest = min(soonest, entry.deadline_ms + grace)
        if overdue and child.crew.kind == "process":
            for entry in overdue:
                log.warning("message.timed_out", uuid=entry.uuid, pid=child.pid)
                child.interrupt(entry, Stop.TIMEOUT, now)
        elif overdue and now - child.ledger.tick_ms > SILENCE_MS:
            for entry in overdue:
                log.error("message.unstoppable", uuid=entry.uuid, pid=child.pid)
                child.interrupted[entry.generation] = Interruption(entry, Stop.TIMEOUT, now, now)
            child.kill("was ended because a task in it ran past its timeout and could not be interrupted", harmful=True)
        return soonest

    def _signals(self, child: Child, now: int) -> int:
        soonest = now + LOOK_MS
        for generation, one in list(child.interrupted.items()):
            if not child.ledger.still_has(one.entry):
                del child.interrupted[generation]
                continue
            if 0 < one.settle_at_ms <= now:
                one.settle_at_ms = 0
                self._postmortem.time_out(one.entry)
            if now >= one.kill_at_ms:
                child.kill(f"was ended because a task in it did not stop ({one.reason.name.lower()})")
            else:
                soonest = min(soonest, one.settle_at_ms or one.kill_at_ms)
        return soonest

    def _insist(self, child: Child, entries: list[Entry], now: int) -> None:
        # What waited in the child when it was told to drop it may have been started before it read that.
        if not child.told:
            return
        present = {entry.generation: entry for entry in entries}
        child.told = {generation: reason for generation, reason in child.told.items() if generation in present}
        for generation, reason in child.told.items():
            if child.crew.kind == "process" and present[generation].running and generation not in child.interrupted:
                child.interrupt(present[generation], reason, now)

    def _limits(self, child: Child) -> None:
        limit = self._settings.max_memory_per_child
        if limit is None or child.leaving or not child.ready:
            return
        size = child.memory()
        if size > limit:
            log.info("child.recycled", pid=child.pid, memory=size, limit=limit)
            child.leaving = True
            child.order("drain")

    def _linger(self, child: Child, entries: list[Entry], now: int) -> None:
        # A thread that cannot be ended keeps its process alive; its message has been settled long ago.
        if not child.leaving or entries:
            self._lingering.pop(child, None)
        elif now - self._lingering.setdefault(child, now) > LINGER_MS:
            child.kill("was ended because it did not end by itself")
