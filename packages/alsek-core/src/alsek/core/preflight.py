"""What an engine must be like before a worker trusts it with messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from alsek.exceptions import BackendConfigurationError

if TYPE_CHECKING:
    from alsek.core.broker import Broker

#: Oldest engines that run scripts with shebang flags, by which worker verbs pass when Redis is full.
OLDEST: Final = {"redis": (7, 0), "valkey": (7, 2)}


def check_engine(broker: Broker) -> None:
    """Refuse an engine that could lose messages: too old, or evicting.

    Raises:
        BackendConfigurationError: With what to change.
        BackendUnavailableError, BackendAuthenticationError: It cannot be asked.
    """
    info = broker.redis.server_info()
    kind = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < OLDEST[kind]:
        wanted = ".".join(map(str, OLDEST[kind]))
        raise BackendConfigurationError(f"{kind} {version} is too old: Alsek needs {kind} {wanted} or newer")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise BackendConfigurationError(
            f"maxmemory-policy is {policy}: Redis would throw messages away when it is full. "
            "Set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf)"
        )
