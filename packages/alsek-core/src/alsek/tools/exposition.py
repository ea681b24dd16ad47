"""What Prometheus reads: a few collectors, rendered when they are asked for.

A collector is any object with `collect()`, as prometheus_client has them. Nothing is registered globally, so
several services can live in one process. prometheus_client is imported here only, when metrics are wanted.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Protocol

from alsek.exceptions import MissingExtraError
from alsek.tools.families import Described

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

#: The distributions whose version `alsek_build_info` tells, by the name of the service.
DISTRIBUTIONS: Final = {
    "core": "alsek-core", "worker": "alsek-worker", "scheduler": "alsek-scheduler", "api": "alsek-api",
}  # fmt: skip

BUILD_INFO: Final = Described(
    "alsek_build_info", "gauge", ("service", "version", "core", "python"), "Versions of what runs here; always 1."
)


class Collector(Protocol):
    """Gives the metrics of one thing, as they are now."""

    def collect(self) -> Iterable[Metric]:
        """Give them."""


class Exposition:
    """The metrics of one service, `alsek_build_info` among them.

    Args:
        service: `worker`, `scheduler`, `api` or `core`.
        collectors: Asked at each scrape, from the thread that serves it: they must be quick and thread-safe.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """

    def __init__(self, service: str, *collectors: Collector) -> None:
        try:
            from prometheus_client import CollectorRegistry
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "metrics need the package prometheus_client: pip install 'alsek-core[metrics]'", extra="metrics"
            ) from error
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (BuildInfo(service), *collectors):
            self._registry.register(collector)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Give the text of a scrape and its content type.

        Args:
            accept: The `Accept` header of the request; plain Prometheus text by default.
        """
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class BuildInfo:
    """`alsek_build_info`: always 1; the labels are the fact.

    Args:
        service: Key of `DISTRIBUTIONS`.
    """

    def __init__(self, service: str) -> None:
        self._values = (
            service, _version(DISTRIBUTIONS[service]), _version(DISTRIBUTIONS["core"]), platform.python_version(),
        )  # fmt: skip

    def collect(self) -> Iterable[Metric]:
        """Give the one sample."""
        yield BUILD_INFO.of({self._values: 1})


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
