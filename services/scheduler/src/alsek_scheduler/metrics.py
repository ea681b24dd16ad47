"""What Prometheus reads of a scheduler; imported only where metrics are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alsek.tools.families import Described
from alsek_scheduler.ledger import LAG_BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from alsek_scheduler.service import Scheduler

LEADS: Final = Described("alsek_scheduler_is_leader", "gauge", (), "1 while this scheduler leads, else 0.")
EPOCH: Final = Described("alsek_scheduler_epoch", "gauge", (), "Number of this leadership; told by the leader.")
FIRES: Final = Described("alsek_scheduler_fires_total", "counter", (), "Messages fired by this scheduler.")
BROKEN: Final = Described(
    "alsek_scheduler_broken_total", "counter", (), "Schedules that this scheduler found to be broken."
)
MISFIRES: Final = Described(
    "alsek_scheduler_misfires_total", "counter", ("policy",), "Instants that got no message because it was too late."
)
LAG: Final = Described(
    "alsek_scheduler_fire_lag_seconds", "histogram", (), "Time between an instant and the submit of its message."
)
SCHEDULES: Final = Described(
    "alsek_schedules", "gauge", ("state",), "Schedules that are active, paused, broken or ended; told by the leader."
)

ALL: Final = (LEADS, EPOCH, FIRES, MISFIRES, BROKEN, LAG, SCHEDULES)

_MILLIONTHS: Final = 1_000_000


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
        yield LEADS.of({(): 0 if epoch is None else 1})
        if epoch is not None:
            yield EPOCH.of({(): epoch})
        yield FIRES.of({(): ledger.fires})
        yield BROKEN.of({(): ledger.breaks})
        yield MISFIRES.of({(policy,): count for policy, count in ledger.missed.items()})
        yield LAG.histogram(LAG_BOUNDS_S, {(): [round(ledger.lag_sum_s * _MILLIONTHS), *ledger.lag_counts]})
        if epoch is not None and ledger.counts is not None:
            states = ("active", "paused", "broken", "ended")
            yield SCHEDULES.of({(state,): getattr(ledger.counts, state) for state in states})
