"""From a parsed command line to a running scheduler, and its end on a signal."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from alsek.core.broker import Broker
from alsek.core.discovery import collect_tasks
from alsek.exceptions import MultipleBrokersError
from alsek.logging import get_logger, setup_logging
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.probes import Address, Probes, ProbeServer
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings

if TYPE_CHECKING:
    from alsek.core.task import Task

log = get_logger(__name__)


class Plan(NamedTuple):
    """A command line, understood; see `commands.scheduler`."""

    package: str | None
    leader_lease: float
    metrics_port: str | None
    url: str | None
    namespace: str
    partitions: int
    log_level: str
    log_format: Literal["console", "json"]


def run(plan: Plan) -> None:
    """Run a scheduler until a signal ends it.

    Raises:
        AlsekError: It could not begin.
    """
    setup_logging(plan.log_level.upper(), plan.log_format, root=True)
    settings = Settings(lease_ms=round(plan.leader_lease * 1000))
    tasks = () if plan.package is None else collect_tasks(plan.package)
    broker = _broker_of(tasks) or Broker(RedisBackend(plan.url, namespace=plan.namespace, partitions=plan.partitions))
    scheduler = Scheduler(broker, tasks, plan.package, settings)
    scheduler.store.counts()  # a Redis that is not there, or lets us not in, is told before anything starts
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with ExitStack() as stack:
        if plan.metrics_port is not None:
            server = stack.enter_context(_probes(scheduler, Address.parse(plan.metrics_port)))
            log.info("probes.listening", url=server.url)
        stack.enter_context(scheduler)
        log.info("Scheduler online.", identity=settings.identity)
        stopped.wait()
        log.info("Scheduler stopping.")
    log.info("Scheduler stopped.")


def _broker_of(tasks: tuple[Task, ...]) -> Broker | None:
    if not tasks:
        return None
    first: Any = tasks[0].broker
    for task in tasks:
        if task.broker is not first and not first.redis.same_store(task.broker.redis):
            raise MultipleBrokersError(
                f"tasks {tasks[0].name} and {task.name} have different brokers: a scheduler serves one"
            )
    broker: Broker = first
    return broker


def _probes(scheduler: Scheduler, address: Address) -> ProbeServer:
    from alsek.tools.exposition import Exposition
    from alsek_scheduler.metrics import SchedulerMetrics

    probes = Probes(
        live={"ticker": scheduler.is_live}, ready={"redis": scheduler.is_ready}, started={"redis": scheduler.is_ready}
    )
    return ProbeServer(address, probes, Exposition("scheduler", SchedulerMetrics(scheduler)))
