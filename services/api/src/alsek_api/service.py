"""Everything a running service has in hand: made once, found by every route at `request.app.state.service`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from alsek.core.broker import Broker
from alsek.core.schedules import ScheduleStore
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.inspector import Inspector
from alsek_api.auth.budgets import Budgets
from alsek_api.auth.guard import Failures
from alsek_api.auth.ring import KeyRing
from alsek_api.auth.store import KeyStore
from alsek_api.following import Following
from alsek_api.incoming import Incoming
from alsek_api.lookup import Lookup
from alsek_api.metrics import HttpMetrics, exposition
from alsek_api.registry import Registry
from alsek_api.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek_api.settings import ApiSettings


class Service:
    """One service: settings, the queues, and what is shared by all requests.

    Args:
        settings: See `ApiSettings`.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        # JSON whatever the workers use: what comes over HTTP is never pickled, and no pickle is opened here.
        self.broker = Broker(RedisBackend(settings.url, settings.namespace, partitions=settings.partitions))
        self.inspector = Inspector(self.broker)
        self.schedules = ScheduleStore(self.broker)
        self.registry = Registry(self.inspector)
        self.incoming = Incoming(self.broker, settings, self.registry)
        self.lookup = Lookup(self.broker, self.inspector)
        self.streams = Streams(settings)
        self.metrics = HttpMetrics(self.streams)
        self.exposition = exposition(self.metrics, self.inspector)
        self.following = Following(self)
        self.keys = KeyStore(self.broker.redis)
        self.ring = KeyRing(self.broker, settings)
        self.budgets = Budgets(self.broker)
        self.failures = Failures(settings.max_wrong_keys)
        self.stopping = False

    async def ask(self, question: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a blocking call, such as one of the inspector's, beside the event loop."""
        return await run_in_threadpool(question, *args, **kwargs)

    async def open(self) -> None:
        """Begin, on the running event loop."""

    def stop(self) -> None:
        """End what would go on for long: the service is about to close. Called in the loop's thread."""
        self.stopping = True
        self.broker.redis.async_subscriber.end()

    async def close(self) -> None:
        """Drop what is open."""
        self.broker.redis.async_subscriber.close()
        self.broker.redis.async_link.close()
        self.inspector.close()
        self.broker.redis.close()
