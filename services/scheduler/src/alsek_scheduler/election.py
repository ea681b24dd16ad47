"""Who leads: a lease in Redis under a random identity, with an epoch that grows with every leadership.

The thread here does nothing but take, keep and give back the lead, so a slow tick never costs it. It trusts its lease
by the monotonic clock of this host, counted from before the call that granted it, and a little shorter than Redis does:
whoever cannot renew stops before another one begins. What is fired all the same is refused by the epoch.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from alsek.exceptions import AlsekError, BackendUnavailableError
from alsek.logging import get_logger

if TYPE_CHECKING:
    from alsek.core.schedules import ScheduleStore
    from alsek_scheduler.settings import Settings

log = get_logger(__name__)

#: What a leader that resigns tells those who stand by (see `schedule_resign.lua`).
_RESIGNED: Final = b"resigned"

#: Pause after Redis did not answer, seconds.
_PAUSE_S: Final = 0.2

#: One who stands by looks this long after the other's lease should have ended, seconds.
_BEHIND_S: Final = 0.01

#: How long a thread waits before it looks whether it is to stop, seconds; costs no command.
_SLICE_S: Final = 0.5


class Election:
    """Takes part in the election until it is stopped.

    Args:
        store: Whose schedulers.
        settings: Identity and lease.
    """

    def __init__(self, store: ScheduleStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alsek-election", daemon=True)
        self._epoch: int | None = None
        self._trusted_until = 0.0
        self._above = 0
        #: When Redis last answered (monotonic seconds); for probes.
        self.heard_at = 0.0

    def start(self) -> None:
        """Take part from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take part no longer; the lead is handed over at once."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=self._settings.lease_ms / 1000)

    @property
    def epoch(self) -> int | None:
        """The number of our leadership; `None`: we do not lead."""
        with self._changed:
            if self._epoch is None or self._stopping.is_set() or time.monotonic() >= self._trusted_until:
                return None
            return self._epoch

    def wait(self, timeout: float) -> int | None:
        """Wait until we lead, at most so many seconds; gives the epoch."""
        with self._changed:
            if self.epoch is None and not self._stopping.is_set():
                self._changed.wait(timeout)
        return self.epoch

    def refused(self, epoch: int) -> None:
        """Hear that a leadership of ours was refused: somebody with a higher epoch spoke there before."""
        with self._changed:
            if self._epoch == epoch:
                log.warning("lead.refused", epoch=epoch, identity=self._settings.identity)
                self._epoch = None
                self._above = epoch
                self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._store.broker.redis.subscriber.open((self._store.keys.scheduler_channel,)) as told:
                    while not self._stopping.is_set():
                        wait_s = self._campaign()
                        if self._epoch is not None:
                            self._pause(wait_s)
                        else:
                            deadline = time.monotonic() + wait_s
                            while not self._stopping.is_set() and (left := deadline - time.monotonic()) > 0:
                                event = told.next(time.monotonic() + min(left, _SLICE_S))
                                if event is not None and event.payload == _RESIGNED:
                                    break
            except BackendUnavailableError as error:
                log.debug("election.unreachable", reason=str(error))
                self._pause(_PAUSE_S)
            except AlsekError as error:
                log.error("election.failed", reason=str(error))
                self._pause(1.0)
        self._resign()

    def _campaign(self) -> float:
        """Take or keep the lead; gives the seconds until the next attempt."""
        settings = self._settings
        began = time.monotonic()
        call = self._store.verbs.lead(settings.identity, settings.lease_ms, self._above)
        try:
            code, number = self._store.broker.redis.links.execute([call])[0]
        except BackendUnavailableError as error:
            with self._changed:
                if self._epoch is not None and time.monotonic() >= self._trusted_until:
                    log.warning("lead.lost", epoch=self._epoch, reason=str(error))
                    self._epoch = None
            return _PAUSE_S
        self.heard_at = time.monotonic()
        with self._changed:
            former = self._epoch
            if code > 0:
                self._epoch = number
                self._trusted_until = began + (settings.lease_ms - settings.margin_ms) / 1000
                self._changed.notify_all()
            else:
                self._epoch = None
        if code == 0:
            if former is not None:
                log.warning("lead.lost", epoch=former, reason="another scheduler took it")
            return max(0, int(number)) / 1000 + _BEHIND_S
        if former != number:
            log.info("lead.taken", epoch=number, identity=settings.identity)
        return settings.renew_ms / 1000

    def _resign(self) -> None:
        with self._changed:
            epoch, self._epoch = self._epoch, None
        if epoch is None:
            return
        with suppress(AlsekError):
            if self._store.broker.redis.links.execute([self._store.verbs.resign(self._settings.identity)])[0]:
                log.info("lead.handed_over", epoch=epoch)

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)
