"""Tasks of each kind that do what a storm asks: wait, compute, hold on, fail, die."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.task import Task, task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from harness.journal import Journal

if TYPE_CHECKING:
    from alsek.core.message import Message

#: Receipts outlast the longest run: the judge reads them.
broker = Broker(RedisBackend(partitions=int(os.environ.get("STORM_PARTITIONS", "1"))), receipt_ms=86_400_000)
results = ResultStore(broker.backend)
journal = Journal.from_env()
hoard: list[bytearray] = []


class Confirmed(Task):
    """Writes down which attempt was told that its outcome stands."""

    def on_success(self, message: Message, result: Any) -> None:
        assert message.lease is not None
        journal.ok("ack", message.uuid, message.lease.token)


def start(message: Message) -> str:
    lease = message.lease
    assert lease is not None
    journal.start(message.uuid, lease.token, deliveries=lease.deliveries, retries=message.retries)
    return lease.token


def work(message: Message, how: str, seconds: float, times: int) -> str:
    """Do what is asked between a START and an END; gives the token under which it ran.

    Args:
        message: Which.
        how: One of `WAYS`, `DEATHS`, `fail` or `spoil`.
        seconds: For `WAYS`: how long.
        times: `DEATHS` happen in so many deliveries, the others in so many attempts; then it just ends.
    """
    token = start(message)
    assert message.lease is not None
    if how == "fail" and message.retries < times:
        journal.fail(message.uuid, token)
        raise ValueError("as asked")
    if how == "spoil" and message.retries < times:
        journal.fail(message.uuid, token)
        message.add_to_ephemeral_state(lock=threading.Lock())  # cannot be copied
        message.metadata = {"lock": threading.Lock()}  # cannot be stored
        raise ValueError("as asked, and its message is spoilt")
    if how in DEATHS and message.lease.deliveries <= times:
        DEATHS[how]()
    elif how in WAYS and message.retries < times:
        WAYS[how](seconds)
    journal.end(message.uuid, token)
    return token


def nap(seconds: float) -> None:
    """In small steps: an exception raised in the thread comes through."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


def hold(seconds: float) -> None:
    """Keep the GIL and stay deaf, as a long call into C code does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).poll(None, 0, int(seconds * 1000))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cling(seconds: float) -> None:
    """Swallow whatever is raised here."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


def starve() -> None:
    """Run out of memory for good: nothing that comes after gets any either."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (16 << 20), resource.RLIM_INFINITY))
    step = 8 << 20
    while step:
        try:
            hoard.append(bytearray(step))
        except MemoryError:
            step //= 2
    bytearray(1 << 20)


WAYS = {"sleep": time.sleep, "nap": nap, "cpu": compute, "hold": hold, "cling": cling}
DEATHS = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "abort": os.abort,
    "starve": starve,
}
settings: dict[str, Any] = {
    "max_retries": 3,
    "backoff": ConstantBackoff(10, floor=0, zero_override=False),
    "result_store": results,
}


@task(broker, queue="threads", **settings)
def in_thread(message: Message, how: str = "sleep", seconds: float = 0, times: int = 1) -> str:
    return work(message, how, seconds, times)


@task(broker, queue="threads", base_task=Confirmed, **settings)
def sure_thread(message: Message, how: str = "sleep", seconds: float = 0, times: int = 1) -> str:
    return work(message, how, seconds, times)


@task(broker, queue="threads", interrupt=False, **settings)
def calm_thread(message: Message, how: str = "sleep", seconds: float = 0, times: int = 1) -> str:
    return work(message, how, seconds, times)


@task(broker, queue="processes", mechanism="process", **settings)
def in_process(message: Message, how: str = "sleep", seconds: float = 0, times: int = 1) -> str:
    return work(message, how, seconds, times)


@task(broker, queue="processes", mechanism="process", base_task=Confirmed, **settings)
def sure_process(message: Message, how: str = "sleep", seconds: float = 0, times: int = 1) -> str:
    return work(message, how, seconds, times)


@task(broker, queue="loops", mechanism="async", **settings)
async def in_loop(message: Message, how: str = "await", seconds: float = 0, times: int = 1) -> str:
    return await work_in_loop(message, how, seconds, times)


@task(broker, queue="loops", mechanism="async", base_task=Confirmed, **settings)
async def sure_loop(message: Message, how: str = "await", seconds: float = 0, times: int = 1) -> str:
    return await work_in_loop(message, how, seconds, times)


async def work_in_loop(message: Message, how: str, seconds: float, times: int) -> str:
    if how != "await":
        return work(message, how, seconds, times)
    token = start(message)
    if message.retries < times:
        await asyncio.sleep(seconds)
    journal.end(message.uuid, token)
    return token
