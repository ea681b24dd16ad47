"""What runs inside a child: threads, one process slot, or an event loop; each fed by an intake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.core.consumer import Consumer

if TYPE_CHECKING:
    from alsek.core.broker import Broker
    from alsek_worker.settings import Settings


def consumer_of(broker: Broker, settings: Settings) -> Consumer:
    """Make the consumer of a child, as its settings want it."""
    return Consumer(broker, settings.subset, worker_id=settings.worker_id, name=str(settings.child), fair=settings.fair)
