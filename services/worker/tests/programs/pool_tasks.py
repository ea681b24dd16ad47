"""Tasks that do what tests of pools need: wait, cling to life, or die."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from typing import TYPE_CHECKING

import redis

from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.task import Task, task
from alsek.storage.backends.redis import RedisBackend
from harness.journal import Journal

if TYPE_CHECKING:
    from alsek.core.message import Message

broker = Broker(RedisBackend())
journal = Journal.from_env()
hoard: list[bytearray] = []


class Watched(Task):
    """Notes which hooks run."""

    def on_failure(self, message: Message, exception: BaseException) -> None:
        journal.write("NOTE", message.uuid, op="on_failure", error=type(exception).__name__)

    def on_retry(self, message: Message, exception: BaseException) -> None:
        journal.write("NOTE", message.uuid, op="on_retry", error=type(exception).__name__)

    def on_revocation(self, message: Message, exception: BaseException | None, result: object) -> None:
        journal.write("NOTE", message.uuid, op="on_revocation")


def note_start(message: Message) -> None:
    """Write down which delivery this is."""
    assert message.lease is not None
    journal.start(message.uuid, message.lease.token, deliveries=message.lease.deliveries, retries=message.retries)


def nap(seconds: float) -> None:
    """Sleep in small steps, so that an exception raised in this thread comes through."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def behave(message: Message, how: str, seconds: float) -> None:
    """Do what is asked, between a START and an END in the journal."""
    uuid = message.uuid
    note_start(message)
    if how == "sleep":
        time.sleep(seconds)
    elif how == "nap":
        nap(seconds)
    elif how == "hold":  # the GIL, all the time
        # Without the signals that would end the call early; another thread of the process gets them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        ctypes.PyDLL(None).poll(None, 0, int(seconds * 1000))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    elif how == "cling":  # swallows every exception
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                time.sleep(0.01)
            except BaseException:
                journal.write("NOTE", uuid, op="clung")
    elif how == "convert":  # as libraries do around their sockets
        try:
            nap(seconds)
        except TimeoutError as error:
            raise redis.TimeoutError("Timeout reading from socket") from error
    elif how == "fail":
        raise ValueError(uuid)
    elif how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hoard":
        hoard.append(bytearray(os.urandom(1) * int(seconds * 1024 * 1024)))
    journal.end(uuid)


once = {"max_retries": 0, "backoff": ConstantBackoff(10, floor=0, zero_override=False), "base_task": Watched}


@task(broker, queue="threads", **once)
def in_thread(message: Message, how: str = "sleep", seconds: float = 0) -> None:
    behave(message, how, seconds)


@task(broker, queue="processes", mechanism="process", **once)
def in_process(message: Message, how: str = "sleep", seconds: float = 0) -> None:
    behave(message, how, seconds)


@task(broker, queue="loops", mechanism="async", **once)
async def in_loop(message: Message, how: str = "sleep", seconds: float = 0) -> None:
    if how in ("await", "convert"):
        note_start(message)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError as error:
            raise redis.TimeoutError("Timeout reading from socket") if how == "convert" else error from None
        journal.end(message.uuid)
    else:
        behave(message, how, seconds)
