"""Which Redis: an address, a client or a promise of one, turned into a client, and a client into plain settings."""

from __future__ import annotations

import os
import socket
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from alsek.storage.backends.lazy import LazyClient

#: Names the Redis of a program that names none.
URL_ENV_VAR: Final = "ALSEK_REDIS_URL"

DEFAULT_URL: Final = "redis://localhost:6379/0"

_SCHEMES: Final = ("redis", "rediss", "unix")
_FORMS: Final = "redis://[[user]:password@]host[:port][/db], rediss://… (TLS) or unix:///path[?db=n]"

#: A peer that vanished without a word is noticed within 8 s, also by a consumer that only waits: it could sleep for
#: minutes otherwise. No command is spent on it. (What is not defined on a platform is left out.)
_KEEPALIVE: Final = {
    "TCP_KEEPIDLE": 4, "TCP_KEEPALIVE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 8_000,
}  # fmt: skip

#: Settings that redis-py derives by itself, and objects that cannot travel but have a default that serves.
_DERIVED: Final = (
    "retry", "retry_on_error", "himport_registry", "driver_info", "event_dispatcher", "connection_pool",
    "maint_notifications_pool_handler", "maint_notifications_config", "oss_cluster_maint_notifications_handler",
    "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout", "parser_class", "command_packer",
)  # fmt: skip

#: What a dedicated connection must not have: repeats and pushes that the caller does not see.
_NOT_DEDICATED: Final = (
    "event_dispatcher", "maint_notifications_pool_handler", "oss_cluster_maint_notifications_handler",
    "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout",
)  # fmt: skip


def client_of(conn: Any, client_class: Any) -> Any:
    """Turn what a user gave into a client; nothing is connected.

    Args:
        conn: `None` (the environment's address, else the local one), an address, a client, or a `LazyClient`.
        client_class: `redis.Redis` or its asyncio twin.

    Raises:
        ValueError: Anything else, or an address that is none.
    """
    if isinstance(conn, LazyClient):
        conn = conn.get()
    if conn is None:
        conn = os.environ.get(URL_ENV_VAR) or DEFAULT_URL
    if isinstance(conn, str):
        return _client_from_url(conn, client_class)
    if isinstance(conn, client_class):
        return conn
    kind = "redis.asyncio.Redis" if "asyncio" in client_class.__module__ else "redis.Redis"
    raise ValueError(
        f"conn has to be None, an address such as {DEFAULT_URL}, a {kind} client or a LazyClient of one, "
        f"not {type(conn).__module__}.{type(conn).__qualname__}"
    )


def redacted(url: str) -> str:
    """Give an address that may be shown: without its password, and without its options."""
    url = url.partition("?")[0]
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, credentials = head.rpartition("://")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}{colon and ':***'}@{tail}"


def dedicated_settings(pool: Any, socket_timeout: float | None) -> dict[str, Any]:
    """Give the settings of a connection of our own to the same Redis: no repeats, no decoding, RESP 2.

    Args:
        pool: The client's.
        socket_timeout: Seconds; `None` waits for ever.
    """
    settings = {name: value for name, value in pool.connection_kwargs.items() if name not in _NOT_DEDICATED}
    settings.setdefault("socket_connect_timeout", 5.0)
    settings.setdefault("socket_keepalive", True)
    if not isinstance(settings.get("socket_keepalive_options"), dict):
        settings["socket_keepalive_options"] = {
            getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
        }
    if "path" in settings:
        del settings["socket_keepalive"]
        settings.pop("socket_keepalive_options", None)
    return settings | {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "retry_on_timeout": False,
        "socket_timeout": socket_timeout,
        "health_check_interval": 0,
        # RESP 3 would mix pushes with replies.
        "protocol": 2,
        "maint_notifications_config": None,
    }


def describe(client: Any) -> dict[str, Any]:
    """Describe a client's connections so that `rebuild` can make the same; plain data wherever possible."""
    pool = client.connection_pool
    settings: dict[str, Any] = {
        "connection_class": pool.connection_class,
        "tls": "SSL" in pool.connection_class.__name__,
        "connection": {
            name: value
            for name, value in pool.connection_kwargs.items()
            if name not in _DERIVED and value is not None and type(value) is not object  # redis-py's "not given"
        },
    }
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        settings["sentinel"] = {
            "service": pool.service_name,
            "master": pool.is_master,
            "nodes": [
                [node.connection_pool.connection_kwargs.get(part) for part in ("host", "port")]
                for node in manager.sentinels
            ],
            "options": {name: value for name, value in manager.sentinel_kwargs.items() if name not in _DERIVED},
        }
    return settings


def rebuild(settings: dict[str, Any], client_class: Any) -> Any:
    """Make a client from what `describe` gave; nothing is connected."""
    package = import_module(client_class.__module__.removesuffix(".client"))
    options = dict(settings["connection"])
    if isinstance(options.get("socket_keepalive_options"), dict):
        options["socket_keepalive_options"] = {int(k): v for k, v in options["socket_keepalive_options"].items()}
    if "sentinel" in settings:
        from_sentinel = settings["sentinel"]
        module = import_module(f"{package.__name__}.sentinel")
        nodes = [tuple(node) for node in from_sentinel["nodes"]]
        manager = module.Sentinel(nodes, sentinel_kwargs=from_sentinel["options"])
        pool = module.SentinelConnectionPool(
            from_sentinel["service"],
            manager,
            connection_class=settings["connection_class"],
            is_master=from_sentinel["master"],
            **options,
        )
    else:
        pool = package.ConnectionPool(connection_class=settings["connection_class"], **options)
    return client_class(connection_pool=pool)


def place(client: Any) -> tuple[Any, ...]:
    """Say where a client's data lies: equal for clients of the same database of the same server."""
    pool = client.connection_pool
    options = pool.connection_kwargs
    if "path" in options:
        return (options["path"], options.get("db", 0))
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        return (pool.service_name, options.get("db", 0), *describe(client)["sentinel"]["nodes"])
    return (options.get("host", "localhost"), options.get("port", 6379), options.get("db", 0))


def _client_from_url(url: str, client_class: Any) -> Any:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or 0 < parts.port < 65_536
    except ValueError:
        port_is_fine = False
    if not port_is_fine or parts.scheme not in _SCHEMES:
        raise ValueError(f"{redacted(url)!r} is no address of a Redis; it looks like {_FORMS}")
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdigit():
        raise ValueError(f"the database in {redacted(url)!r} is no number; an address looks like {_FORMS}")
    try:
        client = client_class.from_url(url, decode_responses=True)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, redis_errors.RedisError) as error:
        # Without the cause: what redis-py raises may show the password.
        raise ValueError(f"the options of {redacted(url)!r} cannot be used: {_option_in(error)}") from None
    return client


def _option_in(error: Exception) -> str:
    text = str(error)
    return text.rpartition(") ")[2] if "unexpected keyword" in text or "Invalid value for" in text else "see redis-py"
