"""What happened minute by minute, of one queue or of many together: figures and charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from alsek_api.dashboard.chart import Chart, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from alsek.tools.inspector import Inspector, Minute

#: Minutes on a chart.
MINUTES: Final = 60

#: Queues that are added up on one page: each takes some reading, and the busiest tell the story.
MOST_QUEUES: Final = 100

#: Minutes from which "now" is told: one alone jumps.
_LATELY: Final = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """What happened lately.

    Attributes:
        minutes: Begin of each, seconds since the epoch.
        succeeded, retried, failed: In each.
        wait_ms: How long what was claimed had been ready, on average.
        held_ms: How long what succeeded had been held, on average.
        finished_per_minute: Lately.
        failures: Share of what failed for good among what finished, over all minutes; `None`: nothing finished.
        wait_lately_ms: The average of the last minutes; `None`: nothing was claimed.
        held_lately_ms: Likewise; `None`: nothing succeeded.
    """

    minutes: Sequence[int]
    succeeded: Sequence[int]
    retried: Sequence[int]
    failed: Sequence[int]
    wait_ms: Sequence[float | None]
    held_ms: Sequence[float | None]
    finished_per_minute: float
    failures: float | None
    wait_lately_ms: float | None
    held_lately_ms: float | None

    def charts(self) -> list[Chart]:
        """Give the charts that tell of it."""
        ended = Chart("Ended per minute", "count", "bars", self.minutes, (
            Series("Succeeded", "green", self.succeeded),
            Series("To be retried", "amber", self.retried),
            Series("Failed", "red", self.failed),
        ))  # fmt: skip
        times = Chart("Waiting and running, on average", "ms", "lines", self.minutes, (
            Series("Waited", "violet", self.wait_ms),
            Series("Ran", "blue", self.held_ms),
        ))  # fmt: skip
        return [ended, times]


def pace_of(inspector: Inspector, queues: Sequence[str]) -> Pace:
    """Add up what happened in some queues."""
    found = inspector.throughput_of(queues[:MOST_QUEUES], MINUTES)
    columns = [[minute for minute in column if _is_busy(minute)] for column in zip(*found, strict=True)]
    succeeded, retried, failed = (
        [sum(getattr(minute, name) for minute in column) for column in columns]
        for name in ("succeeded", "retried", "failed")
    )
    lately = [minute for column in columns[-_LATELY:] for minute in column]
    finished = sum(succeeded) + sum(failed)
    return Pace(
        minutes=[minute.at // 1000 for minute in (found[0] if found else ())],
        succeeded=succeeded,
        retried=retried,
        failed=failed,
        wait_ms=[_wait(column) for column in columns],
        held_ms=[_held(column) for column in columns],
        finished_per_minute=_per_minute(columns),
        failures=sum(failed) / finished if finished else None,
        wait_lately_ms=_wait(lately),
        held_lately_ms=_held(lately),
    )


def _is_busy(minute: Minute) -> bool:
    return bool(minute.claimed or minute.succeeded or minute.retried or minute.failed)


def _per_minute(columns: Sequence[Sequence[Minute]]) -> float:
    """The pace of the whole minutes lately, or of the one that runs where there is nothing else."""
    ended = [sum(minute.succeeded + minute.failed for minute in column) for column in columns]
    whole = ended[-_LATELY - 1 : -1]
    if not any(whole):
        return float(ended[-1]) if ended else 0.0
    first = next(index for index, count in enumerate(whole) if count)
    return sum(whole[first:]) / len(whole[first:])


def _wait(minutes: Iterable[Minute]) -> float | None:
    return _mean(minutes, lambda minute: (minute.wait_ms, minute.claimed))


def _held(minutes: Iterable[Minute]) -> float | None:
    return _mean(minutes, lambda minute: (minute.held_ms, minute.succeeded))


def _mean(minutes: Iterable[Minute], look: Callable[[Minute], tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in map(look, minutes) if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
