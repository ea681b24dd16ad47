"""Where time comes from, so that whoever needs it can be given another one.

Decisions about messages use the time of Redis; this one is for what stays inside a process.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch; may jump when the host's clock is set."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""


class SystemClock:
    """The clocks of this host."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since the host started."""
        return time.monotonic()
