"""§10: statuses in a program's hands. The worker's part stands in test_execution.py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from alsek import Broker, Message, StatusTracker
from alsek.core.status.abstract import BaseStatusTracker
from alsek.core.status.asyncio import AsyncStatusTracker
from alsek.core.status.integrity import StatusTrackerIntegrityScanner
from alsek.core.status.types import TERMINAL_TASK_STATUSES, StatusUpdate, TaskStatus
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import ValidationError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from harness.eventually import eventually

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture
def tracker(backend: RedisBackend) -> StatusTracker:
    """A tracker that knows nothing."""
    return StatusTracker(backend)


@pytest.fixture
def message() -> Message:
    """Anybody's message."""
    return Message("add", queue="math", uuid="1")


def test_statuses_have_upstreams_names_and_numbers() -> None:
    numbers = {status.name: status.value for status in TaskStatus}

    names = ["UNKNOWN", "SUBMITTED", "RUNNING", "RETRYING", "FAILED", "SUCCEEDED"]
    assert [numbers[name] for name in names] == [0, 1, 2, 3, 4, 5]
    assert {TaskStatus.FAILED, TaskStatus.SUCCEEDED} <= set(TERMINAL_TASK_STATUSES)


def test_an_update_is_a_tuple_that_becomes_a_dict() -> None:
    status, details = update = StatusUpdate(TaskStatus.RUNNING, [1])

    assert (status, details) == (TaskStatus.RUNNING, [1])
    assert update.as_dict() == {"status": "RUNNING", "details": [1]}
    assert StatusUpdate(TaskStatus.RUNNING, None).details is None


def test_parameters_are_attributes(backend: RedisBackend) -> None:
    tracker = StatusTracker(backend)

    assert isinstance(tracker, BaseStatusTracker)
    assert (tracker.backend, tracker.ttl, tracker.enable_pubsub) == (backend, DEFAULT_TTL, True)


def test_what_was_set_is_got(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, TaskStatus.RUNNING, details={"done": 1})

    assert tracker.exists(message)
    assert tracker.get(message) == StatusUpdate(TaskStatus.RUNNING, {"done": 1})


def test_an_unknown_message_has_no_status(tracker: StatusTracker, message: Message) -> None:
    assert not tracker.exists(message)
    with pytest.raises(KeyError):
        tracker.get(message)


@pytest.mark.parametrize("wanted", [TaskStatus.RUNNING, (TaskStatus.RUNNING,), [TaskStatus.RUNNING]])
def test_a_status_that_is_there_is_not_waited_for(wanted: object, tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, TaskStatus.RUNNING)

    assert tracker.wait_for(message, wanted) is TaskStatus.RUNNING  # type: ignore[arg-type]


def test_a_status_is_waited_for(worked: ModuleType) -> None:
    message = worked.add.generate((1, 2), delay=50)

    assert worked.status_tracker.wait_for(message, TaskStatus.SUCCEEDED, timeout=None) is TaskStatus.SUCCEEDED


def test_waiting_in_vain_is_a_timeout_error_or_the_present_status(tracker: StatusTracker, message: Message) -> None:
    with pytest.raises(TimeoutError):
        tracker.wait_for(message, TaskStatus.SUCCEEDED, timeout=0.02, poll_interval=0.01)

    waited = tracker.wait_for(message, TaskStatus.SUCCEEDED, timeout=0.02, raise_on_timeout=False)
    assert waited is TaskStatus.UNKNOWN
    tracker.set(message, TaskStatus.RUNNING)
    waited = tracker.wait_for(message, TaskStatus.SUCCEEDED, timeout=0.02, raise_on_timeout=False)
    assert waited is TaskStatus.RUNNING


def test_waiting_for_anything_else_is_a_value_error(tracker: StatusTracker, message: Message) -> None:
    with pytest.raises(ValueError):
        tracker.wait_for(message, "SUCCEEDED")  # type: ignore[arg-type]


def test_listening_ends_with_the_message(worked: ModuleType) -> None:
    message = worked.add.generate((1, 2), delay=50)

    heard = [update.status for update in worked.status_tracker.listen_to_updates(message)]

    assert heard[-1] is TaskStatus.SUCCEEDED
    assert heard == [status for status in TaskStatus if status in heard]


def test_listening_after_the_end_does_not_hang(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, TaskStatus.FAILED)

    assert [update.status for update in tracker.listen_to_updates(message)] == [TaskStatus.FAILED]


def test_without_pubsub_listening_is_a_value_error(backend: RedisBackend, message: Message) -> None:
    with pytest.raises(ValueError):
        next(iter(StatusTracker(backend, enable_pubsub=False).listen_to_updates(message)))


def test_an_update_can_be_published_without_being_stored(tracker: StatusTracker, message: Message) -> None:
    tracker.publish_update(message, StatusUpdate(TaskStatus.RUNNING, None))

    assert not tracker.exists(message)


def test_only_a_terminal_status_is_deleted(tracker: StatusTracker, message: Message) -> None:
    tracker.set(message, TaskStatus.RUNNING)

    with pytest.raises(ValidationError):
        tracker.delete(message)
    tracker.delete(message, check=False)
    with pytest.raises(KeyError):
        tracker.delete(message)
    tracker.set(message, TaskStatus.SUCCEEDED)
    tracker.delete(message)
    assert not tracker.exists(message)


def test_names_are_upstreams(tracker: StatusTracker, message: Message) -> None:
    assert tracker.get_storage_name(message) == "status:math:add:1"
    assert tracker.get_pubsub_name(message) == "channel:math:add:1"


def test_a_name_needs_all_its_parts(tracker: StatusTracker, message: Message) -> None:
    message.uuid = ""

    for name in (tracker.get_storage_name, tracker.get_pubsub_name):
        with pytest.raises(ValidationError):
            name(message)


def test_the_last_status_expires(backend: RedisBackend, message: Message) -> None:
    tracker = StatusTracker(backend, ttl=20)
    tracker.set(message, TaskStatus.SUCCEEDED)

    eventually(lambda: not tracker.exists(message), what="it is gone")


def test_coroutines_follow_what_a_worker_does(worked: ModuleType) -> None:
    async def follow(message: Message) -> list[TaskStatus]:
        url = worked.backend.conn.connection_pool.connection_kwargs
        backend = AsyncRedisBackend(f"redis://{url['host']}:{url['port']}", namespace="upstream")
        tracker = AsyncStatusTracker(backend)
        heard = [update.status async for update in tracker.listen_to_updates(message)]
        assert await tracker.wait_for(message, TaskStatus.SUCCEEDED, timeout=60) is TaskStatus.SUCCEEDED
        assert await tracker.exists(message)
        assert (await tracker.get(message)).status is TaskStatus.SUCCEEDED
        await tracker.delete(message)
        await backend.close()
        return heard

    heard = asyncio.run(follow(worked.add.generate((1, 2), delay=50)))

    assert heard[-1] is TaskStatus.SUCCEEDED
    assert heard == [status for status in TaskStatus if status in heard]


def test_each_tracker_refuses_the_others_backend(backend: RedisBackend) -> None:
    with pytest.raises(AssertionError):
        AsyncStatusTracker(backend)  # type: ignore[arg-type]


def test_the_scanner_gives_up_a_status_whose_message_is_gone(
    tracker: StatusTracker, broker: Broker, message: Message
) -> None:
    tracker.set(message, TaskStatus.RUNNING)
    waiting = Message("add", queue="math")
    broker.submit(waiting)
    tracker.set(waiting, TaskStatus.SUBMITTED)

    StatusTrackerIntegrityScanner(tracker, broker, trigger=None).scan()

    assert tracker.get(message).status is TaskStatus.UNKNOWN
    assert tracker.get(waiting).status is TaskStatus.SUBMITTED


def test_the_scanner_refuses_an_async_tracker(broker: Broker) -> None:
    tracker = AsyncStatusTracker(AsyncRedisBackend("redis://localhost:1"))

    with pytest.raises(ValueError):
        StatusTrackerIntegrityScanner(tracker, broker)  # type: ignore[arg-type]
