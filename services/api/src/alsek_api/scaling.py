"""How many workers a queue wants: in seconds of backlog, because counts say nothing where tasks differ in length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.tools.facts import QueueInfo, WorkerInfo

#: Slots of a worker, where none runs that could tell.
_USUAL_SLOTS: Final = 8


def plan(queue: QueueInfo, workers: Sequence[WorkerInfo], target_s: float, most: int) -> dict[str, Any]:
    """Give the advice.

    Args:
        queue: As it is.
        workers: All that live.
        target_s: In which a backlog is to be done.
        most: Never advise more.
    """
    listening = [worker for worker in workers if worker.listens_to(queue.name)]
    pace = queue.finished_per_minute / 60
    backlog = queue.ready
    # What falls due within the target wants somebody who is there: a worker needs that long to start.
    due_soon = queue.due_in_ms is not None and queue.due_in_ms <= target_s * 1000
    slots = sum(worker.slots for worker in listening) / len(listening) if listening else _USUAL_SLOTS
    # What runs counts too: a queue emptied into busy workers would else lose the workers in the middle of it.
    wanted = math.ceil(queue.running / slots)
    if pace and listening:
        wanted = max(wanted, math.ceil(len(listening) * backlog / pace / target_s))
    elif backlog:
        wanted = math.ceil((backlog + queue.running) / slots)
    if backlog or due_soon:
        wanted = max(1, wanted)
    return {
        "queue": queue.name,
        "backlog": backlog,
        "running": queue.running,
        "backlog_age_s": queue.waiting_ms / 1000,
        "pace_per_s": pace,
        "drain_s": backlog / pace if pace else (0.0 if not backlog else None),
        "workers": len(listening),
        "desired_replicas": 0 if queue.paused is not None and not queue.running else min(wanted, most),
    }
