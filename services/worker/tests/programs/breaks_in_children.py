"""Imports well, but not where tasks run."""

import os

from pool_tasks import in_thread  # noqa: F401

if os.environ.get("ALSEK_WORKER_POOL"):
    raise RuntimeError("no room\nin the child")
