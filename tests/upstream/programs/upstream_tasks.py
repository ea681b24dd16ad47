"""Tasks as a program written for upstream has them: only its import paths, and all of its hooks.

Imported by the tests, as a producer would, and by the pools. Whatever happens to a message is told in a Redis list of
its own, so that a test reads it in order, whichever process it happened in.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import redis

from alsek import Broker, Message, StatusTracker, task
from alsek.core.backoff import ConstantBackoff
from alsek.core.status.types import TaskStatus
from alsek.core.task import Task
from alsek.storage.backends.abstract import Backend
from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from alsek.types import Empty

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Where the server of these tests is; read when the first command is sent.
URL_VARIABLE = "ALSEK_UPSTREAM_URL"

backend = RedisBackend(
    LazyClient(lambda: redis.Redis.from_url(os.environ[URL_VARIABLE], decode_responses=True)), namespace="upstream"
)
broker = Broker(backend)
result_store = ResultStore(backend)
status_tracker = StatusTracker(backend)


class OwnBackend(Backend):
    """The least that upstream asks of a backend, here on top of a client of one's own."""

    def exists(self, name: str) -> bool:
        return bool(backend.conn.exists(self.full_name(name)))

    def set(self, name: str, value: Any, nx: bool = False, ttl: int | None = None) -> None:
        if not backend.conn.set(self.full_name(name), self.serializer.forward(value), nx=nx, px=ttl):
            raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        stored = backend.conn.get(self.full_name(name))
        if stored is not None:
            return self.serializer.reverse(stored)
        if default is Empty or isinstance(default, Empty):
            raise KeyError(name)
        return default

    def delete(self, name: str, missing_ok: bool = False) -> None:
        if not backend.conn.delete(self.full_name(name)) and not missing_ok:
            raise KeyError(name)

    def priority_add(self, key: str, unique_id: str, priority: int | float) -> None:
        backend.conn.zadd(self.full_name(key), {unique_id: priority})

    def priority_get(self, key: str) -> str | None:
        return next(iter(backend.conn.zrange(self.full_name(key), 0, 0)), None)

    def priority_remove(self, key: str, unique_id: str) -> None:
        backend.conn.zrem(self.full_name(key), unique_id)

    def scan(self, pattern: str | None = None) -> Iterable[str]:
        for name in backend.conn.scan_iter(self.full_name(pattern or "*")):
            yield self.short_name(name)


own_backend = OwnBackend("upstream-own")
own_store = ResultStore(own_backend)
own_tracker = StatusTracker(own_backend)

#: Retries that need no patience.
AT_ONCE = ConstantBackoff(constant=1, floor=1, ceiling=1)

#: Programs of upstream's branch on this while they are imported.
SEEN_AT_IMPORT = os.environ.get("ALSEK_WORKER_POOL")

#: How long a task of ours waits before it thinks that nobody will come, seconds.
PATIENCE_S = 20.0


def tell(message: Message, what: str, *facts: Any) -> None:
    backend.conn.rpush(f"story:{message.uuid}", json.dumps([what, *facts]))


def story(message: Message) -> list[list[Any]]:
    """What was told of a message: the name of the event and its facts."""
    return [json.loads(line) for line in backend.conn.lrange(f"story:{message.uuid}", 0, -1)]


def let_go(message: Message) -> None:
    """End the wait of a message that waits."""
    backend.conn.set(f"go:{message.uuid}", "1")


class Broken(Exception):
    """What the tasks raise."""


def act(message: Message, how: str = "return", value: Any = None) -> Any:
    tell(message, "ran", threading.current_thread().name)
    if how == "raise" or (how == "raise once" and message.retries == 0):
        raise Broken(value)
    if how == "wait":
        end = time.monotonic() + PATIENCE_S
        while not backend.conn.exists(f"go:{message.uuid}") and time.monotonic() < end:
            time.sleep(0.01)
    return value


class Told(Task):
    """Overrides every hook."""

    def pre_op(self, message: Message) -> None:
        tell(message, "pre_op")
        self._break_at("pre_op", message)

    def post_op(self, message: Message, result: Any) -> None:
        tell(message, "post_op", result, message.exception_details and message.exception_details.name)
        self._break_at("post_op", message)

    def on_success(self, message: Message, result: Any) -> None:
        status = self.status_tracker.get(message).status.name if self.status_tracker else None
        tell(message, "on_success", result, self.broker.exists(message), status)
        self._break_at("on_success", message)

    def on_retry(self, message: Message, exception: BaseException) -> None:
        tell(message, "on_retry", message.retries, repr(exception))
        self._break_at("on_retry", message)

    def on_failure(self, message: Message, exception: BaseException) -> None:
        tell(message, "on_failure", self.broker.in_dlq(message), type(exception).__name__)
        self._break_at("on_failure", message)

    def on_revocation(self, message: Message, exception: BaseException | None, result: Any) -> None:
        tell(message, "on_revocation", exception and type(exception).__name__, result)

    def do_retry(self, message: Message, exception: BaseException) -> bool:
        tell(message, "do_retry")
        self._break_at("do_retry", message)
        metadata = message.metadata or {}
        return bool(metadata.get("try again", super().do_retry(message, exception)))

    def do_callback(self, message: Message, result: Any) -> bool:
        tell(message, "do_callback", result)
        self._break_at("do_callback", message)
        return not (message.metadata or {}).get("no callback")

    def _break_at(self, hook: str, message: Message) -> None:
        if (message.metadata or {}).get("break at") == hook:
            raise Broken(hook)


class Mirror(StatusTracker):
    """The documented override: statuses are told elsewhere, too."""

    def set(self, message: Message, status: TaskStatus, details: Any | None = None) -> None:
        super().set(message, status, details)
        tell(message, "status", status.name, os.environ.get("ALSEK_WORKER_POOL"))


class Named(Task):
    """A base task with a parameter of its own."""

    def __init__(self, *args: Any, prefix: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prefix = prefix

    def op(self, message: Message) -> Any:
        return f"{self.prefix} {super().op(message)}"


class Executing(Task):
    def execute(self, message: Message) -> Any:
        return ["executed", super().execute(message)]


everything = {"result_store": result_store, "status_tracker": status_tracker}
patient = {"max_retries": 1, "backoff": AT_ONCE, **everything}


@task(broker, queue="threads", base_task=Told, **patient)
def in_thread(how: str = "return", value: Any = None, *, message: Message) -> Any:
    return act(message, how, value)


@task(broker, queue="processes", mechanism="process", base_task=Told, **patient)
def in_process(how: str = "return", value: Any = None, *, message: Message) -> Any:
    return act(message, how, value)


@task(broker, queue="threads", **everything)
def add(a: int, b: int) -> int:
    return a + b


@task(broker, queue="threads", **everything)
def add_previous(n: int, message: Message) -> int:
    tell(message, "called back", message.previous_result, message.previous_message_uuid, message.progenitor_uuid)
    return message.previous_result + n


@task(broker, queue="threads", **everything)
def environment_of_thread() -> str | None:
    return SEEN_AT_IMPORT


@task(broker, queue="processes", mechanism="process", **everything)
def environment_of_process() -> str | None:
    return SEEN_AT_IMPORT


@task(broker, queue="threads", **everything)
def describe(message) -> dict[str, Any]:
    return {"uuid": message.uuid, "metadata": message.metadata}


@task(broker, queue="threads", **everything)
def named_message(message: str) -> str:
    return message


@task(broker, queue="threads", max_retries=0, backoff=None, **everything)
def unserializable() -> Any:
    return object()


@task(broker, queue="threads", status_tracker=Mirror(backend), max_retries=1, backoff=AT_ONCE)
def mirrored(how: str = "return", message: Message | None = None) -> None:
    assert message is not None
    act(message, how)


@task(broker, queue="threads", base_task=functools.partial(Named, prefix="Dear"), **everything)
def greet(name: str) -> str:
    return name


@task(broker, queue="threads", base_task=Executing, **everything)
def executed() -> str:
    return "here"


@task(broker, queue="threads", timeout=200, max_retries=0, base_task=Told, **everything)
def hurried_thread(message: Message) -> None:
    act(message, "wait")


@task(broker, queue="processes", mechanism="process", timeout=200, max_retries=0, base_task=Told, **everything)
def hurried_process(message: Message) -> None:
    act(message, "wait")


@task(broker, queue="threads", max_retries=None, backoff=AT_ONCE, **everything)
def stubborn(message: Message) -> int:
    if message.retries < 5:
        raise Broken
    return message.retries


@task(broker, queue="threads", max_retries=-1, backoff=AT_ONCE, **everything)
def resigned() -> None:
    raise Broken


@task(broker, queue="threads", max_retries=1, backoff=ConstantBackoff(constant=400, floor=0, ceiling=1_000))
def paced(message: Message) -> None:
    tell(message, "ran", int(time.time() * 1000))
    raise Broken


@task(broker, queue="threads", **everything)
def describe_kwargs(message: Any = None) -> Any:
    return message


@task(broker, queue="threads", max_retries=1, backoff=ConstantBackoff(60_000), **everything)
def slow_to_retry() -> None:
    raise Broken


@task(broker, queue="threads", **everything)
def progressing(message: Message) -> None:
    status_tracker.set(message, TaskStatus.RUNNING, details={"done": 0.5})
    act(message, "wait")


@task(broker, queue="threads", base_task=Told, **everything)
def deaf(how: str, message: Message) -> str:
    """Swallows the interruption and returns something all the same."""
    tell(message, "ran")
    try:
        act(message, how)
    except BaseException as error:
        tell(message, "heard", type(error).__name__)
    return "late"


@task(broker, queue="solo", result_store=result_store)
def solo_thread() -> int:
    return os.getpid()


@task(broker, queue="solo", result_store=result_store)
def solo_neighbour() -> None: ...


@task(broker, queue="solo_variable", result_store=result_store)
def solo_variable(name: str) -> str | None:
    return os.environ.get(name)


@task(broker, queue="solo_waiting", result_store=result_store)
def solo_waiting(message: Message) -> int:
    act(message, "wait")
    return 7


@task(broker, queue="solo_processes", mechanism="process", result_store=result_store)
def solo_process() -> int:
    return os.getpid()


@task(broker, queue="threads", result_store=own_store, status_tracker=own_tracker)
def kept_elsewhere(value: Any, message: Message) -> Any:
    return [message.previous_result, value]
