"""Which Redis: an address, a client or a promise of one, turned into a client and its settings."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import urlsplit

from alsek.storage.backends.lazy import LazyClient

#: Names the Redis of a program that names none.
URL_ENV_VAR: Final = "ALSEK_REDIS_URL"

DEFAULT_URL: Final = "redis://localhost:6379/0"

_SCHEMES: Final = ("redis", "rediss", "unix")

#: Settings of a connection that are plain data, and enough to make the same connection elsewhere.
_PLAIN: Final = (
    "host", "port", "db", "username", "password", "path", "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile",
    "ssl_keyfile", "ssl_ca_path", "ssl_check_hostname", "client_name", "socket_timeout", "socket_connect_timeout",
)  # fmt: skip


def check_url(url: str) -> str:
    """Give an address back, if it is one.

    Raises:
        ValueError: It is none; the text names the accepted forms and no password.
    """
    forms = "redis://[user:password@]host:port/db, rediss://… or unix:///path"
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or 0 < parts.port < 65536
    except ValueError as error:
        raise ValueError(f"this is no address of a Redis ({error}); it looks like {forms}") from None
    if parts.scheme not in _SCHEMES or not port_is_fine:
        raise ValueError(f"this is no address of a Redis: {redacted(url)!r}; it looks like {forms}")
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdigit():
        raise ValueError(f"the database in {redacted(url)!r} is no number; an address looks like {forms}")
    return url


def redacted(url: str) -> str:
    """Give an address that may be shown: without its password."""
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, credentials = head.partition("://")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}{colon and ':***'}@{tail}"


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
        return client_class.from_url(check_url(conn), decode_responses=True)
    if isinstance(conn, client_class):
        return conn
    raise ValueError(
        f"conn has to be None, an address, a {client_class.__module__}.{client_class.__name__} or a LazyClient, "
        f"not {type(conn).__name__}"
    )


def plain_settings(client: Any) -> dict[str, Any]:
    """Give the settings of a client's connections that are plain data."""
    settings = client.connection_pool.connection_kwargs
    return {name: settings[name] for name in _PLAIN if settings.get(name) is not None}
