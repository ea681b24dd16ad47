"""One pub/sub connection for all who wait in this process, however many they are.

No thread of its own: the first who waits reads for all (leader and followers), so that a push reaches a single waiter
without a hop between threads. The connection stays warm between waits.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Self

from alsek.storage.backends.redis.hub import Hub
from alsek.storage.backends.redis.listener import Event, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.connection import Connection

__all__ = ["Event", "Subscriber", "Subscription"]

#: Seconds of silence: well below the minutes after which networks forget a connection.
_CHECK_S: Final = 15.0


class Subscriber:
    """Gives out subscriptions that share one connection. Safe for threads; a forked child gets a connection of its own.

    Args:
        connect: Makes an unconnected redis-py connection of RESP 2 with its retries off.
        check_s: Silence after which the connection is asked whether it lives: a half-open one never says that it is
            dead.
    """

    def __init__(self, connect: Callable[[], Connection], check_s: float = _CHECK_S) -> None:
        self._connect = connect
        self._check_s = check_s
        self._hubs: dict[int, Hub] = {}

    def open(self, channels: Iterable[str]) -> Subscription:
        """Subscribe; the first event says that the subscription stands. Use it in a `with` block."""
        pid = os.getpid()
        hub = self._hubs.get(pid)
        if hub is None:
            # Our parent's is none of ours; two threads that come here at once get the same.
            for other in [other for other in tuple(self._hubs) if other != pid]:
                self._hubs.pop(other, None)
            hub = self._hubs.setdefault(pid, Hub(self._connect, self._check_s))
        return Subscription(hub, channels)

    def close(self) -> None:
        """Drop the connection; whoever waits gets a new one."""
        hub = self._hubs.pop(os.getpid(), None)
        if hub is not None:
            hub.shut()


class Subscription(Listener):
    """What one thread waits for."""

    def __init__(self, hub: Hub, channels: Iterable[str]) -> None:
        super().__init__(channels)
        self._hub = hub
        hub.join(self)

    def next(self, deadline: float | None = None) -> Event | None:
        """Wait for an event.

        Args:
            deadline: Monotonic seconds; `None` waits for ever.

        Returns:
            The event; `None` when the deadline passed.

        Raises:
            BackendUnavailableError: The deadline passed while Redis could not be reached.
            BackendAuthenticationError: Redis refuses us.
        """
        return self._hub.wait(self, deadline)

    @property
    def stand(self) -> int:
        """Number of the connection that the hub has now: what was told before belongs to an earlier one."""
        return self._hub.stand

    def catch_up(self) -> None:
        """Have one more event without a channel told, behind everything that was published before this call."""
        self._hub.rejoin(self)

    def add(self, channels: Iterable[str]) -> None:
        """Listen to more channels; an event without a channel says when all stand."""
        self._hub.widen(self, channels)

    def drop(self, channels: Iterable[str]) -> None:
        """Listen to some channels no more."""
        self._hub.narrow(self, channels)

    def close(self) -> None:
        """Unsubscribe."""
        self._hub.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()
