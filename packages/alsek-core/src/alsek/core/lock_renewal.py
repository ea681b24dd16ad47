"""Keeps a lock alive while its holder works: on request only, as it also keeps the lock of a holder that hangs."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from alsek.exceptions import AlsekError, BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class LockRenewal:
    """A thread that renews one acquisition until it is stopped or lost.

    Args:
        name: Of the lock, for the log.
        ttl_ms: Of the lock; it is renewed at a third of it.
        renew: Renews; says whether the lock is still held.
    """

    def __init__(self, name: str, ttl_ms: int, renew: Callable[[], bool]) -> None:
        self._name = name
        self._ttl_s = ttl_ms / 1000
        self._renew = renew
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alsek-renew-{name}", daemon=True)
        self._pid = os.getpid()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for a renewal that is under way. In a forked child there is nothing to end."""
        if self._pid != os.getpid():
            return
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        renewed_at = time.monotonic()
        while not self._stopped.wait(self._ttl_s / 3):
            now = time.monotonic()
            try:
                if not self._renew():
                    log.warning("The lock '%s' was lost before it was released.", self._name)
                    return
                renewed_at = now
            except BackendUnavailableError:
                if now - renewed_at > self._ttl_s:
                    log.warning("The lock '%s' ran out while Redis did not answer.", self._name)
                    return
            except AlsekError as error:
                log.warning("The lock '%s' can no longer be renewed: %s", self._name, error)
                return
