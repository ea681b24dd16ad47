"""Tasks that end in every way of which a metric tells."""

from __future__ import annotations

import contextlib
import os
import signal

from alsek import Broker, Reject, Snooze, task
from alsek.core.backoff import ConstantBackoff
from alsek.core.triggers import IntervalTrigger
from alsek.storage.backends.redis import RedisBackend

backend = RedisBackend()
broker = Broker(backend)


@task(broker, queue="seen")
def succeed() -> None: ...


@task(broker, queue="seen", max_retries=1, backoff=ConstantBackoff(constant=1, floor=None))
def fail() -> None:
    raise ValueError("no")


@task(broker, queue="seen")
def refuse() -> None:
    raise Reject("no")


@task(broker, queue="seen")
def later() -> None:
    with contextlib.suppress(KeyError):
        backend.set("snoozed", 1, nx=True)
        raise Snooze(0)


@task(broker, queue="seen", mechanism="process", max_retries=5)
def die() -> None:
    with contextlib.suppress(KeyError):
        backend.set("died", 1, nx=True)
        os.kill(os.getpid(), signal.SIGKILL)


@task(broker, queue="seen", trigger=IntervalTrigger(seconds=1))
def tick() -> None: ...
