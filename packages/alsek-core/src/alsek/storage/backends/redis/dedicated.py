"""Settings of connections that are our own: without the repeats and pushes of a client's connections."""

from __future__ import annotations

import socket
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.retry import Retry

#: A peer that vanished without a word is noticed within 8 s, also by a consumer that only waits: it could sleep for
#: minutes otherwise. No command is spent on it. (What is not defined on a platform is left out.)
_KEEPALIVE: Final = {
    "TCP_KEEPIDLE": 4, "TCP_KEEPALIVE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": 8_000,
}  # fmt: skip

#: What a dedicated connection must not have: repeats and pushes that the caller does not see.
_NOT_DEDICATED: Final = (
    "event_dispatcher", "maint_notifications_pool_handler", "oss_cluster_maint_notifications_handler",
    "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout",
)  # fmt: skip


def dedicated_settings(options: dict[str, Any], socket_timeout: float | None) -> dict[str, Any]:
    """Give the settings of a connection of our own to the same Redis: no repeats, no decoding, RESP 2.

    Args:
        options: Of the client's connections.
        socket_timeout: Seconds; `None` waits for ever.
    """
    settings = {name: value for name, value in options.items() if name not in _NOT_DEDICATED}
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
