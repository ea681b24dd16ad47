"""What runs inside a child: threads, one process slot, or an event loop; each fed by an intake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.core.backoff import ConstantBackoff
from alsek.core.consumer import Consumer

if TYPE_CHECKING:
    from alsek.core.broker import Broker
    from alsek_worker.settings import Settings

#: A child that shares a queue with another mechanism is woken by the other's children, once they saw that a message is
#: not for them: should one of them be too busy for that, it looks for itself this often (ms).
SHARED_QUEUE_LOOK_MS = 5_000


def consumer_of(broker: Broker, settings: Settings) -> Consumer:
    """Make the consumer of a child, as its settings want it."""
    look_ms = SHARED_QUEUE_LOOK_MS if any(settings.subset.values()) else settings.look_around_ms
    return Consumer(
        broker,
        settings.subset,
        ConstantBackoff(look_ms, floor=None, ceiling=look_ms),
        worker_id=settings.worker_id,
        name=str(settings.child),
        fair=settings.fair,
    )
