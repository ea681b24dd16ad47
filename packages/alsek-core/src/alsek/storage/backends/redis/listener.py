"""What is told to who listens on a pub/sub connection, and what the connection's hub knows of it."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Pushes kept for a listener that is busy; beyond them it is told to look for itself.
MOST_WAITING: Final = 10_000


class Event(NamedTuple):
    """What a subscription tells.

    Attributes:
        channel: Where it was published. `None`: the subscription stands from now on, at first or again after the
            connection was lost. Whatever was told earlier may be missed, so look at the state itself.
        payload: What was published.
    """

    channel: str | None
    payload: bytes = b""


LOOK: Final = Event(None)


class Listener:
    """What the hub knows of one subscription. Guarded by the hub's lock, but for the thread it belongs to.

    Args:
        channels: Where it listens.
    """

    def __init__(self, channels: Iterable[str]) -> None:
        self.channels = tuple({channel.encode(): None for channel in channels})
        self.inbox: deque[Event] = deque()
        #: Channels whose subscription has not been confirmed.
        self.missing: set[bytes] = set()
        self.bell = threading.Event()


def deliver(listener: Listener, event: Event) -> None:
    """Hand an event to a listener; one that is too far behind is told to look for itself."""
    if len(listener.inbox) >= MOST_WAITING:
        listener.inbox.clear()
        event = LOOK
    listener.inbox.append(event)
    listener.bell.set()
