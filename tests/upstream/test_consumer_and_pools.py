"""§12: the consumer, and pools as objects in a program of one's own."""

from __future__ import annotations

import inspect
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message, task
from alsek.core.backoff import ConstantBackoff, LinearBackoff
from alsek.core.consumer import Consumer
from alsek.core.worker.process import ProcessWorkerPool
from alsek.core.worker.thread import ThreadWorkerPool
from alsek.exceptions import MultipleBrokersError, NoTasksFoundError, ValidationError
from alsek.utils.system import smart_cpu_count
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from alsek.core.task import Task
    from alsek.storage.backends.redis import RedisBackend

POOLS = [ThreadWorkerPool, ProcessWorkerPool]


def submit(broker: Broker, *names: str, **fields: Any) -> list[Message]:
    """Enqueue messages, each named `queue/task`."""
    messages = [Message(name.split("/")[1], queue=name.split("/")[0], **fields) for name in names]
    for message in messages:
        broker.submit(message)
    return messages


def take(consumer: Consumer, count: int) -> list[str]:
    """The next messages of a stream, each named `queue/task`; then it is stopped."""
    stream = consumer.stream()
    taken = [next(stream) for _ in range(count)]
    consumer.stop_signal.exit_event.set()
    assert next(stream, None) is None
    consumer.close()
    return [f"{message.queue}/{message.task_name}" for message in taken]


# -- the consumer ----------------------------------------------------------------------------------------------------


def test_the_consumer_takes_upstreams_parameters() -> None:
    parameters = inspect.signature(Consumer).parameters

    assert list(parameters)[:3] == ["broker", "subset", "backoff"]
    assert parameters["subset"].default is None
    usual = LinearBackoff(1_000, floor=1_000, ceiling=30_000, zero_override=False)
    assert parameters["backoff"].default.settings == usual.settings


@pytest.mark.parametrize("backoff", [None, ConstantBackoff(10, floor=10, ceiling=10)])
def test_a_stream_ends_when_it_is_told_to(backoff: Any, broker: Broker) -> None:
    consumer = Consumer(broker, backoff=backoff)
    taken: list[Message] = []
    thread = threading.Thread(target=lambda: taken.extend(consumer.stream()))
    thread.start()

    consumer.stop_signal.exit_event.set()
    thread.join(10)

    assert not thread.is_alive()
    assert taken == []
    consumer.close()


def test_a_message_of_a_stream_is_held_by_its_consumer(broker: Broker) -> None:
    submit(broker, "math/add")
    first, second = Consumer(broker, ["math"]), Consumer(broker, ["math"])

    assert [message.task_name for message in first.exchange((), 9).messages] == ["add"]
    assert second.exchange((), 9).messages == []
    first.close()
    second.close()


def test_without_a_subset_everything_is_taken(broker: Broker) -> None:
    submit(broker, "math/add", "mail/send")

    assert sorted(take(Consumer(broker), 2)) == ["mail/send", "math/add"]


def test_earlier_queues_are_drained_first(broker: Broker) -> None:
    submit(broker, "low/a", "high/b", "low/c", "high/d")

    assert take(Consumer(broker, ["high", "low"]), 4) == ["high/b", "high/d", "low/a", "low/c"]


def test_a_queue_is_taken_by_its_whole_name(broker: Broker) -> None:
    submit(broker, "math_ops/add", "math/add")
    consumer = Consumer(broker, ["math"])

    assert [message.queue for message in consumer.exchange((), 9).messages] == ["math"]
    consumer.close()


def test_a_subset_may_name_tasks(broker: Broker) -> None:
    submit(broker, "math/add_two", "math/add", "mail/send")
    consumer = Consumer(broker, {"math": ["add"]})

    assert [message.task_name for message in consumer.exchange((), 9).messages] == ["add"]
    consumer.close()


def test_lower_priorities_come_first_whatever_their_task(broker: Broker) -> None:
    submit(broker, "math/late", priority=5)
    submit(broker, "math/soon", priority=1)

    assert take(Consumer(broker, ["math"]), 2) == ["math/soon", "math/late"]


# -- making a pool ---------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(broker: Broker) -> Task:
    """A thread task."""
    return task(broker, name="plain", queue="q")(len)


@pytest.fixture
def heavy(broker: Broker) -> Task:
    """A process task."""
    return task(broker, name="heavy", queue="q", mechanism="process")(len)


def test_a_thread_pool_has_upstreams_defaults(plain: Task) -> None:
    pool = ThreadWorkerPool(tasks=[plain])

    assert (pool.n_threads, pool.n_processes, pool.n_process_floor) == (8, smart_cpu_count(), 1)
    assert (pool.complete_only_on_thread_exit, pool.slot_wait_interval) == (False, 50)


def test_a_process_pool_has_upstreams_defaults(heavy: Task) -> None:
    pool = ProcessWorkerPool(tasks=(heavy,))

    assert (pool.n_processes, pool.prune_interval, pool.slot_wait_interval) == (smart_cpu_count(), 100, 50)


def test_a_pool_takes_upstreams_parameters(plain: Task, heavy: Task) -> None:
    shared: dict[str, Any] = {
        "queues": ["q"],
        "task_specific_mode": True,
        "slot_wait_interval": 10,
        "backoff": LinearBackoff(1_000),
    }
    threads = {"n_threads": 1, "n_processes": 2, "n_process_floor": 2, "complete_only_on_thread_exit": True}

    assert ThreadWorkerPool(tasks=[plain], package_name="upstream_tasks", **threads, **shared).n_processes == 2
    assert ProcessWorkerPool(tasks=[heavy], n_processes=1, prune_interval=50, **shared).queues == ["q"]


def test_tasks_may_be_given_by_position(plain: Task) -> None:
    assert ThreadWorkerPool([plain]).tasks == [plain]


@pytest.mark.parametrize("kind", POOLS)
def test_a_pool_without_tasks_is_refused(kind: Any) -> None:
    with pytest.raises(NoTasksFoundError):
        kind(tasks=[])


def test_tasks_of_the_other_mechanism_are_left_out(plain: Task, heavy: Task) -> None:
    assert ThreadWorkerPool(tasks=[plain, heavy]).tasks == [plain]
    assert ProcessWorkerPool(tasks=[plain, heavy]).tasks == [heavy]


def test_a_pool_that_would_have_no_task_is_refused(plain: Task) -> None:
    with pytest.raises(NoTasksFoundError):
        ProcessWorkerPool(tasks=[plain])


def test_tasks_of_two_brokers_are_refused(plain: Task, backend: RedisBackend) -> None:
    other = task(Broker(backend), name="other")(len)

    with pytest.raises(MultipleBrokersError):
        ThreadWorkerPool(tasks=[plain, other])


def test_a_queue_named_twice_is_a_value_error(plain: Task) -> None:
    with pytest.raises(ValueError):
        ThreadWorkerPool(tasks=[plain], queues=["q", "q"])


@pytest.mark.parametrize("wrong", [{"n_threads": 0}, {"n_processes": 0}, {"n_processes": 1, "n_process_floor": 2}])
def test_numbers_that_make_no_sense_are_a_value_error(wrong: dict[str, int], plain: Task) -> None:
    with pytest.raises(ValueError):
        ThreadWorkerPool(tasks=[plain], **wrong)


def test_a_pool_watches_the_queues_of_its_tasks_or_those_it_was_given(broker: Broker) -> None:
    tasks = [task(broker, name=queue, queue=queue)(len) for queue in ("b", "a")]

    assert ThreadWorkerPool(tasks=tasks).queues == ["a", "b"]
    assert ThreadWorkerPool(tasks=tasks, queues=["b", "c"]).queues == ["b", "c"]


def test_unlike_upstream_a_task_has_to_be_importable_by_worker_processes(broker: Broker) -> None:
    pool = ThreadWorkerPool(tasks=[task(broker, name="local")(lambda: 1)])

    with pytest.raises(ValidationError, match="top level of a module"):
        pool.run()


def test_hooks_called_by_hand_are_harmless(plain: Task) -> None:
    pool = ThreadWorkerPool(tasks=[plain])

    for hook in (pool.on_boot, pool.on_shutdown, pool.prune):
        hook()


# -- running one in a thread, as upstream's tests do -----------------------------------------------------------------


@contextmanager
def running(pool: Any) -> Iterator[None]:
    """A pool at work in a thread of this process."""
    thread = threading.Thread(target=pool.run)
    thread.start()
    try:
        yield
    finally:
        pool.stop_signal.exit_event.set()
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("kind", "name", "numbers"),
    [
        (ThreadWorkerPool, "solo_thread", {"n_threads": 2, "n_processes": 1}),
        (ProcessWorkerPool, "solo_process", {"n_processes": 1}),
    ],
)
def test_a_pool_in_a_thread_works_until_its_exit_event(
    kind: Any, name: str, numbers: dict[str, int], stage: ModuleType
) -> None:
    seen: list[str] = []

    class Mine(kind):  # type: ignore[misc]
        def on_boot(self) -> None:
            seen.append("boot")

        def on_shutdown(self) -> None:
            seen.append("shutdown")

    job = getattr(stage, name)
    with running(Mine(tasks=[job], **numbers)):
        message = job.generate()
        assert stage.result_store.get(message, timeout=60_000) != os.getpid()
        assert seen == ["boot"]

    assert seen == ["boot", "shutdown"]


def test_a_later_pool_has_the_environment_of_its_own_start(stage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen_by_a_new_pool() -> str | None:
        with running(ThreadWorkerPool(tasks=[stage.solo_variable], n_threads=1, n_processes=1)):
            message = stage.solo_variable.generate(("ALSEK_OF_TODAY",))
            value: str | None = stage.result_store.get(message, timeout=60_000)
            return value

    assert seen_by_a_new_pool() is None
    monkeypatch.setenv("ALSEK_OF_TODAY", "1")

    assert seen_by_a_new_pool() == "1"

    monkeypatch.delenv("ALSEK_OF_TODAY")
    assert seen_by_a_new_pool() is None


def test_a_task_specific_pool_leaves_other_tasks_of_its_queue_alone(stage: ModuleType) -> None:
    pool = ThreadWorkerPool(tasks=[stage.solo_thread], task_specific_mode=True, n_threads=1, n_processes=1)
    other = stage.solo_neighbour.generate()
    with running(pool):
        message = stage.solo_thread.generate()
        stage.result_store.get(message, timeout=60_000)
        eventually(lambda: not stage.broker.exists(message), what="it is acknowledged")

        assert stage.broker.exists(other)
    stage.broker.remove(other)


def test_running_work_is_finished_before_the_pool_ends(stage: ModuleType) -> None:
    pool = ThreadWorkerPool(tasks=[stage.solo_waiting], n_threads=1, n_processes=1)
    with running(pool):
        message = stage.solo_waiting.generate()
        eventually(lambda: stage.story(message), what="it runs")
        pool.stop_signal.exit_event.set()
        stage.let_go(message)

    assert stage.result_store.get(message) == 7


def test_more_messages_than_slots_all_run(worked: ModuleType) -> None:
    messages = [worked.add.generate((n, 0)) for n in range(60)]

    assert [worked.result_store.get(message, timeout=60_000) for message in messages] == list(range(60))
