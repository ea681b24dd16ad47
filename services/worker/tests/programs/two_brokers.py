"""Two tasks, two brokers."""

from pool_tasks import in_thread  # noqa: F401

from alsek.core.broker import Broker
from alsek.core.task import task
from alsek.storage.backends.redis import RedisBackend


@task(Broker(RedisBackend()))
def foreign() -> None: ...
