"""An event loop in one process: `async def` tasks, each message an asyncio task of its own."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from alsek_worker.execution import Execution
from alsek_worker.intake import Intake
from alsek_worker.pools import consumer_of
from alsek_worker.pools.thread import SWITCH_INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.core.broker import Broker
    from alsek.core.task import Task
    from alsek_worker.attempt import Attempt
    from alsek_worker.control import Control
    from alsek_worker.ledger import Ledger
    from alsek_worker.settings import Settings

#: What a cancelled coroutine gets to end before its message is settled without it, seconds.
_GRACE_S: Final = 0.2

#: … and before its process is replaced, because it swallows cancellation, seconds.
_PATIENCE_S: Final = 5.0


class AsyncLoop:
    """Runs messages as coroutines.

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
        self._settings = settings
        self._waiting: deque[Attempt] = deque()
        self._running: dict[Attempt, asyncio.Task[None]] = {}
        self._interrupted: dict[Attempt, float] = {}
        self._starting = False
        self._loop: asyncio.AbstractEventLoop

    def run(self) -> None:
        """Run until the supervisor or a limit ends it."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        with asyncio.Runner(loop_factory=_loop_factory(self._settings.uvloop)) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        if sys.version_info >= (3, 12):
            self._loop.set_task_factory(asyncio.eager_task_factory)
        over: asyncio.Future[None] = self._loop.create_future()

        def take_in() -> None:
            try:
                self._intake.run()
            except BaseException as error:  # noqa: BLE001  (without an intake this process is of no use: it ends of it)
                self._loop.call_soon_threadsafe(over.set_exception, error)
            else:
                self._loop.call_soon_threadsafe(over.set_result, None)

        threading.Thread(target=take_in, name="intake", daemon=True).start()
        self._control.listen(self._intake.obey)
        await over

    # -- for the intake (its thread) -----------------------------------------------------------------------------

    def deliver(self, attempts: list[Attempt]) -> None:
        """Queue messages up for the loop."""
        self._waiting.extend(attempts)
        self._loop.call_soon_threadsafe(self._start)

    def take_back(self) -> list[Attempt]:
        """Give back what was not started."""
        back: list[Attempt] = []
        while self._waiting:
            try:
                back.append(self._waiting.pop())
            except IndexError:  # the loop took it at this moment
                break
        return back

    def overdue(self, now: float) -> float:
        """Cancel what is past its deadline; settle what does not end although it was."""
        soonest = math.inf
        for attempt in list(self._running):
            if attempt in self._interrupted:
                soonest = min(soonest, self._insist(attempt, now))
            elif attempt.deadline > now:
                soonest = min(soonest, attempt.deadline)
            else:
                self.interrupt(attempt, TimeoutError)
                self._interrupted[attempt] = now
                soonest = min(soonest, now + _GRACE_S)
        return soonest

    def interrupt(self, attempt: Attempt, error: type[BaseException]) -> None:
        """Cancel the coroutine of an attempt."""
        attempt.interruption = error
        self._loop.call_soon_threadsafe(self._cancel, attempt)

    def _insist(self, attempt: Attempt, now: float) -> float:
        since = self._interrupted[attempt]
        if now < since + _GRACE_S:
            return since + _GRACE_S
        if not attempt.decided:
            threading.Thread(target=self._settle_without, args=(attempt,), daemon=True).start()
        if now < since + _PATIENCE_S:
            return since + _PATIENCE_S
        self._intake.retire("a coroutine does not let itself be cancelled")
        return math.inf

    def _settle_without(self, attempt: Attempt) -> None:
        self._execution.give_up(attempt)
        if attempt.settlement is not None:
            self._intake.finish(attempt)

    # -- the loop ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        waiting, running, begin = self._waiting, self._running, self._intake.begin
        create, serve, most = self._loop.create_task, self._serve, self._settings.concurrency
        if self._starting:  # an eager task ended inside the loop below
            return
        self._starting = True
        while waiting and len(running) < most:
            try:
                attempt = waiting.popleft()
            except IndexError:  # taken back at this moment
                break
            if begin(attempt):
                task = create(serve(attempt))
                if not task.done():
                    running[attempt] = task
        self._starting = False

    async def _serve(self, attempt: Attempt) -> None:
        try:
            await self._execution.run_async(attempt)
        except BaseException as error:  # noqa: BLE001  (a fault of ours: user code is caught inside)
            await self._execution.break_off_async(attempt, error)
            self._intake.retire("it could not settle its work")
        self._running.pop(attempt, None)
        self._interrupted.pop(attempt, None)
        self._intake.finish(attempt)
        if self._waiting:
            self._start()

    def _cancel(self, attempt: Attempt) -> None:
        task = self._running.get(attempt)
        if task is not None:
            task.cancel()
            task.add_done_callback(lambda _: self._clear_up(attempt))

    def _clear_up(self, attempt: Attempt) -> None:
        # Cancelled before its first step, a coroutine does not run at all: nobody else would hand in its attempt.
        if self._running.pop(attempt, None) is not None:
            self._interrupted.pop(attempt, None)
            self._running[attempt] = self._loop.create_task(self._end_unstarted(attempt))

    async def _end_unstarted(self, attempt: Attempt) -> None:
        await self._execution.break_off_async(attempt, asyncio.CancelledError())
        self._running.pop(attempt, None)
        self._intake.finish(attempt)
        self._start()


def _loop_factory(wanted: bool | None) -> Any:
    if wanted is False:
        return None
    try:
        import uvloop
    except ImportError:
        if wanted:
            raise
        return None
    return uvloop.new_event_loop
