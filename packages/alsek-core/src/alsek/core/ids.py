"""Names for messages: UUIDs of version 7 (RFC 9562), which sort by the time of their making.

Equal scores in a sorted set are ordered by member, so ids that grow make a queue first in, first out.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from itertools import count
from threading import RLock


def new_uuid(millisecond: int | None = None) -> str:
    """Return a new UUIDv7 as text, greater than every earlier one of this process.

    Args:
        millisecond: The time now, for who has read it already (ms since the epoch).
    """
    return _sequence.next(time.time_ns() // 1_000_000 if millisecond is None else millisecond)


def derived_uuid(millisecond: int, *origin: object) -> str:
    """Return the UUIDv7 that follows from what it stands for: the same origin gives the same id.

    Args:
        millisecond: The time that it carries, ms since the epoch.
        *origin: What it stands for.
    """
    drawn = int.from_bytes(blake2b("\0".join(map(str, origin)).encode(), digest_size=10).digest(), "big")
    stamp = f"{millisecond & 0xFFFF_FFFF_FFFF:012x}"
    head = f"{stamp[:8]}-{stamp[8:]}-7{drawn & 0xFFF:03x}-{0x8000 | (drawn >> 12) & 0x3FFF:04x}"
    return f"{head}-{(drawn >> 26) & 0xFFFF_FFFF_FFFF:012x}"


def made_at(uuid: str) -> int | None:
    """Give the time that a UUIDv7 carries (ms since the epoch); `None` for any other id."""
    if len(uuid) != 36 or uuid[14] != "7":
        return None
    try:
        return int(uuid[:8] + uuid[9:13], 16)
    except ValueError:
        return None


class _Sequence:
    """A new random start each millisecond, counted up within it (RFC 9562, 6.2, method 2).

    The clock going back changes nothing: the sequence stays in the latest millisecond it has seen.
    """

    __slots__ = ("_head", "_lock", "_millisecond", "_tail")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget the start: a forked child must not go on where its parent does."""
        # Reentrant: a signal handler may ask for an id while the thread it interrupted holds the lock.
        self._lock = RLock()
        self._millisecond = 0

    def next(self, now: int) -> str:
        with self._lock:
            if now > self._millisecond:
                self._begin(now)
            return f"{self._head}{next(self._tail):012x}"

    def _begin(self, millisecond: int) -> None:
        noise = int.from_bytes(os.urandom(10), "big")
        stamp = f"{millisecond:012x}"
        # 26 random bits stay fixed within the millisecond; 47 start the counter of 48, which so has room to count.
        middle = f"7{noise & 0xFFF:03x}-{0x8000 | (noise >> 12) & 0x3FFF:04x}"
        self._head = f"{stamp[:8]}-{stamp[8:]}-{middle}-"
        self._tail = count(noise >> 33)
        self._millisecond = millisecond


_sequence = _Sequence()
os.register_at_fork(after_in_child=_sequence.restart)
