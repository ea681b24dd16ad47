"""L3: what is too large, or cannot be kept: refused where it enters, or a failure of its task; never stuck."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.backoff import ConstantBackoff
from alsek.core.message import Message
from alsek.defaults import MAX_MESSAGE_BYTES
from alsek.exceptions import PayloadTooLargeError, TaskFailedError
from alsek.storage.result import ResultStore
from faults.arena import MECHANISMS, QUEUES, Arena
from faults.weather import task_of
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from harness.processes import Process

OPTIONS = ["--n-threads", "4", "--n-processes", "1", "--concurrency", "10"]

#: What tasks of `payload_tasks` return, with what their failure is called and says.
UNKEPT = {
    "large": ("PayloadTooLargeError", "more than the 2,000,000 allowed"),
    "wide": ("PayloadTooLargeError", "more than the 2,000,000 allowed"),
    "object": ("SerializationError", "object is not one of"),
    "set": ("SerializationError", "set is not one of"),
    "nan": ("SerializationError", "nan is no JSON number"),
    "surrogate": ("SerializationError", "not valid Unicode"),
    "deep": ("SerializationError", "nested more than"),
    "circle": ("SerializationError", "contains itself"),
    "huge": ("SerializationError", "too large to be read back"),
}


@pytest.fixture
def pool(arena: Arena) -> Process:
    return arena.pool("worker", *OPTIONS, package="payload_tasks")


def make(task: str, what: str, **fields: Any) -> Message:
    kind = task.rpartition("_")[2] if "_" in task else "thread"
    mechanism: Any = MECHANISMS[kind]
    settings = ConstantBackoff(10, floor=0, zero_override=False).settings
    return Message(
        task, queue=QUEUES[kind], mechanism=mechanism, kwargs={"what": what}, backoff_settings=settings, **fields
    )


def fitting(arena: Arena, task: str, over: int = 0) -> Message:
    """A message whose body has exactly the size allowed, or so many bytes more."""
    size = len(arena.broker.pack(make(task, "x" * 900_000))) - 900_000
    return make(task, "x" * (MAX_MESSAGE_BYTES - size + over))


def test_the_largest_message_runs_and_one_byte_more_is_refused(arena: Arena, pool: Process) -> None:
    rounds = chaos_size(10, 1_000)
    tasks = ("in_thread", "in_process", "in_loop")
    for number in range(rounds):
        message = fitting(arena, tasks[number % 3])
        assert len(arena.broker.pack(message)) == MAX_MESSAGE_BYTES
        arena.submit(message)
        if number % 20 == 19:
            arena.drained(60)
    arena.drained(60)
    before = arena.broker.redis.conn.dbsize()

    refused = 0
    for task in tasks:
        refused += _refuse(arena, fitting(arena, task, over=1))

    assert arena.broker.redis.conn.dbsize() == before
    store = ResultStore(arena.broker.backend)
    assert len(store.get(message)) > MAX_MESSAGE_BYTES - 1_000
    verdict = arena.verdict()
    print(f"L3 messages: {verdict} of {MAX_MESSAGE_BYTES:,} bytes, refused={refused}", flush=True)
    assert verdict.submitted == verdict.ended == rounds
    verdict.assert_ok(max_duplicates=0)
    assert pool.terminate() == 0


def test_a_result_that_cannot_be_kept_is_a_failure_of_its_task(arena: Arena, pool: Process) -> None:
    store = ResultStore(arena.broker.backend)
    tasks = ("in_thread", "careful_thread", "in_process", "in_loop")
    wrong = [make(task, what) for task in tasks for what in UNKEPT]
    fine = [make(task, "fine") for task in tasks for _ in range(5)]
    arena.submit(*wrong, *fine)

    arena.drained(60)

    for message in wrong:
        kind, text = UNKEPT[message.kwargs["what"]]
        dead = arena.broker.find(message.uuid)
        assert dead is not None
        assert dead.exception_details is not None
        assert arena.broker.in_dlq(message)
        assert dead.retries == 1
        assert dead.exception_details.name.endswith(kind)
        assert text in (dead.exception_details.text or "")
        with pytest.raises(TaskFailedError, match=kind):
            store.get(message, timeout=1_000)
    for message in fine:
        assert store.get(message) == "fine"
    verdict = arena.verdict()
    print(f"L3 results: {verdict} unkept={len(wrong)}", flush=True)
    assert verdict.submitted == verdict.ended == len(wrong) + len(fine)
    assert verdict.starts == {1: len(fine), 2: len(wrong)}
    assert pool.terminate() == 0


def test_a_result_too_large_for_the_message_that_follows(arena: Arena, pool: Process) -> None:
    following = make("in_thread", "fine")
    message = make("double", "x" * 600_000, callback_message_data=following.data)
    arena.submit(message)

    eventually(lambda: arena.broker.in_dlq(message), what=arena.logs)

    dead = arena.broker.find(message.uuid)
    assert dead is not None
    assert dead.exception_details is not None
    assert dead.exception_details.name.endswith("PayloadTooLargeError")
    assert not arena.broker.exists(following)
    arena.drained()
    arena.verdict()
    assert pool.terminate() == 0


def _refuse(arena: Arena, message: Message) -> int:
    """Every way in says in one line how large it is, and how large it may be."""
    broker, task, kwargs = arena.broker, task_of("thread", arena.broker), {"what": "x" * MAX_MESSAGE_BYTES}
    ways = (
        lambda: broker.submit(message),
        lambda: broker.submit_many([message]),
        lambda: task.generate(kwargs=kwargs),
        lambda: task.generate_many([{"kwargs": kwargs}]),
        lambda: task.generate_many([{"kwargs": kwargs, "priority": 1}]),
        lambda: asyncio.run(task.agenerate(kwargs=kwargs)),
    )
    for way in ways:
        with pytest.raises(PayloadTooLargeError, match="more than the 1,048,576 allowed") as info:
            way()
        assert "\n" not in str(info.value)
        assert len(str(info.value)) < 300
        assert info.value.limit == MAX_MESSAGE_BYTES
        assert (info.value.size or 0) > MAX_MESSAGE_BYTES
    return len(ways)
