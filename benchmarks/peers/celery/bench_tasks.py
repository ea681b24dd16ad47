"""The tasks, for celery."""

import time

from celery import Celery

from peerkit import tally
from peerkit.adapter import options

_options = options()
_MULTIPLIERS = {"threads": 8, "prefork": 64}

app = Celery("bench_tasks", broker=_options.redis_url)
app.conf.update(
    task_ignore_result=not _options.results,
    result_backend=_options.redis_url if _options.results else None,
    worker_prefetch_multiplier=_MULTIPLIERS[_options.variant] if _options.concurrency is None else 1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
if _options.variant == "prefork" and not _options.safe:
    # The process pool is measured at one child and at two: the fast multiplier in both.
    app.conf.worker_prefetch_multiplier = _MULTIPLIERS["prefork"]
if _options.safe:
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={"visibility_timeout": 10},
    )


@app.task
def mark(number):
    tally.started(number)


@app.task
def double(number):
    tally.started(number)
    return 2 * number


@app.task
def nap(number, seconds):
    tally.started(number)
    time.sleep(seconds)
    tally.ended(number)


@app.task
def add(a, b):
    return a + b
