"""A pool of one thread group whose stalls are noticed soon."""

import os

import pool_tasks

from alsek.core.worker.thread import ThreadWorkerPool
from alsek.logging import setup_logging
from alsek_worker.settings import Settings

if __name__ == "__main__":
    setup_logging("INFO", root=True)
    ThreadWorkerPool(
        [pool_tasks.in_thread],
        n_processes=1,
        package_name="pool_tasks",
        settings=Settings(lease_ms=3_000, stall_ms=7_000, metrics_port=os.environ["ALSEK_METRICS"]),
    ).run()
