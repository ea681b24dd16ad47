"""Alsek: a distributed task queue on Redis and Valkey."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsek.core.async_broker import AsyncBroker
    from alsek.core.broker import Broker
    from alsek.core.concurrency import Lock
    from alsek.core.current import current
    from alsek.core.message import Message
    from alsek.core.status.standard import StatusTracker
    from alsek.core.task import task
    from alsek.exceptions import Reject, Snooze
    from alsek.storage.async_result import AsyncResultStore

    __version__: str

__all__ = [
    "AsyncBroker", "AsyncResultStore", "Broker", "Lock", "Message", "Reject", "Snooze", "StatusTracker", "__version__",
    "current", "task",
]  # fmt: skip

_HOMES = {
    "AsyncBroker": "alsek.core.async_broker",
    "AsyncResultStore": "alsek.storage.async_result",
    "Broker": "alsek.core.broker",
    "Lock": "alsek.core.concurrency",
    "Message": "alsek.core.message",
    "Reject": "alsek.exceptions",
    "Snooze": "alsek.exceptions",
    "StatusTracker": "alsek.core.status.standard",
    "current": "alsek.core.current",
    "task": "alsek.core.task",
}


if not TYPE_CHECKING:  # or every name would pass for one of ours

    def __getattr__(name: str) -> Any:
        # On demand: a child process, a shell completion or `alsek --version` needs little of it.
        if name == "__version__":
            from importlib.metadata import version

            value: Any = version("alsek-core")
        elif name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'alsek' has no attribute '{name}'")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
