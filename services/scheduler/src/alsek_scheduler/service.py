"""A scheduler: takes part in the election, and fires while it leads. Any number of them may run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

from alsek.core.schedules import ScheduleStore
from alsek.exceptions import AlsekError, BackendUnavailableError
from alsek.logging import get_logger
from alsek_scheduler.election import Election
from alsek_scheduler.ledger import Ledger
from alsek_scheduler.planner import Planner
from alsek_scheduler.roster import Roster
from alsek_scheduler.settings import Settings
from alsek_scheduler.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek.core.broker import Broker

log = get_logger(__name__)

#: Without an answer of Redis for so long a scheduler is not ready, seconds: longer than one who stands by is silent.
_SILENCE_S: Final = 30.0

#: A ticker that did not come by for so long hangs, seconds: longer than any call waits for Redis.
_HANGING_S: Final = 120.0


class Scheduler:
    """Fires the schedules of a namespace; leaving the `with` block hands the lead over.

    Args:
        broker: Takes the messages.
        tasks: The tasks that are known here; their triggers become schedules.
        package: Where they were found: schedules that its code defined, and does not any more, are deleted.
        settings: See `Settings`.
    """

    def __init__(
        self, broker: Broker, tasks: Iterable[Any] = (), package: str | None = None, settings: Settings | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.store = ScheduleStore(broker)
        self.roster = Roster(tasks, package)
        self.ledger = Ledger()
        self._package = package
        self._election = Election(self.store, self.settings)
        planner = Planner(self.store, self.roster, self.ledger)
        self._ticker = Ticker(self.store, self._election, planner, self.ledger, self.settings)
        self._stopping = threading.Event()

    def start(self) -> Self:
        """Take part from now on, and bring the schedules of our package up to date."""
        self._election.start()
        self._ticker.start()
        if self._package is not None:
            threading.Thread(target=self._scan, name="alsek-scan", daemon=True).start()
        return self

    def stop(self) -> None:
        """Fire nothing more and hand the lead over."""
        self._stopping.set()
        self._ticker.stop()
        self._election.stop()

    @property
    def epoch(self) -> int | None:
        """The number of our leadership; `None`: we do not lead."""
        return self._election.epoch

    def is_live(self) -> tuple[bool, str]:
        """Tell whether the ticker makes progress."""
        silent_s = time.monotonic() - self._ticker.turned_at
        if not self._ticker.alive:
            return False, "the ticker has ended"
        return silent_s < _HANGING_S, f"the ticker came by {silent_s:.0f} s ago"

    def is_ready(self) -> tuple[bool, str]:
        """Tell whether Redis answered lately; one who stands by is as ready as the leader."""
        heard_at = self._election.heard_at
        if not heard_at:
            return False, "Redis has not answered yet"
        silent_s = time.monotonic() - heard_at
        allowed_s = max(_SILENCE_S, 2 * self.settings.lease_ms / 1000)
        role = "standing by" if self.epoch is None else "leading"
        return silent_s < allowed_s, f"{role}; Redis answered {silent_s:.0f} s ago"

    def _scan(self) -> None:
        while not self._stopping.is_set():
            try:
                count, gone = self.roster.scan(self.store)
            except BackendUnavailableError:
                self._stopping.wait(1.0)
            except AlsekError as error:
                log.error("scan.failed", reason=str(error))
                self._stopping.wait(5.0)
            else:
                log.info("scan.done", package=self._package, triggers=count, vanished=gone)
                return

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
