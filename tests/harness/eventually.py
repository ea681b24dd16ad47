"""The one accepted way for a test to wait for something outside its process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Short enough that a wait adds no visible time, long enough to leave the CPU to others.
POLL_S = 0.005


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
        timeout: Seconds until giving up; the predicate is asked once more at the end.
        what: Says in the error what was waited for; a callable is asked only then.
        interval: Seconds between two questions.

    Raises:
        AssertionError: The predicate stayed falsy.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        if value := predicate():
            return value
        if late:
            told = what() if callable(what) else what
            name = told or getattr(predicate, "__name__", "predicate")
            raise AssertionError(f"not within {timeout:g} s: {name}")
        time.sleep(interval)
