"""From an address, a client or a promise of one to a client, and from a client to plain settings and back."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from redis import exceptions as redis_errors
from redis.backoff import NoBackoff

from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis.address import DEFAULT_URL, Target, default_url, read_address, redacted
from alsek.storage.backends.redis.cluster_client import ClusterClient, ClusterSite, cluster_of, is_tls
from alsek.storage.backends.redis.credentials import PasswordFile

#: A Sentinel that does not answer within this is passed over, seconds.
_SENTINEL_S: Final = 1.0

#: Settings that redis-py derives by itself, and objects that cannot travel but have a default that serves.
_DERIVED: Final = (
    "retry", "retry_on_error", "himport_registry", "driver_info", "event_dispatcher", "connection_pool",
    "maint_notifications_pool_handler", "maint_notifications_config", "oss_cluster_maint_notifications_handler",
    "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout", "parser_class", "command_packer",
    "redis_connect_func",
)  # fmt: skip


def client_of(conn: Any, client_class: Any) -> Any:
    """Turn what a user gave into a client, of a cluster into a `ClusterClient`; nothing is connected.

    Args:
        conn: `None` (the environment's address, else the local one), an address, a client, or a `LazyClient`.
        client_class: `redis.Redis` or its asyncio twin.

    Raises:
        ValueError: Anything else, or an address that is none.
    """
    if isinstance(conn, LazyClient) and not isinstance(conn, ClusterClient):
        conn = conn.get()
    if conn is None:
        conn = default_url()
    if isinstance(conn, str):
        return _client_from_url(conn, client_class)
    if isinstance(conn, client_class | ClusterClient) or _is_cluster_client(conn, client_class):
        return conn
    kind = "redis.asyncio.Redis" if "asyncio" in client_class.__module__ else "redis.Redis"
    raise ValueError(
        f"conn has to be None, an address such as {DEFAULT_URL}, a {kind} or RedisCluster client or a LazyClient of "
        f"one, not {type(conn).__module__}.{type(conn).__qualname__}"
    )


def describe(client: Any) -> dict[str, Any]:
    """Describe a client's connections so that `rebuild` can make the same; plain data wherever possible."""
    site = cluster_of(client)
    if site is not None:
        described = _described(site.connection_class, site.options)
        described["cluster"] = [list(node) for node in site.nodes]
        if site.remap is not None:
            described["remap"] = site.remap
        return described
    pool = client.connection_pool
    settings = _described(pool.connection_class, pool.connection_kwargs)
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        settings["sentinel"] = {
            "service": pool.service_name,
            "master": pool.is_master,
            "nodes": [
                [node.connection_pool.connection_kwargs.get(part) for part in ("host", "port")]
                for node in manager.sentinels
            ],
            "options": _plain_options(manager.sentinel_kwargs),
        }
    return settings


def rebuild(settings: dict[str, Any], client_class: Any) -> Any:
    """Make a client from what `describe` gave; nothing is connected."""
    package = import_module(client_class.__module__.removesuffix(".client"))
    options = _with_credentials(dict(settings["connection"]))
    if isinstance(options.get("socket_keepalive_options"), dict):
        options["socket_keepalive_options"] = {int(k): v for k, v in options["socket_keepalive_options"].items()}
    if "cluster" in settings:
        nodes = tuple((host, int(port)) for host, port in settings["cluster"])
        site = ClusterSite(nodes, settings["connection_class"], options, settings.get("remap"))
        return ClusterClient(site, client_class)
    if "sentinel" in settings:
        told = settings["sentinel"]
        nodes = tuple((host, int(port)) for host, port in told["nodes"])
        pool = _sentinel_pool(
            package, nodes, told["service"], told["options"], settings["connection_class"], told["master"], options
        )
    else:
        pool = package.ConnectionPool(connection_class=settings["connection_class"], **options)
    return client_class(connection_pool=pool)


def across(settings: dict[str, Any], client_class: Any) -> dict[str, Any]:
    """Change what `describe` gave of a client so that `rebuild` makes one of the other kind: blocking, or asyncio.

    Args:
        settings: Of the client.
        client_class: What is to be made.
    """
    package = import_module(client_class.__module__.removesuffix(".client"))
    tls = settings["tls"]
    if "sentinel" in settings:
        module = import_module(f"{package.__name__}.sentinel")
        kind = module.SentinelManagedSSLConnection if tls else module.SentinelManagedConnection
    elif "path" in settings["connection"]:
        kind = package.UnixDomainSocketConnection
    else:
        kind = package.SSLConnection if tls else package.Connection
    return settings | {"connection_class": kind}


def place(client: Any) -> tuple[Any, ...]:
    """Say where a client's data lies: equal for clients of the same database of the same server."""
    site = cluster_of(client)
    if site is not None:
        return ("cluster", *sorted(site.nodes))
    pool = client.connection_pool
    options = pool.connection_kwargs
    if "path" in options:
        return (options["path"], options.get("db", 0))
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        # Sorted: redis-py moves the Sentinel that answered to the head of its list.
        return (pool.service_name, options.get("db", 0), *sorted(describe(client)["sentinel"]["nodes"], key=str))
    return (options.get("host", "localhost"), options.get("port", 6379), options.get("db", 0))


def _client_from_url(url: str, client_class: Any) -> Any:
    target = read_address(url)
    package = import_module(client_class.__module__.removesuffix(".client"))
    options = _with_credentials(target.options) | {"decode_responses": True}
    try:
        if target.kind == "cluster":
            kind = package.SSLConnection if target.tls else package.Connection
            site = ClusterSite(target.nodes, kind, options)
            kind(**options)
            return ClusterClient(site, client_class)
        if target.kind == "sentinel":
            pool = _pool_of_sentinels(target, package, options)
            pool.connection_class(**pool.connection_kwargs)
        else:
            pool = _pool_of_one(target, package, options)
            pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, redis_errors.RedisError) as error:
        # Without the cause: what redis-py raises may show the password.
        raise ValueError(f"the options of {redacted(url)!r} cannot be used: {_option_in(error)}") from None
    return client_class.from_pool(pool)


def _pool_of_one(target: Target, package: Any, options: dict[str, Any]) -> Any:
    kind = package.SSLConnection if target.tls else package.Connection
    if "path" in options:
        kind = package.UnixDomainSocketConnection
    return package.ConnectionPool(connection_class=kind, **options)


def _pool_of_sentinels(target: Target, package: Any, options: dict[str, Any]) -> Any:
    module = import_module(f"{package.__name__}.sentinel")
    kind = module.SentinelManagedSSLConnection if target.tls else module.SentinelManagedConnection
    return _sentinel_pool(package, target.nodes, target.name, target.sentinel_options, kind, True, options)


def _sentinel_pool(
    package: Any,
    nodes: tuple[tuple[str, int], ...],
    service: str,
    sentinel_options: dict[str, Any],
    connection_class: Any,
    master: bool,
    options: dict[str, Any],
) -> Any:
    module = import_module(f"{package.__name__}.sentinel")
    # A Sentinel that is silent is not asked again and again: there are others.
    patience = {"socket_timeout": _SENTINEL_S, "socket_connect_timeout": _SENTINEL_S}
    retry = {"retry": import_module(f"{package.__name__}.retry").Retry(NoBackoff(), 0)}
    manager = module.Sentinel(nodes, sentinel_kwargs=patience | _with_credentials(dict(sentinel_options)) | retry)
    return module.SentinelConnectionPool(
        service, manager, connection_class=connection_class, is_master=master, **options
    )


def _with_credentials(options: dict[str, Any]) -> dict[str, Any]:
    path = options.get("password_file")
    if path is None:
        return options
    kept = {name: value for name, value in options.items() if name not in ("password_file", "username")}
    return kept | {"credential_provider": PasswordFile(path, options.get("username"))}


def _described(connection_class: Any, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "connection_class": connection_class,
        "tls": is_tls(connection_class),
        "connection": _plain_options(options),
    }


def _plain_options(options: dict[str, Any]) -> dict[str, Any]:
    plain = {
        name: value
        for name, value in options.items()
        if name not in _DERIVED and value is not None and type(value) is not object  # redis-py's "not given"
    }
    provider = plain.get("credential_provider")
    if isinstance(provider, PasswordFile):
        del plain["credential_provider"]
        plain["password_file"] = provider.path
        if provider.username:
            plain["username"] = provider.username
    return plain


def _is_cluster_client(conn: Any, client_class: Any) -> bool:
    package = client_class.__module__.removesuffix(".client")
    return type(conn).__name__ == "RedisCluster" and type(conn).__module__ == f"{package}.cluster"


def _option_in(error: Exception) -> str:
    text = str(error)
    return text.rpartition(") ")[2] if "unexpected keyword" in text or "Invalid value for" in text else "see redis-py"
