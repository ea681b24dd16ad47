"""Builds the calls of the locks and reads their replies; touches no socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from alsek.storage.backends.redis.link import Call
from alsek.storage.backends.redis.scripts import script

if TYPE_CHECKING:
    from alsek.storage.keys import Keys

#: The fence counter of a lock nobody takes is forgotten after a week (it starts from the clock, and so still grows).
_NOTES_MS: Final = 604_800_000

#: A wake-up that nobody waited for. Longer than any waiter is away between two looks.
_SIGNAL_MS: Final = 60_000


class Grant(NamedTuple):
    """What came of an attempt to take a lock.

    Attributes:
        taken: It is ours since this call.
        ours: It was ours before.
        fence: Number of the acquisition; 0 when it is another's.
        expires_ms: When another's lock ends, from now; -1: never; 0 when it is ours.
    """

    taken: bool
    ours: bool
    fence: int
    expires_ms: int


class LockKeys(NamedTuple):
    """Where one lock is kept; all of it in one slot of a cluster."""

    lock: str
    notes: str
    signal: str


def acquire(keys: LockKeys, owner: str, token: str, ttl_ms: int) -> Call:
    """Take a lock if it is free. Reply: see `read_grant`."""
    return Call(
        script("lock_acquire"),
        (keys.lock, keys.notes, keys.signal),
        (owner, token, ttl_ms, max(_NOTES_MS, 2 * ttl_ms), "0"),
        again=4,
    )


def read_grant(reply: list[int]) -> Grant:
    """Read the reply of `acquire`."""
    code, number = reply
    if code == 0:
        return Grant(taken=False, ours=False, fence=0, expires_ms=number)
    return Grant(taken=code == 1, ours=code == 2, fence=number, expires_ms=0)


def release(keys: LockKeys, owner: str, token: str) -> Call:
    """Give a lock back. Reply: 0 when this owner does not hold it."""
    return Call(script("lock_release"), (keys.lock, keys.notes, keys.signal), (owner, token, _SIGNAL_MS, "0"), again=3)


def renew(keys: LockKeys, owner: str, ttl_ms: int) -> Call:
    """Let a lock live on. Reply: 0 when this owner does not hold it."""
    return Call(script("lock_renew"), (keys.lock,), (owner, ttl_ms))


def keys_of(keys: Keys, name: str) -> LockKeys:
    """Give the keys of a lock by its short name."""
    return LockKeys(*keys.of_lock(name))
