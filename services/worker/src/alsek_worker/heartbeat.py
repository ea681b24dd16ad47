"""Keeps the leases of all children alive, from a process that runs no user code.

It asks Redis at a third of the lease, for everything that the ledgers show, in one round
trip. While Redis is away it goes on trying: work that runs goes on, because after an
outage the engine recovers no lease before its grace is over, and because a lease that was
lost all the same is refused by its token when the work is settled (ADR: leases outlive an
outage). What turns out to be lost or revoked is told to whoever runs it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from random import random
from typing import TYPE_CHECKING

from alsek.exceptions import AlsekError
from alsek.logging import get_logger
from alsek.storage.backends.redis.verbs import Held
from alsek_worker.ledger import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek.core.broker import Broker
    from alsek.storage.backends.redis.scripts import Code
    from alsek_worker.children import Child
    from alsek_worker.ledger import Entry

log = get_logger(__name__)

#: Pauses between attempts while Redis is away, seconds, and never longer than half a beat: the grace after an outage
#: is one lease. Drawn from [half, whole] so that workers do not come in step.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

#: Between two beats the thread shows this often that it goes on, seconds.
TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Loss:
    """A message that a child has and no longer may have."""

    child: Child
    entry: Entry
    code: Code


class Heartbeat:
    """A thread that renews.

    Args:
        broker: Whose leases.
        queues: All queues of the worker.
        interval_ms: Time between two beats.
        children: Gives the children alive.
        lost: Called with what is lost, in this thread; must return soon.
        announce: Called in this thread after each beat that Redis took.
        timed: Called with the seconds that each renewal took.

    Attributes:
        ticked_ms: When the thread last showed that it goes on (monotonic ms; 0: not yet).
        answered_ms: When Redis last answered (monotonic ms; 0: not yet).
    """

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        interval_ms: int,
        children: Callable[[], Sequence[Child]],
        lost: Callable[[list[Loss]], None],
        announce: Callable[[], None] = lambda: None,
        timed: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._broker = broker
        self._queues = list(queues)
        self._interval_s = interval_ms / 1000
        self._children = children
        self._lost = lost
        self._announce = announce
        self._bell = threading.Event()
        self._ended = False
        self._timed = timed
        self._away = False
        self.ticked_ms = self.answered_ms = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @property
    def answers(self) -> bool:
        """Whether Redis answered the last beat."""
        return self.answered_ms > 0 and not self._away

    def start(self) -> None:
        """Begin to beat; the first beat comes at once."""
        self._thread.start()

    def soon(self) -> None:
        """Beat now: there is something to announce."""
        self._bell.set()

    def stop(self) -> None:
        """End after the beat under way."""
        self._ended = True
        self._bell.set()
        self._thread.join(timeout=1.0)

    def beat(self) -> int:
        """Renew everything once; returns how many leases there were.

        Raises:
            AlsekError: Redis could not do it; nothing is concluded from that.
        """
        held = [
            (child, entry, Held(child.settings.queues[entry.queue_index], entry.uuid, entry.token))
            for child in self._children()
            for entry in child.ledger.entries()
            if entry.generation not in child.interrupted
        ]
        began = time.monotonic()
        codes = self._broker.renew([lease for _, _, lease in held], self._queues)
        self._timed(time.monotonic() - began)
        self.answered_ms = now_ms()
        # What was settled while we asked is no loss.
        losses = [
            Loss(child, entry, code)
            for (child, entry, _), code in zip(held, codes, strict=True)
            if not code.accepted and child.ledger.still_has(entry)
        ]
        if losses:
            self._lost(losses)
        return len(held)

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        due = time.monotonic()
        while True:
            rung = self._bell.wait(min(TICK_S, max(0.0, due - time.monotonic())))
            self.ticked_ms = now_ms()
            if self._ended:
                return
            if rung:
                self._bell.clear()
            elif time.monotonic() < due:
                continue
            try:
                self.beat()
            except AlsekError as error:
                if not self._away:
                    log.warning("heartbeat.missed", reason=str(error))
                self._away = True
                due = time.monotonic() + pause * (0.5 + random() / 2)  # noqa: S311  (jitter, not a secret)
                pause = min(LONGEST_PAUSE_S, self._interval_s / 2, pause * 2)
            else:
                if self._away:
                    log.info("heartbeat.restored")
                self._away, pause = False, FIRST_PAUSE_S
                # Also with nothing to keep: what is claimed between two beats must not lapse within a short outage.
                due = time.monotonic() + self._interval_s
                self._announce()
