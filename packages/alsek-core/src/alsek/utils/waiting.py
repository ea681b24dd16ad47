"""Upstream's path to waiting for a condition. It looks again and again: where something can be pushed, use that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def waiter(
    condition: Callable[[], bool],
    sleep_interval: int = 1_000,
    timeout: int | None = None,
    timeout_msg: str | None = None,
) -> bool:
    """Wait until the condition holds. Usable in any thread; leaves signals alone.

    Args:
        condition: Asked at once, then after each pause.
        sleep_interval: Length of a pause (ms).
        timeout: Give up after this long (ms); None never does.
        timeout_msg: Text of the error.

    Raises:
        TimeoutError: The condition did not hold in time.
    """
    end = None if timeout is None else time.monotonic() + timeout / 1000
    while not condition():
        left = float("inf") if end is None else end - time.monotonic()
        if left <= 0:
            raise TimeoutError(timeout_msg or "The condition did not hold in time")
        time.sleep(min(sleep_interval / 1000, left))
    return True
