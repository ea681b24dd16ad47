"""How quickly a child works, and so how many messages it may take ahead of need: time bounds it, not a count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek_worker.attempt import Attempt
    from alsek_worker.ledger import Ledger

#: Most messages taken ahead: a batch of 250 is on its way while the slots work through the rest.
_MOST_AHEAD: Final = 1_000

#: No message is taken to run quicker than this, seconds: what is around it costs as much.
_QUICKEST_S: Final = 20e-6

#: So many finished messages are worth a write of their own.
_WORTH_A_WRITE: Final = 64

#: Weight of the newest batch in the mean duration.
_NEWEST: Final = 0.3


class Pace:
    """The mean duration of a message, and what follows from it.

    Args:
        slots: Messages that run at a time.
        window_s: What is taken ahead is started within about this long, seconds.
    """

    def __init__(self, slots: int, window_s: float) -> None:
        self._slots = slots
        self._window_s = window_s
        self._mean_s: float | None = None
        #: How many messages may be taken ahead of need; 0 while nothing is known.
        self.ahead = 0

    def note(self, finished: Iterable[Attempt]) -> None:
        """Learn from messages that ended."""
        durations = [attempt.ended - attempt.started for attempt in finished if attempt.started]
        if durations:
            mean = sum(durations) / len(durations)
            self._learn(mean if self._mean_s is None else self._mean_s + _NEWEST * (mean - self._mean_s))

    def stumble(self, waited_s: float) -> None:
        """Learn that what was taken ahead could not be started for so long."""
        self._learn(max(self._mean_s or 0.0, waited_s))

    def gathers(self, finished: int, held: int) -> bool:
        """Whether enough is left to do to let more finish before the next write.

        Args:
            finished: Messages that ended and are not settled.
            held: Messages under a lease, these included.
        """
        return finished < _WORTH_A_WRITE and 2 * (held - finished - self._slots) > self.ahead

    def _learn(self, mean_s: float) -> None:
        self._mean_s = mean_s
        self.ahead = min(_MOST_AHEAD, int(self._slots * self._window_s / max(mean_s, _QUICKEST_S)))


class Pressure:
    """Writes down since when a child finds all it asks for: the supervisor may hire another.

    Args:
        ledger: Where.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told = 0.0

    def note(self, *, full: bool) -> bool:
        """Note whether a claim came back full; tells whether the supervisor should hear of it now."""
        now = time.monotonic()
        if not full:
            self._ledger.full_since_ms = 0
        elif now - self._told > 1:
            self._told = now
            self._ledger.full_since_ms = self._ledger.full_since_ms or int(now * 1000)
            return True
        return False
