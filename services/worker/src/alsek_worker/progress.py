"""Passes on how far tasks have come, without their waiting for it: one thread for all runs of a child.

Whoever runs a task may be interrupted at any point, so nothing that it does here takes a lock.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from alsek.core.bulk import report_many
from alsek.core.status.types import TaskStatus
from alsek.exceptions import AlsekError
from alsek.logging import get_logger
from alsek_worker.ending import hook
from alsek_worker.steps import walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.core.broker import Broker
    from alsek.core.progress import Progress
    from alsek_worker.attempt import Attempt

log = get_logger(__name__)

#: Five words a second from each run: as much as people can follow.
INTERVAL_S: Final = 0.2

#: How long the end of a run waits for its last word to be heard, seconds: longer than a slow answer of Redis.
PATIENCE_S: Final = 2.0


class Teller:
    """Tells Redis, and the trackers of users, what runs said last.

    Args:
        broker: Whose messages.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        #: What was said last and is not told yet.
        self._latest: dict[Attempt, Progress] = {}
        self._telling: list[Attempt] = []
        self._wishes: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._unstarted = [None]

    def note(self, attempt: Attempt, progress: Progress) -> None:
        """Take what a run says; it is told at once, or when its interval is over."""
        self._latest[attempt] = progress
        attempt.reported = True
        # What is queued has its time already: a task that says a thousand things a second wakes nobody. Asked only
        # after the word is in place, so whoever takes the mark away finds it.
        if not attempt.queued or progress.complete:
            attempt.queued = True
            self._wishes.put(None)
            self._start()

    def is_behind(self, attempt: Attempt) -> bool:
        """Whether something that a run said is still to be told."""
        return attempt in self._latest or attempt in self._telling

    def flush(self, attempt: Attempt) -> None:
        """Wait until what a run said last has been told; not longer than a moment."""
        if self.is_behind(attempt):
            told = threading.Event()
            self._hurry(attempt, told.set)
            told.wait(PATIENCE_S)

    async def flush_async(self, attempt: Attempt) -> None:
        """Wait as `flush` does, without blocking the loop; a cancellation only cuts it short."""
        if self.is_behind(attempt):
            told, loop = asyncio.Event(), asyncio.get_running_loop()
            self._hurry(attempt, lambda: loop.call_soon_threadsafe(told.set))
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(told.wait(), PATIENCE_S)

    def _hurry(self, attempt: Attempt, told: Callable[[], object]) -> None:
        attempt.told_at = 0.0
        self._wishes.put(told)

    def _start(self) -> None:
        try:
            self._unstarted.pop()  # atomic under the GIL
        except IndexError:
            return
        threading.Thread(target=self._run, name="progress", daemon=True).start()

    def _run(self) -> None:
        pause: float | None = None
        while True:
            callbacks = self._listen(pause)
            now = time.monotonic()
            due = [one for one, said in list(self._latest.items()) if said.complete or one.told_at + INTERVAL_S <= now]
            if due:
                self._tell(due, now)
            for told in callbacks:
                with suppress(RuntimeError):  # the loop that waited is closed
                    told()
            times = [one.told_at + INTERVAL_S for one in list(self._latest)]
            pause = max(0.0, min(times) - time.monotonic()) if times else None

    def _listen(self, pause: float | None) -> list[Callable[[], object]]:
        callbacks: list[Callable[[], object]] = []
        try:
            wish = self._wishes.get(timeout=pause)
            while True:
                if wish is not None:
                    callbacks.append(wish)
                wish = self._wishes.get_nowait()
        except Empty:
            return callbacks

    def _tell(self, due: list[Attempt], now: float) -> None:
        self._telling = due
        said: list[tuple[Attempt, Progress]] = []
        for attempt in due:
            attempt.told_at, attempt.queued = now, False
            said.append((attempt, self._latest.pop(attempt)))
        try:
            codes = report_many(self._broker, [(one.message, progress) for one, progress in said])
        except AlsekError as error:
            log.warning("progress.untold", runs=len(said), error=str(error))
        except Exception:  # a serializer of the user's own; later words of others still have to be told
            log.exception("progress.untold", runs=len(said))
        else:
            for (attempt, progress), code in zip(said, codes, strict=True):
                recipe = attempt.recipe
                if code.accepted and recipe is not None and recipe.own_tracker is not None:
                    walk(hook(recipe.own_tracker.set, attempt.message, TaskStatus.RUNNING, progress.as_dict()))
        self._telling = []
