"""The one accepted way for a test to wait for something outside its process."""

import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: Short enough that a wait adds no visible time, long enough to leave the CPU to others.
POLL_S = 0.005

#: A limit ends a test that hangs and judges no speed: on a crowded machine everything may take so many times as long.
PATIENCE: Final = float(os.environ.get("ALSEK_TEST_PATIENCE", "4"))


def eventually(
    predicate: Callable[[], T],
    timeout: float = 10.0,
    *,
    what: str | Callable[[], str] = "",
    interval: float = POLL_S,
) -> T:
    """Return the first truthy value of `predicate`, asked until the deadline.

    Args:
        predicate: Asked at once, then every `interval` seconds; exceptions fly.
        timeout: Seconds until giving up, but for `PATIENCE`; the predicate is asked once more at the end.
        what: Says in the error what was waited for; a callable is asked only then.
        interval: Seconds between two questions.

    Raises:
        AssertionError: The predicate stayed falsy.
    """
    limit = timeout * PATIENCE
    deadline = time.monotonic() + limit
    while True:
        late = time.monotonic() >= deadline
        if value := predicate():
            return value
        if late:
            told = what() if callable(what) else what
            name = told or getattr(predicate, "__name__", "predicate")
            raise AssertionError(f"not within {limit:g} s: {name}")
        time.sleep(interval)
