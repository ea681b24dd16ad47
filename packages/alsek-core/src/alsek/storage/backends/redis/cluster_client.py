"""Where a cluster is, and redis-py's client of it, which is made only when it is needed: it connects at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis.dedicated import dedicated_settings

if TYPE_CHECKING:
    from collections.abc import Callable

#: What of a cluster client's settings is one of its connections'.
_OF_A_NODE: Final = ("username", "password", "credential_provider", "client_name", "encoding", "encoding_errors")


@dataclass(frozen=True, slots=True)
class ClusterSite:
    """Where a cluster is, and how its nodes are spoken to.

    Attributes:
        nodes: Some of them.
        connection_class: Of redis-py, TCP or TLS.
        options: Settings of a connection, without host and port.
        remap: Turns a node's address as the cluster tells it into one that can be reached from here.
    """

    nodes: tuple[tuple[str, int], ...]
    connection_class: Any
    options: dict[str, Any]
    remap: Callable[[tuple[str, int]], tuple[str, int]] | None = None

    def connection(self, node: tuple[str, int], socket_timeout: float | None) -> Any:
        """Make an unconnected, dedicated connection to a node."""
        settings = dedicated_settings(self.options | {"host": node[0], "port": node[1]}, socket_timeout)
        return self.connection_class(**settings)


class ClusterClient(LazyClient):
    """A client of a cluster that is made when a value is first asked for.

    Args:
        site: Where, and how.
        client_class: `redis.Redis` or its asyncio twin: what kind of client.
    """

    def __init__(self, site: ClusterSite, client_class: Any) -> None:
        super().__init__(self._make)
        self.site = site
        self._class = client_class
        self._client: Any = None
        self._lock = threading.Lock()

    def get(self) -> Any:
        """Give the client; made once."""
        with self._lock:
            if self._client is None:
                self._client = self.client_func()
            return self._client

    @property
    def made(self) -> Any:
        """The client, if it has been made."""
        return self._client

    def _make(self) -> Any:
        package = import_module(self._class.__module__.removesuffix(".client"))
        cluster = import_module(f"{package.__name__}.cluster")
        nodes = [cluster.ClusterNode(*node) for node in self.site.nodes]
        options = {name: value for name, value in self.site.options.items() if name != "db"}
        return cluster.RedisCluster(startup_nodes=nodes, ssl=is_tls(self.site.connection_class), **options)


def cluster_of(client: Any) -> ClusterSite | None:
    """Give where the cluster of a client is; `None` when it is a client of one server, or of Sentinels."""
    if isinstance(client, ClusterClient):
        return client.site
    manager = getattr(client, "nodes_manager", None)
    if manager is None:
        return None
    package = import_module(type(client).__module__.removesuffix(".cluster"))
    given = manager.connection_kwargs
    tls = bool(given.get("ssl")) or "SSL" in getattr(given.get("connection_class"), "__name__", "")
    options = {
        name: value
        for name, value in given.items()
        if name in _OF_A_NODE or name.startswith("socket_") or (tls and name.startswith("ssl_"))
    }
    return ClusterSite(
        tuple((node.host, int(node.port)) for node in manager.startup_nodes.values()),
        package.connection.SSLConnection if tls else package.connection.Connection,
        {name: value for name, value in options.items() if value is not None and type(value) is not object},
        manager.address_remap,
    )


def is_tls(connection_class: Any) -> bool:
    """Tell whether a class of redis-py's connections encrypts."""
    return "SSL" in connection_class.__name__
