"""One slot in a process of its own: plain functions on its main thread, which a signal can interrupt."""

from __future__ import annotations

import math
import signal
import sys
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from alsek.exceptions import LeaseLostError, RevokedError, TerminationError
from alsek_worker.execution import Execution
from alsek_worker.intake import Intake
from alsek_worker.ledger import Ledger, Stop
from alsek_worker.pools import consumer_of
from alsek_worker.pools.thread import SWITCH_INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.core.broker import Broker
    from alsek.core.task import Task
    from alsek_worker.attempt import Attempt
    from alsek_worker.control import Control
    from alsek_worker.settings import Settings

_ERROR_OF: dict[Stop, type[BaseException]] = {
    Stop.TIMEOUT: TimeoutError,
    Stop.REVOKED: RevokedError,
    Stop.LOST: LeaseLostError,
    Stop.SHUTDOWN: TerminationError,
}


class ProcessSlot:
    """Runs one message at a time on the main thread.

    Deadlines are the supervisor's: it settles the message, sends SIGTERM, and SIGKILL to who does not obey.

    Args:
        tasks: By name.
        broker: Whose messages.
        ledger: Where leases are written down.
        control: Line to the supervisor.
        settings: Of this child.
    """

    def __init__(
        self, tasks: Mapping[str, Task], broker: Broker, ledger: Ledger, control: Control, settings: Settings
    ) -> None:
        self._execution = Execution(tasks, broker, settings.unknown_task_delay_ms)
        self._intake = Intake(consumer_of(broker, settings), self._execution, self, ledger, control, settings)
        self._ledger = ledger
        self._control = control
        self._waiting: SimpleQueue[Attempt | None] = SimpleQueue()
        self._current: Attempt | None = None
        self._broken: BaseException | None = None

    def run(self) -> None:
        """Run until the supervisor or a limit ends it."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        intake = threading.Thread(target=self._take_in, name="intake", daemon=True)
        intake.start()
        self._control.listen(self._intake.obey)
        self._serve()
        intake.join()
        if self._broken is not None:
            raise self._broken

    # -- for the intake ------------------------------------------------------------------------------------------

    def deliver(self, attempts: list[Attempt]) -> None:
        """Queue messages up for the main thread."""
        for attempt in attempts:
            self._waiting.put(attempt)

    def take_back(self) -> list[Attempt]:
        """Give back what was not started."""
        back: list[Attempt] = []
        while True:
            try:
                attempt = self._waiting.get_nowait()
            except Empty:
                return back
            if attempt is not None:
                back.append(attempt)

    def overdue(self, now: float) -> float:
        """Leave deadlines to the supervisor."""
        return math.inf

    def interrupt(self, attempt: Attempt, error: type[BaseException]) -> None:
        """Leave interruptions to the supervisor's signal."""

    # -- the main thread -----------------------------------------------------------------------------------------

    def _take_in(self) -> None:
        try:
            self._intake.run()
        except BaseException as error:  # noqa: BLE001  (without an intake this process is of no use: it ends of it)
            self._broken = error
        self._waiting.put(None)

    def _serve(self) -> None:
        intake, run, get = self._intake, self._execution.run, self._waiting.get
        while True:
            try:
                attempt = get()
                if attempt is None:
                    return
                if not intake.begin(attempt):
                    continue
                self._current = attempt
                run(attempt)
                self._current = None
                intake.finish(attempt)
            except BaseException as error:
                attempt, self._current = self._current, None
                if attempt is None:
                    continue
                if attempt.interruption is None:
                    # What we do ourselves fails, for want of memory perhaps: our death gives back what is held.
                    raise
                self._execution.break_off(attempt, error)  # an interruption arrived just before or after the run
                intake.finish(attempt)

    def _on_sigterm(self, _number: int, _frame: Any) -> None:
        attempt = self._current
        if attempt is None or attempt.decided:  # nothing of the user's runs any more
            return
        reason = self._ledger.asked_to_stop(attempt.slot)
        if reason is not None and attempt.interruption is None:
            attempt.interruption = error = _ERROR_OF[reason]
            raise error
