"""`alsek exporter`: the gauges of the queues for Prometheus, where no API service serves them."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from alsek.cli.connection import Namespace, Partitions, Url, inspector
from alsek.defaults import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from types import FrameType


def exporter(
    metrics_port: Annotated[str, typer.Option(metavar="[HOST:]PORT", help="Where to serve. 0 for any free port.")] = (
        "9808"
    ),
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR or CRITICAL.")] = "INFO",
    log_format: Annotated[
        Literal["console", "json"], typer.Option(help="Lines for people, or JSON for machines.")
    ] = "console",
) -> None:
    """Serve the gauges of all queues and workers for Prometheus, until a signal comes.

    One exporter is enough for a namespace, and none is needed beside an API service. Serves /metrics, /livez, /readyz
    and /startupz. Ends with 0 after SIGTERM or Ctrl-C, and with 2 when it cannot listen there or Redis does not answer
    at the start; a Redis that goes away later is a metric.

    \b
    Examples:
      alsek exporter
      alsek exporter --metrics-port 127.0.0.1:9808 --namespace shop
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek.logging import get_logger, setup_logging
    from alsek.tools.exposition import Exposition
    from alsek.tools.gauges import QueueGauges
    from alsek.tools.probes import Address, Probes, ProbeServer

    setup_logging(log_level, log_format)
    log = get_logger("alsek.cli.exporter")
    over = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        over.set()

    looking = inspector(url, namespace, partitions)
    looking.broker.redis.server_info()  # a Redis that is not there, or lets us not in, is told before anything starts
    gauges = QueueGauges(looking)
    up: dict[str, Any] = {"server": lambda: (True, "it answers")}
    probes = Probes(live=up, ready={"redis": gauges.reachable}, started=up)
    with ProbeServer(Address.parse(metrics_port), probes, Exposition("core", gauges)) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        log.info("exporter.listening", url=f"{server.url}/metrics", namespace=namespace)
        over.wait()
    log.info("exporter.stopped")
