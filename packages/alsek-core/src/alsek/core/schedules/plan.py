"""Decides what becomes of the instants that have passed: pure arithmetic on a trigger, a policy and two times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.core.schedules.policy import FirePolicy

#: Instants that are looked at one by one; after a longer absence only the latest ones are.
_MOST_STEPS: Final = 1_000


class Plan(NamedTuple):
    """What to do with a due schedule; ms since the epoch.

    Attributes:
        fires: Instants that get a message, in order.
        missed: How many get none; at least so many, after a long absence.
        handled_ms: The last instant that has passed.
        next_ms: The first one that has not; `None`: there is none.
    """

    fires: list[int]
    missed: int
    handled_ms: int
    next_ms: int | None


def plan(fire_after: Callable[[int], int | None], due_ms: int, now_ms: int, policy: FirePolicy) -> Plan:
    """Decide what becomes of the instants from `due_ms` until now.

    Args:
        fire_after: The schedule's first instant after another.
        due_ms: The first one that nobody has decided about; it has passed.
        now_ms: Redis' time.
        policy: Of the schedule.
    """
    oldest = now_ms - policy.lateness_ms
    passed, following = _walk(fire_after, due_ms, now_ms, _MOST_STEPS)
    count, handled = len(passed), passed[-1]
    if following is not None and following <= now_ms:
        # A long absence: of the rest only what may still be fired is looked at.
        recent, following = _latest(fire_after, max(following, oldest), now_ms, policy.most)
        count += len(recent)
        handled = recent[-1] if recent else handled
        passed += recent
    fires = [instant for instant in passed[-policy.most :] if instant >= oldest]
    return Plan(fires, count - len(fires), handled, following)


def _walk(
    fire_after: Callable[[int], int | None], first_ms: int | None, until_ms: int, most: int | None = None
) -> tuple[list[int], int | None]:
    """Give the instants from one on until a time, at most so many, and the one that follows them."""
    passed: list[int] = []
    instant = first_ms
    while instant is not None and instant <= until_ms and (most is None or len(passed) < most):
        passed.append(instant)
        instant = fire_after(instant)
    return passed, instant


def _latest(
    fire_after: Callable[[int], int | None], from_ms: int, until_ms: int, want: int
) -> tuple[list[int], int | None]:
    """Give the last instants between two times, and the first one after them, looking back further and further."""
    window = 1_000
    while True:
        start = max(from_ms, until_ms - window)
        passed, following = _walk(fire_after, fire_after(start - 1), until_ms)
        if len(passed) >= want or start == from_ms:
            return passed, following
        window *= 2
