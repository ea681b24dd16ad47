"""Sleeps in Redis until there may be work, and has Redis claim it on the spot.

A verb can be sent right behind the blocking look at the wake keys, on the same connection: Redis runs what a blocked
client had sent as soon as it is no longer blocked. So a message that comes to an idle worker is claimed without a
further round trip.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.storage.backends.redis.link import Call, Link, Route

#: How much later than asked for Redis may end a blocked look, seconds.
_TARDINESS_S: Final = 2.0

#: What is readable is there in no time, what is overdue is not worth a longer wait, seconds.
_REPLY_S: Final = 0.5


class Sleeper:
    """A connection that blocks on wake keys, for one thread at a time.

    Args:
        line: A connection of its own, without a time-out.
    """

    def __init__(self, line: Link) -> None:
        self._link = line
        self._client_id = 0
        #: Whether a blocked look is under way.
        self.asleep = False
        #: When it has to be over (monotonic seconds): a connection that is silent then is dead.
        self.overdue = math.inf
        #: What Redis carries out when the look ends.
        self.call: Call | None = None

    def fall_asleep(self, wakes: Sequence[str], seconds: float, call: Call | None = None) -> None:
        """Start a blocking look; `fileno` becomes readable when it has ended, and the call has run.

        Raises:
            BackendUnavailableError: It could not be sent.
        """
        if not self._link.connected:
            self._client_id = int(self._link.command("CLIENT", "ID"))
        started = time.monotonic()
        self._link.send("BLPOP", *wakes, f"{max(seconds, 0.001):.3f}", then=call)
        self.asleep, self.call = True, call
        self.overdue = started + seconds + _TARDINESS_S

    def wake_up(self) -> Any:
        """Read the end of a look, which is there or overdue.

        Returns:
            The reply to the call; `None` when there was no call, or Redis did not know its script and ran nothing.

        Raises:
            BackendUnavailableError: It is not there; the call may have run.
        """
        self.asleep = False
        self._link.receive(_REPLY_S)
        return None if self.call is None else self._link.receive_call(_REPLY_S)

    def rouse(self, link: Route) -> bool:
        """End a look at once, by way of another link.

        Returns:
            Whether one was under way: `wake_up` reads its end then.

        Raises:
            BackendUnavailableError: Redis did not answer.
        """
        if not self.asleep:
            return False
        link.command("CLIENT", "UNBLOCK", self._client_id)
        return True

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when the sleep is over."""
        return self._link.fileno()

    def close(self) -> None:
        """Drop the connection."""
        self.asleep = False
        self._link.close()
