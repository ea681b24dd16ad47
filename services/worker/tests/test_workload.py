"""What a pool claims, and what it refuses to work on."""

from __future__ import annotations

import pytest

from alsek.core.broker import Broker
from alsek.core.task import Task, task
from alsek.exceptions import MultipleBrokersError, NoTasksFoundError, TaskNameCollisionError, ValidationError
from alsek.storage.backends.redis import RedisBackend
from alsek_worker.pool import AsyncWorkerPool, MixedWorkerPool, ProcessWorkerPool, ThreadWorkerPool
from alsek_worker.settings import Settings
from alsek_worker.workload import of_tasks, source_of, subset

BROKER = Broker(RedisBackend("redis://127.0.0.1:1/0"))


@task(BROKER, queue="b")
def thread_b() -> None: ...


@task(BROKER, queue="a")
def thread_a() -> None: ...


@task(BROKER, queue="a", mechanism="process")
def process_a() -> None: ...


TASKS: dict[str, Task] = {each.name: each for each in (thread_b, thread_a, process_a)}
THREADS = {name: each for name, each in TASKS.items() if each.mechanism == "thread"}


def test_queues_are_those_of_the_tasks_by_name_and_a_shared_one_is_narrowed() -> None:
    wanted = subset(TASKS, THREADS, None, task_specific=False)

    assert list(wanted.items()) == [("a", ("thread_a",)), ("b", ())]


def test_chosen_queues_keep_their_order_and_may_have_no_task() -> None:
    wanted = subset(TASKS, THREADS, ["other", "b"], task_specific=False)

    assert list(wanted.items()) == [("other", ()), ("b", ())]


def test_a_queue_of_another_mechanism_alone_is_left_to_it() -> None:
    processes = {name: each for name, each in TASKS.items() if each.mechanism == "process"}

    wanted = subset(TASKS, processes, ["b", "a"], task_specific=False)

    assert list(wanted.items()) == [("a", ("process_a",))]
    pool = MixedWorkerPool(tasks=list(TASKS.values()), queues=["b"])
    assert [crew.kind for crew in pool.crews] == ["thread"]
    with pytest.raises(NoTasksFoundError):
        ProcessWorkerPool(tasks=[process_a, thread_b], queues=["b"])


def test_a_task_specific_pool_takes_only_its_tasks() -> None:
    wanted = subset(TASKS, THREADS, ["b", "a", "other"], task_specific=True)

    assert list(wanted.items()) == [("b", ("thread_b",)), ("a", ("thread_a",))]


def test_a_task_specific_pool_without_tasks_is_refused() -> None:
    with pytest.raises(NoTasksFoundError):
        subset(TASKS, THREADS, ["other"], task_specific=True)


def test_a_queue_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        ThreadWorkerPool(tasks=[thread_a], queues=["a", "b", "a"])


def test_upstreams_errors_are_kept() -> None:
    stranger = task(Broker(RedisBackend("redis://127.0.0.1:1/0")), name="stranger")(lambda: None)
    twin = task(BROKER, name="thread_a")(lambda: None)

    with pytest.raises(NoTasksFoundError):
        ThreadWorkerPool(tasks=[])
    with pytest.raises(NoTasksFoundError, match="mechanism"):
        ProcessWorkerPool(tasks=[thread_a])
    with pytest.raises(MultipleBrokersError):
        ThreadWorkerPool(tasks=[thread_a, stranger])
    with pytest.raises(TaskNameCollisionError, match="thread_a"):
        of_tasks([thread_a, twin])


@pytest.mark.parametrize("numbers", [{"n_threads": 0}, {"n_processes": -1}, {"n_process_floor": 3, "n_processes": 2}])
def test_impossible_numbers_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="process"):
        ThreadWorkerPool([thread_a], **numbers)


def test_upstreams_parameters_are_accepted_and_hooks_are_harmless() -> None:
    thread = ThreadWorkerPool(
        tasks=(thread_a, process_a), queues=["a"], task_specific_mode=True, slot_wait_interval=50, backoff=None,
        n_threads=8, n_processes=2, n_process_floor=1, complete_only_on_thread_exit=True, package_name="my_tasks",
    )  # fmt: skip
    process = ProcessWorkerPool([process_a], n_processes=2, prune_interval=100)

    for pool in (thread, process):
        pool.on_boot()
        pool.prune()
        pool.on_shutdown()
        assert not pool.stop_signal.received
    assert [each.name for each in thread.tasks] == ["thread_a"]
    assert thread.settings.complete_only_on_thread_exit


def test_tasks_that_nobody_can_import_by_name_are_refused_with_the_reason() -> None:
    hidden = task(BROKER, name="hidden")(lambda: None)

    with pytest.raises(ValidationError, match="hidden"):
        source_of({"hidden": hidden})


def test_a_mixed_pool_has_a_crew_for_each_mechanism() -> None:
    pool = MixedWorkerPool([thread_a, thread_b, process_a], n_processes=2)

    assert {crew.kind: crew.tasks for crew in pool.crews} == {
        "thread": ("thread_a", "thread_b"),
        "process": ("process_a",),
    }
    assert pool.queues == ["a", "b"]


def test_each_boot_has_an_id_of_its_own() -> None:
    one, two = (ThreadWorkerPool([thread_a]) for _ in range(2))

    assert one.settings.worker_id != two.settings.worker_id
    assert len(one.settings.worker_id) == 16


@pytest.mark.parametrize(
    "choice", [{"lease_ms": 999}, {"drain_timeout_ms": -1}, {"max_tasks_per_child": 0}, {"max_memory_per_child": 0}]
)
def test_settings_that_make_no_sense_are_refused(choice: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Settings(**choice)


def test_an_async_pool_takes_only_coroutines() -> None:
    @task(BROKER, mechanism="async")
    async def awaited() -> None: ...

    assert AsyncWorkerPool([awaited, thread_a], concurrency=7).crews[0].concurrency == 7
