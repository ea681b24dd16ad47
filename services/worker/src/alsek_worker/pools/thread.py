"""A group of threads in one process: plain functions, each slot one thread."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from alsek_worker.execution import Execution
from alsek_worker.intake import Intake
from alsek_worker.pools import consumer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.core.broker import Broker
    from alsek.core.task import Task
    from alsek_worker.attempt import Attempt
    from alsek_worker.control import Control
    from alsek_worker.ledger import Ledger
    from alsek_worker.settings import Settings

#: What an interrupted thread gets to end by itself before its message is settled without it, seconds.
_GRACE_S: Final = 0.2

#: How often a thread may be taken off the GIL, seconds: the intake must not wait long behind busy slots.
SWITCH_INTERVAL_S: Final = 0.001


class _Seat:
    """One thread and what it runs; the lock makes an exception hit the attempt it is meant for, or nothing."""

    __slots__ = ("attempt", "ident", "lock", "thread")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.attempt: Attempt | None = None
        self.ident = 0
        self.thread: threading.Thread | None = None


class ThreadGroup:
    """Runs messages in threads.

    An interrupted thread can leave locks behind, so a group in which one was interrupted takes no new work: it
    finishes what it has and is replaced.

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
        self._control = control
        self._waiting: SimpleQueue[Attempt | None] = SimpleQueue()
        self._seats = [_Seat() for _ in range(settings.concurrency)]
        self._given_up: list[tuple[float, Attempt]] = []

    def run(self) -> None:
        """Run until the supervisor or a limit ends it."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        for number, seat in enumerate(self._seats, 1):
            seat.thread = threading.Thread(target=self._serve, args=(seat,), name=f"Thread-{number}", daemon=True)
            seat.thread.start()
        self._control.listen(self._intake.obey)
        self._intake.run()

    # -- for the intake ------------------------------------------------------------------------------------------

    def deliver(self, attempts: list[Attempt]) -> None:
        """Queue messages up for the threads."""
        for attempt in attempts:
            self._waiting.put(attempt)

    def take_back(self) -> list[Attempt]:
        """Give back what no thread has taken."""
        back: list[Attempt] = []
        while True:
            try:
                attempt = self._waiting.get_nowait()
            except Empty:
                return back
            if attempt is not None:
                back.append(attempt)

    def overdue(self, now: float) -> float:
        """Interrupt what is past its deadline; settle what does not end although it was."""
        soonest = math.inf
        for seat in self._seats:
            attempt = seat.attempt
            if attempt is None or not attempt.started:
                continue
            if attempt.deadline > now:
                soonest = min(soonest, attempt.deadline)
            elif attempt.interruption is None and not attempt.decided:
                self.interrupt(attempt, TimeoutError)
                self._given_up.append((now + _GRACE_S, attempt))
        for due, attempt in self._given_up[:]:
            if due > now and not attempt.decided:
                soonest = min(soonest, due)
                continue
            self._given_up.remove((due, attempt))
            if not attempt.decided:
                threading.Thread(target=self._settle_without, args=(attempt,), daemon=True).start()
        return soonest

    def interrupt(self, attempt: Attempt, error: type[BaseException]) -> None:
        """Raise an exception in the thread that runs an attempt, and have the group replaced."""
        for seat in self._seats:
            with seat.lock:
                if seat.attempt is not attempt:
                    continue
                attempt.interruption = error
                if attempt.recipe is None or attempt.recipe.task.interrupt:
                    raise_in(seat.ident, error)
        self._intake.retire("a thread was interrupted, and may have left locks behind")

    # -- the threads ---------------------------------------------------------------------------------------------

    def _serve(self, seat: _Seat) -> None:
        seat.ident = threading.get_ident()
        intake, run, get = self._intake, self._execution.run, self._waiting.get
        while True:
            try:
                attempt = get()
                if attempt is None:
                    return
                if not intake.begin(attempt):
                    continue
                with seat.lock:
                    seat.attempt = attempt
                run(attempt)
                with seat.lock:
                    seat.attempt = None
                if attempt.interruption is not None:
                    raise_in(seat.ident, None)
                intake.finish(attempt)
            except BaseException as error:  # noqa: BLE001  (an interruption just before or after the run, or a fault)
                attempt = seat.attempt
                with seat.lock:
                    seat.attempt = None
                if attempt is not None:
                    self._execution.break_off(attempt, error)
                    intake.finish(attempt)
                    intake.retire("it could not settle its work")

    def _settle_without(self, attempt: Attempt) -> None:
        self._execution.give_up(attempt)
        if attempt.settlement is not None:
            self._intake.finish(attempt)


def raise_in(ident: int, error: type[BaseException] | None) -> None:
    """Raise an exception in a thread, at its next step in Python; `None` takes back what has not been delivered yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(error) if error else None)
