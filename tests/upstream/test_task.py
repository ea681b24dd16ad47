"""§5 in the producer: the decorator, `Task`, `generate`, defer, callbacks, `TriggerTask`."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any

import pytest

from alsek import Broker, Message, StatusTracker, task
from alsek.core.backoff import ExponentialBackoff
from alsek.core.status.asyncio import AsyncStatusTracker
from alsek.core.status.types import TaskStatus
from alsek.core.task import Task, TriggerTask
from alsek.defaults import DEFAULT_MAX_RETRIES, DEFAULT_QUEUE, DEFAULT_TASK_TIMEOUT
from alsek.exceptions import MessageAlreadyExistsError, SchedulingError, ValidationError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.result import ResultStore

#: Upstream's parameters of the decorator with their defaults; the default backoff is compared by its settings.
PARAMETERS = {
    "name": None,
    "queue": None,
    "timeout": DEFAULT_TASK_TIMEOUT,
    "max_retries": DEFAULT_MAX_RETRIES,
    "backoff": ExponentialBackoff().settings,
    "trigger": None,
    "result_store": None,
    "status_tracker": None,
    "mechanism": "thread",
    "no_positional_args": False,
    "base_task": None,
}

GENERATE = {
    "args": None,
    "kwargs": None,
    "priority": 0,
    "metadata": None,
    "result_ttl": None,
    "uuid": None,
    "timeout_override": None,
    "delay": None,
    "previous_result": None,
    "callback": None,
    "queue": None,
    "submit": True,
}


class Trigger:
    """Stands for one of APScheduler's."""

    def get_next_fire_time(self, previous: Any, now: Any) -> Any:
        return now if previous is None else None


def defaults_of(function: Any) -> dict[str, Any]:
    made = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    if "backoff" in made:
        made["backoff"] = made["backoff"].settings
    return made


def anything(*_args: Any, **_kwargs: Any) -> None:
    """Takes whatever comes."""


@pytest.fixture
def add(broker: Broker) -> Task:
    """A task as the README has it."""

    @task(broker, queue="math_ops")
    def add(a: int = 0, b: int = 0) -> int:
        """Add two numbers."""
        return a + b

    return add


@pytest.fixture
def tracked(broker: Broker, backend: RedisBackend) -> Task:
    """A task with everything."""

    @task(broker, result_store=ResultStore(backend), status_tracker=StatusTracker(backend))
    def tracked() -> None: ...

    return tracked


# -- the decorator and the constructor -------------------------------------------------------------------------------


def test_the_decorator_takes_upstreams_parameters_in_upstreams_order() -> None:
    parameters = defaults_of(task)

    assert list(parameters)[: len(PARAMETERS) + 1] == ["broker", *PARAMETERS]
    assert {name: parameters[name] for name in PARAMETERS} == PARAMETERS


def test_the_constructor_takes_upstreams_parameters_in_upstreams_order() -> None:
    shared = [name for name in PARAMETERS if name not in ("trigger", "base_task")]

    assert list(defaults_of(Task))[: len(shared) + 2] == ["function", "broker", *shared]


def test_the_parameters_are_attributes(broker: Broker) -> None:
    made = task(broker, "mine", "math", 1_000, 5, None, no_positional_args=True)(len)

    assert (made.function, made.broker, made.name, made.queue) == (len, broker, "mine", "math")
    assert (made.timeout, made.max_retries, made.mechanism, made.no_positional_args) == (1_000, 5, "thread", True)
    assert (made.result_store, made.status_tracker) == (None, None)


def test_a_task_is_named_like_its_function_and_waits_in_the_default_queue(broker: Broker) -> None:
    made = task(broker)(len)

    assert (type(made), made.name, made.queue) == (Task, "len", DEFAULT_QUEUE)


def test_no_backoff_is_a_zero_backoff(broker: Broker) -> None:
    made = task(broker, backoff=None)(len)

    assert [made.backoff.get(n) for n in (0, 1, 9)] == [0, 0, 0]


def test_an_unknown_mechanism_is_a_value_error(broker: Broker) -> None:
    with pytest.raises(ValueError):
        task(broker, mechanism="fibre")(len)  # type: ignore[arg-type]


def test_an_async_status_tracker_is_a_value_error(broker: Broker) -> None:
    tracker = AsyncStatusTracker(AsyncRedisBackend("redis://localhost:1"))

    with pytest.raises(ValueError):
        task(broker, status_tracker=tracker)(len)  # type: ignore[arg-type]


def test_a_base_task_makes_the_task(broker: Broker) -> None:
    class Mine(Task):
        pass

    assert type(task(broker, base_task=Mine)(len)) is Mine


def test_a_base_task_may_be_a_partial_and_keep_parameters_of_its_own(broker: Broker) -> None:
    class Mine(Task):
        def __init__(self, *args: Any, colour: str, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.colour = colour

    made = task(broker, base_task=functools.partial(Mine, colour="red"))(len)

    assert made.colour == "red"  # type: ignore[attr-defined]


def test_a_task_called_is_its_function(add: Task) -> None:
    assert add(1, b=2) == 3


def test_the_repr_tells_the_name_and_the_queue(add: Task) -> None:
    assert "'add'" in repr(add)
    assert "'math_ops'" in repr(add)


# -- generate --------------------------------------------------------------------------------------------------------


def test_generate_takes_upstreams_parameters_in_upstreams_order() -> None:
    parameters = defaults_of(Task.generate)

    assert list(parameters) == ["self", *GENERATE, "unique_for", "unique_key", "options"]
    assert {name: parameters[name] for name in GENERATE} == GENERATE


def test_a_generated_message_carries_what_was_asked_for(add: Task, broker: Broker) -> None:
    message = add.generate(
        (1,), {"b": 2}, priority=3, metadata={"k": 1}, uuid="mine", timeout_override=9_000, delay=60_000,
        previous_result=[7], queue="other",
    )  # fmt: skip

    found = broker.sync_from_backend(message)
    assert (found.task_name, found.queue, found.args, found.kwargs) == ("add", "other", (1,), {"b": 2})
    assert (found.priority, found.metadata, found.uuid) == (3, {"k": 1}, "mine")
    assert (found.timeout, found.delay, found.previous_result) == (9_000, 60_000, [7])
    assert found.backoff_settings == add.backoff.settings


def test_a_message_has_the_tasks_queue_timeout_and_mechanism(broker: Broker) -> None:
    message = task(broker, queue="math", timeout=7_000, mechanism="process")(len).generate(("text",), submit=False)

    assert (message.queue, message.timeout, message.mechanism) == ("math", 7_000, "process")


def test_a_list_of_args_will_do(add: Task) -> None:
    assert add.generate([1, 2]).args == (1, 2)


def test_the_ttl_goes_to_the_broker(broker: Broker) -> None:
    seen: dict[str, Any] = {}

    class Mine(Broker):
        def submit(self, message: Message, *args: Any, **kwargs: Any) -> None:
            seen.update(kwargs)
            super().submit(message, *args, **kwargs)

    task(Mine(broker.backend))(anything).generate(ttl=5_000)

    assert seen["ttl"] == 5_000


def test_a_result_ttl_needs_a_result_store(add: Task, tracked: Task) -> None:
    with pytest.raises(ValidationError):
        add.generate(result_ttl=1_000)
    assert tracked.generate(result_ttl=1_000).result_ttl == 1_000


def test_positional_arguments_may_be_forbidden(broker: Broker) -> None:
    made = task(broker, no_positional_args=True)(anything)

    with pytest.raises(ValidationError):
        made.generate(args=([],))
    assert made.generate(kwargs={"obj": []}).kwargs == {"obj": []}


@pytest.mark.parametrize("priority", [-1, 1.5, "1"])
def test_a_priority_that_is_none_is_a_value_error(priority: Any, add: Task) -> None:
    with pytest.raises(ValueError):
        add.generate((1, 2), priority=priority)


def test_a_uuid_that_is_alive_is_refused(add: Task) -> None:
    add.generate((1, 2), uuid="mine")

    with pytest.raises(MessageAlreadyExistsError):
        add.generate((1, 2), uuid="mine")


def test_without_submit_the_message_stays_here(tracked: Task, broker: Broker) -> None:
    message = tracked.generate(submit=False)

    assert not broker.exists(message)
    assert not tracked.status_tracker.exists(message)


def test_a_submitted_message_has_a_status(tracked: Task) -> None:
    message = tracked.generate()

    assert tracked.status_tracker.get(message).status is TaskStatus.SUBMITTED


def test_on_submit_runs_in_the_producer_after_the_submit_and_only_then(broker: Broker) -> None:
    seen: list[tuple[str, bool]] = []

    class Mine(Task):
        def on_submit(self, message: Message) -> None:
            seen.append((message.uuid, self.broker.exists(message)))

    made = task(broker, base_task=Mine)(anything)
    made.generate(uuid="1")
    made.generate(uuid="2", submit=False)
    made.defer().generate(uuid="3")

    assert seen == [("1", True)]


def test_a_status_is_updated_where_there_is_a_tracker(tracked: Task, add: Task) -> None:
    message = tracked.generate()
    tracked.update_status(message, TaskStatus.RUNNING)
    add.update_status(message, TaskStatus.FAILED)

    assert tracked.status_tracker.get(message).status is TaskStatus.RUNNING


# -- defer -----------------------------------------------------------------------------------------------------------


def test_a_deferred_message_is_not_submitted_and_the_next_one_is(add: Task, broker: Broker) -> None:
    kept, sent = add.defer().generate((1, 1)), add.generate((2, 2))

    assert (broker.exists(kept), broker.exists(sent)) == (False, True)


def test_deferred_tells_whether_the_next_message_stays(add: Task) -> None:
    assert add.defer() is add
    assert add.deferred
    assert add.cancel_defer() is add
    assert not add.deferred


def test_the_nested_example_of_the_tour_submits_nothing_before_its_outermost_generate(
    add: Task, broker: Broker
) -> None:
    inner: list[Message] = []

    def keep(message: Message) -> Message:
        inner.append(message)
        return message

    outer = add.generate(
        args=(1, 1),
        callback=keep(add.defer().generate(args=(2, 2), callback=keep(add.defer().generate(args=(3, 3))))),
    )

    assert [message.args for message in inner] == [(3, 3), (2, 2)]
    assert [broker.exists(message) for message in inner] == [False, False]
    assert broker.exists(outer)
    assert not add.deferred


def test_defers_are_counted_in_each_thread_by_itself(add: Task, broker: Broker) -> None:
    add.defer().defer()
    elsewhere: list[bool] = []
    thread = threading.Thread(target=lambda: elsewhere.append(broker.exists(add.generate((1, 1)))))
    thread.start()
    thread.join()

    assert elsewhere == [True]
    assert [broker.exists(add.generate((n, n))) for n in range(3)] == [False, False, True]


# -- callbacks -------------------------------------------------------------------------------------------------------


def test_a_callback_travels_in_its_parent(add: Task) -> None:
    child = add.generate((1,), submit=False)
    parent = add.generate((1, 2), callback=child)

    assert parent.callback_message_data == child.data
    assert parent.descendant_uuids == [child.uuid]


@pytest.mark.parametrize("kind", [tuple, list])
def test_several_callbacks_are_folded_into_a_chain(kind: type, add: Task) -> None:
    one, two, three = (add.generate((n,), submit=False) for n in range(3))
    parent = add.generate((1, 2), callback=kind((one, two, three)))

    assert parent.descendant_uuids == [one.uuid, two.uuid, three.uuid]
    assert one.callback_message_data == two.data
    assert two.callback_message_data == three.data


def test_one_of_several_callbacks_may_not_have_its_own(add: Task) -> None:
    nested = add.generate((1,), callback=add.generate((2,), submit=False), submit=False)

    with pytest.raises(AttributeError):
        add.generate((1, 2), callback=(nested, add.generate((3,), submit=False)))


def test_a_fresh_message_has_no_progenitor(add: Task) -> None:
    message = add.generate((1, 2), callback=add.generate((1,), submit=False))

    assert (message.progenitor_uuid, message.previous_message_uuid) == (None, None)


# -- triggers --------------------------------------------------------------------------------------------------------


def test_a_trigger_makes_a_trigger_task(broker: Broker) -> None:
    trigger = Trigger()
    made = task(broker, trigger=trigger)(lambda: None)

    assert type(made) is TriggerTask
    assert made.trigger is trigger


def test_a_function_with_parameters_cannot_be_triggered(broker: Broker) -> None:
    with pytest.raises(SchedulingError):
        TriggerTask(lambda a: a, Trigger(), broker)


def test_a_trigger_needs_a_base_task_that_takes_one(broker: Broker) -> None:
    class Mine(Task):
        pass

    with pytest.raises(ValueError):
        task(broker, trigger=Trigger(), base_task=Mine)


def test_making_a_trigger_task_starts_no_thread(broker: Broker) -> None:
    before = threading.active_count()
    task(broker, trigger=Trigger())(lambda: None)

    assert threading.active_count() == before
