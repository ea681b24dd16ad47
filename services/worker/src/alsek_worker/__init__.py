"""Alsek's worker service: pools that claim messages and run their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsek_worker.pool import AsyncWorkerPool, MixedWorkerPool, ProcessWorkerPool, ThreadWorkerPool

__all__ = ["AsyncWorkerPool", "MixedWorkerPool", "ProcessWorkerPool", "ThreadWorkerPool"]


def __getattr__(name: str) -> Any:
    # On demand: the command line imports this package and needs none of it to show its help.
    if name not in __all__:
        raise AttributeError(f"module 'alsek_worker' has no attribute {name!r}")
    from alsek_worker import pool

    return getattr(pool, name)
