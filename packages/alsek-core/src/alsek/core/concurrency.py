"""Locks that programs on many hosts share: held by an owner, for a while, each acquisition with a number of its own."""

from __future__ import annotations

import os
import secrets
import threading
import time
from functools import cache
from importlib import import_module
from random import random
from socket import gethostname
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from alsek.core.lock_renewal import LockRenewal
from alsek.exceptions import BackendUnavailableError, LockAlreadyAcquiredError, LockNotAcquiredError
from alsek.storage.backends.redis import locks
from alsek.storage.backends.redis.standard import RedisBackend

if TYPE_CHECKING:
    from alsek.storage.backends.abstract import Backend
    from alsek.storage.backends.redis.link import Call, Link

#: Owner of every plain `Lock` on this host.
CURRENT_HOST_OWNER_ID: Final = f"lock:{gethostname()}"

IF_ALREADY_ACQUIRED_TYPE = Literal["raise_error", "return_true", "return_false"]

_ANSWERS: Final = ("raise_error", "return_true", "return_false")

#: One hour, as upstream.
_DEFAULT_TTL: Final = 3_600_000

#: How long an unreachable Redis is ridden out, seconds.
_PATIENCE_S: Final = 5.0

#: Longest block of a waiter before it looks again: bounds what a lost wake-up costs (its receiver died), seconds.
_LONGEST_BLOCK_S: Final = 2.0

#: What Redis may take beyond the block it was asked for, seconds.
_GRACE_S: Final = 5.0


class Lock:
    """A lock in Redis that one owner holds until it is released or its ttl is over.

    The owner is the host: every `Lock` of this name on this host is the same, and may release it. `ProcessLock` and
    `ThreadLock` tell processes and threads apart.

    A lock cannot stop a holder whose ttl ran out while it was frozen. Hand `fence` to whatever the lock protects and
    let it refuse a number below one it has seen. A failover of Redis may lose a lock that was just taken.

    Args:
        name: What is locked.
        backend: A `RedisBackend`.
        ttl: ms after which it is free again without a release, exactly.
        auto_release: Whether leaving a `with` block releases it. (Entering one does not acquire it.)
        owner_id: Who holds it.
        auto_renew: Keep it alive while it is held, from a thread in the background, at a third of its ttl.

    Raises:
        NotImplementedError: Another backend than a Redis one.
        ValueError: Empty name or owner, or a ttl that is no positive whole number.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        ttl: int = _DEFAULT_TTL,
        auto_release: bool = True,
        owner_id: str = CURRENT_HOST_OWNER_ID,
        *,
        auto_renew: bool = False,
    ) -> None:
        if not isinstance(backend, RedisBackend):
            raise NotImplementedError(f"locks need a RedisBackend, not {type(backend).__name__}")
        self.name = _check_text(name, "a name")
        self.backend: RedisBackend = backend
        self.ttl = _check_ttl(ttl)
        self.auto_release = auto_release
        self.auto_renew = auto_renew
        self.fence: int | None = None
        """Number of the acquisition that this object knows of: grows with each; `None` when it took none."""
        self._owner_id = _check_text(owner_id, "an owner")
        self._keys = locks.keys_of(backend.keys, backend.short_name(name))
        self._renewal: LockRenewal | None = None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name={self.name!r}, backend={self.backend!r}, ttl={self.ttl}, "
            f"auto_release={self.auto_release}, owner_id={self.owner_id!r})"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.auto_release:
            self.release()

    @property
    def owner_id(self) -> str:
        """Who holds the lock when this object acquires it now."""
        return self._owner_id

    @property
    def full_name(self) -> str:
        """The name with its namespace."""
        return self.backend.full_name(self.name)

    @property
    def holder(self) -> str | None:
        """Who holds the lock now."""
        owner = self.backend.links.command("GET", self._keys.lock)
        return owner.decode() if isinstance(owner, bytes) else None

    @property
    def held(self) -> bool:
        """Whether this owner holds the lock now."""
        return self.holder == self.owner_id

    def acquire(self, wait: float | None = None, if_already_acquired: IF_ALREADY_ACQUIRED_TYPE = "raise_error") -> bool:
        """Take the lock.

        Waiters are woken by a release, and by the end of the other's ttl; who of them is first is left open.

        Args:
            wait: Seconds to wait for another owner; `None` or 0: none at all.
            if_already_acquired: What to do when this owner holds it already: `raise_error`, `return_true` or
                `return_false`. Its ttl is left as it is.

        Returns:
            Whether this owner holds it (except for `return_false`); `False` when another does.

        Raises:
            LockAlreadyAcquiredError: This owner holds it (with `raise_error`).
            ValueError: Another value of `if_already_acquired`.
            BackendUnavailableError: Redis did not answer.
        """
        if if_already_acquired not in _ANSWERS:
            raise ValueError(f"if_already_acquired has to be one of {', '.join(_ANSWERS)}: {if_already_acquired!r}")
        owner = self.owner_id
        grant = self._try(owner)
        if wait and wait > 0 and not grant.fence:
            grant = self._wait(owner, grant, time.monotonic() + wait)
        if not grant.fence:
            return False
        self.fence = grant.fence
        if grant.taken:
            if self.auto_renew:
                self._renewal = LockRenewal(self.name, self.ttl, lambda: self._renew(owner))
                self._renewal.start()
            return True
        if if_already_acquired == "raise_error":
            raise _compatible(LockAlreadyAcquiredError, "AlreadyAcquired")(
                f"'{self.name}' is held by {owner} already", name=self.name, owner_id=owner
            )
        return if_already_acquired == "return_true"

    def renew(self) -> bool:
        """Give the lock its whole ttl again; `False` when this owner does not hold it."""
        return self._renew(self.owner_id)

    def release(self, raise_if_not_acquired: bool = False) -> bool:
        """Give the lock back and wake one who waits for it.

        Returns:
            Whether this owner held it.

        Raises:
            LockNotAcquiredError: It did not (with `raise_if_not_acquired`).
        """
        if self._renewal is not None:
            self._renewal.stop()
            self._renewal = None
        owner = self.owner_id
        released = bool(self._execute(locks.release(self._keys, owner, secrets.token_hex(8))))
        if released:
            self.fence = None
        elif raise_if_not_acquired:
            raise _compatible(LockNotAcquiredError, "NotAcquired")(
                f"'{self.name}' is not held by {owner}", name=self.name, owner_id=owner
            )
        return released

    def _try(self, owner: str) -> locks.Grant:
        # The token makes an acquisition recognisable that has to be asked for twice because the reply was lost.
        return locks.read_grant(self._execute(locks.acquire(self._keys, owner, secrets.token_hex(8), self.ttl)))

    def _wait(self, owner: str, grant: locks.Grant, end: float) -> locks.Grant:
        link = self.backend.new_line(self._keys.signal)
        try:
            while True:
                left = end - time.monotonic()
                if left <= 0:
                    return grant
                block = min(left, _LONGEST_BLOCK_S)
                if grant.expires_ms >= 0:
                    block = min(block, (grant.expires_ms + 1) / 1000)
                self._block(link, max(block, 0.001))  # 0 would mean for ever
                grant = self._try(owner)
                if grant.fence:
                    return grant
        finally:
            link.close()

    def _block(self, link: Link, seconds: float) -> None:
        try:
            link.send("BLPOP", self._keys.signal, f"{seconds:.3f}")
            link.receive(timeout=seconds + _GRACE_S)
        except BackendUnavailableError:
            # The signal only saves time. The next attempt to take the lock tells whether Redis is there.
            time.sleep(min(seconds, 0.1 + random() / 10))  # noqa: S311  (jitter, not a secret)

    def _renew(self, owner: str) -> bool:
        return bool(self._execute(locks.renew(self._keys, owner, self.ttl)))

    def _execute(self, call: Call) -> list[int]:
        reply: list[int] = self.backend.links.execute([call], patience=_PATIENCE_S)[0]
        return reply


class ProcessLock(Lock):
    """A lock whose owner is the process; a forked child is another owner.

    Args:
        name: See `Lock`, as for the others.
        backend: See `Lock`.
        ttl: See `Lock`.
        auto_release: See `Lock`.
        auto_renew: See `Lock`.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        ttl: int = _DEFAULT_TTL,
        auto_release: bool = True,
        *,
        auto_renew: bool = False,
    ) -> None:
        super().__init__(name, backend, ttl, auto_release, auto_renew=auto_renew)

    @property
    def owner_id(self) -> str:
        """This process, as of now: host, pid, and something random, as containers share host names and pids."""
        return f"{CURRENT_HOST_OWNER_ID}:{_process()}"


class ThreadLock(ProcessLock):
    """A lock whose owner is the thread. The parameters are those of `ProcessLock`."""

    @property
    def owner_id(self) -> str:
        """This thread, as of now: its process, its ident, and something random, as idents are used again."""
        return f"{CURRENT_HOST_OWNER_ID}:{_process()}:{threading.get_ident()}:{_thread()}"


def _check_text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"a lock needs {what}: {value!r}")
    return value


def _check_ttl(ttl: Any) -> int:
    if not isinstance(ttl, int) or isinstance(ttl, bool) or ttl < 1:
        raise ValueError(f"ttl has to be a positive whole number of ms: {ttl!r}")
    return ttl


_births: dict[int, str] = {}
_local = threading.local()


def _process() -> str:
    # By pid: a forked child finds its parent's entry only, and makes its own.
    pid = os.getpid()
    birth = _births.get(pid) or _births.setdefault(pid, secrets.token_hex(6))
    return f"{pid}:{birth}"


def _thread() -> str:
    try:
        token: str = _local.token
    except AttributeError:
        token = _local.token = secrets.token_hex(4)
    return token


@cache
def _compatible(
    error: type[LockAlreadyAcquiredError | LockNotAcquiredError], foreign: str
) -> type[LockAlreadyAcquiredError | LockNotAcquiredError]:
    # Programs that come from upstream catch the exceptions of python-redis-lock.
    try:
        theirs = getattr(import_module("redis_lock"), foreign)
    except (ImportError, AttributeError):
        return error
    made: type[LockAlreadyAcquiredError | LockNotAcquiredError] = type(
        error.__name__, (error, theirs), {"__doc__": error.__doc__, "__module__": error.__module__}
    )
    return made
