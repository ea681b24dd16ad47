"""Hears of revoked messages the moment they are revoked.

Redis pushes them to the worker that holds the lease. What is missed while the connection
is down, the next heartbeat finds; so nothing here has to be certain, only quick.
"""

from __future__ import annotations

import select
import threading
from random import random
from typing import TYPE_CHECKING

from alsek.exceptions import AlsekError
from alsek.logging import get_logger
from alsek_worker.stopping import Bell

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.core.broker import Broker

log = get_logger(__name__)

#: Pauses between attempts to subscribe, seconds; drawn from [half, whole].
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

#: A quiet subscription is checked this often, seconds: a half-open connection never says that it is dead.
CHECK_S = 30.0

_REVOKE = b"revoke "


class Revocations:
    """A thread that listens.

    Args:
        broker: Whose messages.
        worker_id: Whose channel.
        revoked: Called with the uuid of each revoked message, in this thread; must return soon.
    """

    def __init__(self, broker: Broker, worker_id: str, revoked: Callable[[str], None]) -> None:
        self._link = broker.redis.new_line()
        self._channel = broker.keys.worker_channel(worker_id)
        self._revoked = revoked
        self._bell = Bell()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="revocations", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End, and drop the connection."""
        self._ended.set()
        self._bell.ring()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._ended.is_set():
            try:
                self._link.send("SUBSCRIBE", self._channel)
                self._link.receive()
                pause = FIRST_PAUSE_S
                self._listen()
            except AlsekError as error:
                log.debug("revocations.interrupted", reason=str(error))
                self._ended.wait(pause * (0.5 + random() / 2))  # noqa: S311  (jitter, not a secret)
                pause = min(LONGEST_PAUSE_S, pause * 2)
        self._link.close()

    def _listen(self) -> None:
        while not self._ended.is_set():
            readable, _, _ = select.select([self._link.fileno(), self._bell.fileno()], [], [], CHECK_S)
            if not readable:
                self._link.send("PING")
            elif self._bell.fileno() in readable:
                return
            self._hear(self._link.receive())

    def _hear(self, pushed: object) -> None:
        # [b"message", channel, payload]; the answer to PING is [b"pong", b""].
        if isinstance(pushed, list) and len(pushed) == 3 and pushed[0] == b"message":
            payload = pushed[2]
            if isinstance(payload, bytes) and payload.startswith(_REVOKE):
                self._revoked(payload[len(_REVOKE) :].decode())
