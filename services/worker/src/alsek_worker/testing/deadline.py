"""The timeout of a task that runs in the thread of a test."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alsek_worker.pools.thread import raise_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek_worker.attempt import Attempt
    from alsek_worker.execution import Execution


def run_in_time(execution: Execution, attempt: Attempt) -> None:
    """Run an attempt in this thread, and interrupt it at its deadline as a thread pool does."""
    try:
        with _interrupted_when_late(attempt):
            execution.run(attempt)
    except BaseException as error:
        if attempt.interruption is None:
            raise
        execution.break_off(attempt, error)  # it arrived just after the end


@contextmanager
def _interrupted_when_late(attempt: Attempt) -> Iterator[None]:
    lock, ident, running = threading.Lock(), threading.get_ident(), True

    def interrupt() -> None:
        with lock:
            if running and not attempt.decided:
                attempt.interruption = TimeoutError
                if attempt.recipe is None or attempt.recipe.task.interrupt:
                    raise_in(ident, TimeoutError)

    timer = threading.Timer(attempt.message.timeout / 1000, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            running = False
        if attempt.interruption is not None:
            raise_in(ident, None)
