"""What a scheduler counts, whether somebody looks or not."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.schedules import ScheduleCounts
    from alsek.storage.backends.redis.schedules import Firing

#: Upper bounds of the histogram of fire lag, seconds: from a lag that nobody notices to a missed fire.
LAG_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class Ledger:
    """Counts since the start; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fires = 0
        self.breaks = 0
        self.missed: dict[str, int] = {"skip": 0, "once": 0, "all": 0}
        self.lag_counts = [0] * (len(LAG_BOUNDS_S) + 1)
        self.lag_sum_s = 0.0
        #: Schedules by state, as the leader last saw them.
        self.counts: ScheduleCounts | None = None

    def fired(self, firing: Firing, uuids: Sequence[str], now_ms: int) -> None:
        """Count what one schedule fired, and how late."""
        due = {uuid: fire_ms for fire_ms, uuid, _ in firing.messages}
        with self._lock:
            for uuid in uuids:
                lag_s = max(0, now_ms - due[uuid]) / 1000
                self.fires += 1
                self.lag_sum_s += lag_s
                self.lag_counts[bisect_left(LAG_BOUNDS_S, lag_s)] += 1
            if firing.missed:
                self.missed[firing.misfire] += firing.missed

    def broken(self) -> None:
        """Count a schedule that was found broken."""
        with self._lock:
            self.breaks += 1
