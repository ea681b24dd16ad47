"""arq's own start, on uvloop."""

import uvloop
from arq.worker import run_worker
from bench_tasks import WorkerSettings

uvloop.install()
run_worker(WorkerSettings)
