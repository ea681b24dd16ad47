"""Sleeps until there may be work in any partition: in one look, or on a cluster in one for each partition.

A command may only name keys of one slot of a cluster, and each partition has its own: so each has a connection that
blocks. A partition whose look is under way has nothing to claim, and is left out of claims.
"""

from __future__ import annotations

import math
import selectors
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis.sleeper import Sleeper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek.storage.backends.redis.link import Call, Link, Route
    from alsek.storage.backends.redis.standard import RedisBackend


class _Bed(NamedTuple):
    """One connection, and the partitions that it looks at."""

    sleeper: Sleeper
    partitions: Sequence[int]


class Sleepers:
    """The connections of one consumer that block, for one thread at a time.

    Args:
        backend: Where the partitions are.
    """

    def __init__(self, backend: RedisBackend) -> None:
        everything = range(backend.keys.partitions)
        groups = [everything] if backend.slots is None else [everything[p : p + 1] for p in everything]
        self._beds = [_Bed(Sleeper(_line(backend, group[0])), group) for group in groups]
        #: Whether each partition has a look of its own, and no verb is sent behind it.
        self.apart = len(self._beds) > 1
        self._selector: selectors.BaseSelector | None = None
        self._watched: dict[int, int] = {}

    def fall_asleep(self, wakes: Callable[[int], Sequence[str]], seconds: float, call: Call | None) -> None:
        """Start a look wherever none is under way; `fileno` becomes readable when one has ended.

        Args:
            wakes: Gives the wake keys of a partition.
            seconds: Until it ends by itself.
            call: What Redis carries out then; only where there is one look for all.

        Raises:
            BackendUnavailableError: One could not be started.
        """
        for i, (sleeper, partitions) in enumerate(self._beds):
            if not sleeper.asleep:
                sleeper.fall_asleep([name for p in partitions for name in wakes(p)], seconds, call)
                if self.apart:
                    self._watch(i, sleeper)

    def wake_up(self) -> Any:
        """Read the looks that have ended, or are overdue.

        Returns:
            The reply to the call, as `Sleeper.wake_up`.

        Raises:
            BackendUnavailableError: One is overdue: the others have been read.
        """
        if not self.apart:
            return self._beds[0].sleeper.wake_up()
        failure: BackendUnavailableError | None = None
        ready = {key.data for key, _ in self._selector.select(0)} if self._selector is not None else set()
        for i, (sleeper, _) in enumerate(self._beds):
            if sleeper.asleep and (i in ready or time.monotonic() > sleeper.overdue):
                self._forget(i)
                try:
                    sleeper.wake_up()
                except BackendUnavailableError as error:
                    failure = error
        if failure is not None:
            raise failure
        return None

    def claimable(self) -> list[int]:
        """Give the partitions that may have something: those without a look, or whose look has ended."""
        if self.apart:
            # Whatever became of a look: it is over, and a claim will tell more.
            with suppress(BackendUnavailableError):
                self.wake_up()
            return [p for sleeper, partitions in self._beds if not sleeper.asleep for p in partitions]
        return list(self._beds[0].partitions)

    def rouse(self, link: Route) -> bool:
        """End all looks at once; see `Sleeper.rouse`."""
        if not self.apart:
            return self._beds[0].sleeper.rouse(link)
        self.close()
        return False

    @property
    def asleep(self) -> bool:
        """Whether a look is under way."""
        return any(bed.sleeper.asleep for bed in self._beds)

    @property
    def overdue(self) -> float:
        """When the first of them has to be over (monotonic seconds)."""
        return min(
            (bed.sleeper.overdue for bed in self._beds if bed.sleeper.asleep or not self.apart), default=math.inf
        )

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when a look has ended."""
        return self._beds[0].sleeper.fileno() if not self.apart else self._watching().fileno()  # type: ignore[attr-defined]

    def close(self) -> None:
        """Drop the connections."""
        for i, bed in enumerate(self._beds):
            self._forget(i)
            bed.sleeper.close()
        if self._selector is not None:
            self._selector.close()
            self._selector = None

    def _watch(self, i: int, sleeper: Sleeper) -> None:
        self._watched[i] = descriptor = sleeper.fileno()
        self._watching().register(descriptor, selectors.EVENT_READ, i)

    def _forget(self, i: int) -> None:
        # Before its connection can be closed: another may get the same descriptor.
        descriptor = self._watched.pop(i, None)
        if descriptor is not None and self._selector is not None:
            self._selector.unregister(descriptor)

    def _watching(self) -> selectors.BaseSelector:
        if self._selector is None:
            self._selector = selectors.DefaultSelector()  # epoll or kqueue: it has a descriptor of its own
        return self._selector


def _line(backend: RedisBackend, partition: int) -> Link:
    return backend.new_line(backend.keys.tag(partition), socket_timeout=None)
