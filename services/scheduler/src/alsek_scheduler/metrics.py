"""What Prometheus reads of a scheduler; imported only where metrics are served."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from alsek_scheduler.ledger import LAG_BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from alsek_scheduler.service import Scheduler


class SchedulerMetrics:
    """Collects the numbers of one scheduler.

    Args:
        scheduler: Which.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def collect(self) -> Iterable[Metric]:
        """Give all metrics; asks nobody."""
        ledger, epoch = self._scheduler.ledger, self._scheduler.epoch
        yield _gauge("alsek_scheduler_is_leader", "1 while this scheduler leads.", 0 if epoch is None else 1)
        if epoch is not None:
            yield _gauge("alsek_scheduler_epoch", "Number of this leadership.", epoch)
        yield CounterMetricFamily("alsek_scheduler_fires", "Messages fired by this scheduler.", value=ledger.fires)
        yield CounterMetricFamily(
            "alsek_scheduler_broken", "Schedules that this scheduler found broken.", value=ledger.breaks
        )
        missed = CounterMetricFamily(
            "alsek_scheduler_misfires", "Instants that got no message because it was too late.", labels=["policy"]
        )
        for policy, count in ledger.missed.items():
            missed.add_metric([policy], count)
        yield missed
        lag = HistogramMetricFamily(
            "alsek_scheduler_fire_lag_seconds", "Time between an instant and the submit of its message."
        )
        bounds = [*map(str, LAG_BOUNDS_S), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(ledger.lag_counts)), strict=True))
        lag.add_metric([], buckets=buckets, sum_value=ledger.lag_sum_s)
        yield lag
        if epoch is not None and ledger.counts is not None:
            schedules = GaugeMetricFamily(
                "alsek_schedules", "Schedules by state; told by the leader.", labels=["state"]
            )
            for state in ("active", "paused", "broken", "ended"):
                schedules.add_metric([state], getattr(ledger.counts, state))
            yield schedules


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value=value)
