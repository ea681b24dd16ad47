"""Door to the thread pool, which lives in the package alsek-worker."""

from __future__ import annotations

try:
    from alsek_worker.pool import ThreadWorkerPool
except ModuleNotFoundError as error:
    if error.name != "alsek_worker":
        raise
    from alsek.core.worker._door import missing

    raise missing("ThreadWorkerPool") from error

__all__ = ["ThreadWorkerPool"]
