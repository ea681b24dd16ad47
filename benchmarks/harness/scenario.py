"""What a scenario is: a question, how to measure one contender, and how to show it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from harness.contender import Contender
from harness.session import MeasurementError, Session


@dataclass(frozen=True, slots=True)
class Settings:
    """How much to measure."""

    n: int = 20_000
    large: int = 200_000
    samples: int = 300
    window_s: float = 60.0
    backlogs: tuple[int, ...] = (0, 100_000, 500_000)
    #: Messages that stand there while an operator looks.
    looked_at: int = 1_000_000
    #: Give up when no task starts for this long.
    stall_s: float = 30.0
    #: Longest wait for a recovery.
    cap_s: float = 120.0

    @classmethod
    def quick(cls) -> "Settings":
        """Small sizes: proves that everything runs, says little about speed."""
        return cls(1_000, 5_000, 30, 5.0, (0, 2_000), 5_000, 20.0, 45.0)

    def of_size(self, n: int | None) -> "Settings":
        """Take another number of messages for every scenario that asks for one."""
        return self if n is None else replace(self, n=n, large=n, looked_at=n)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a key of the measurement."""

    key: str
    title: str
    digits: int = 0


Measurement = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question and the way to its answer."""

    name: str
    question: str
    columns: tuple[Column, ...]
    measure: Callable[[Contender, Settings], Measurement]
    #: The column that is drawn, and which way is better.
    plot: str
    more_is_better: bool = True
    #: Asks for more than every peer has: only those that name it take part.
    invited_only: bool = False
    large_only: bool = False
    #: A question that only Alsek has an answer to, or asks of itself.
    ours_only: bool = False
    #: Measured once, because it takes long or does not move.
    once: bool = False

    def takes(self, contender: Contender) -> bool:
        """Tell whether the contender takes part."""
        if self.ours_only and not contender.ours:
            return False
        if contender.only:
            return self.name in contender.only
        if self.invited_only:
            return False
        return contender.large or not self.large_only


def drained(session: Session, n: int, settings: Settings, processes: int = 1) -> Measurement:
    """Let workers run what waits and give rates, exact counts and Redis' cost per task.

    The rate is counted from the first start of a task to the last one.
    """
    before = session.server.read()
    workers = session.work(processes)
    session.expect(n, settings.stall_s)
    # A second execution would still arrive, and acknowledgements are counted too.
    session.tally.wait(lambda: False, stall_s=0.4)
    cost = session.server.read().since(before)
    rows = session.tally.rows()
    if len(rows) < 2:
        raise MeasurementError(f"no task started:\n{session.complaint()}")
    span = (rows[-1, 1] - rows[0, 1]) / 1e9
    whole = (rows[-1, 1] - workers[0].started_ns) / 1e9
    ran, distinct = len(rows), session.tally.distinct()
    return {
        "n": n,
        "rate": (ran - 1) / span,
        "rate_with_boot": ran / whole,
        "ran": ran,
        "lost": n - distinct,
        "repeated": ran - distinct,
        "redis_us": cost.cpu_s * 1e6 / n,
        "commands": cost.commands / n,
        "reads": cost.reads / n,
    }


def sized(contender: Contender, n: int) -> int:
    """Give the number of messages this contender can bear."""
    return min(n, contender.limit or n)


def percentile(values: list[float], share: float) -> float:
    """Give the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
