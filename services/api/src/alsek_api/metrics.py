"""What Prometheus learns about the service itself; the labels are routes of ours, never what somebody typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

from alsek.tools.exposition import Exposition
from alsek.tools.families import Described
from alsek.tools.gauges import QueueGauges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from alsek.tools.inspector import Inspector
    from alsek_api.streams import Streams

SECONDS: Final = Described(
    "alsek_http_request_duration_seconds", "histogram", ("method", "route", "status"),
    "How long requests took, event streams included; `status` is a class such as `2xx`.",
)  # fmt: skip
REFUSED: Final = Described(
    "alsek_http_refused_total", "counter", ("status",), "Requests refused for their key (401, 403) or a limit (429)."
)
HELD: Final = Described("alsek_http_streams", "gauge", (), "Event streams and long polls that are held.")

ALL: Final = (SECONDS, REFUSED, HELD)

#: A method that is none of these is `other`, as is a path that is no route.
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

#: From the half millisecond of a cached answer to the minute of a long poll, seconds.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class HttpMetrics:
    """Counts requests.

    Args:
        streams: Those that are held.
    """

    def __init__(self, streams: Streams) -> None:
        self._seconds = Histogram(SECONDS.name, SECONDS.meaning, SECONDS.labels, buckets=_BUCKETS, registry=None)
        self._refused = Counter(REFUSED.name, REFUSED.meaning, REFUSED.labels, registry=None)
        self._streams = Gauge(HELD.name, HELD.meaning, registry=None)
        self._streams.set_function(lambda: streams.total)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        method = method if method in _METHODS else "other"
        self._seconds.labels(method, route, f"{status // 100}xx" if status else "none").observe(seconds)
        if status in (401, 403, 429):
            self._refused.labels(str(status)).inc()

    def collect(self) -> Iterator[Metric]:
        """Give them as they are now."""
        for metric in (self._seconds, self._refused, self._streams):
            yield from metric.collect()


def exposition(http: HttpMetrics, inspector: Inspector) -> Exposition:
    """Give all that the service tells Prometheus: about itself, and about the queues."""
    return Exposition("api", http, QueueGauges(inspector))
