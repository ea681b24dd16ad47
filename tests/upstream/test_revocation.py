"""§5.4: a message that is revoked, waiting or running, with a tracker and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Lock, Message, StatusTracker, task
from alsek.core.status.types import TaskStatus
from alsek.exceptions import TaskFailedError
from harness.eventually import eventually

if TYPE_CHECKING:
    from types import ModuleType

    from alsek.core.task import Task
    from alsek.storage.backends.redis import RedisBackend

MECHANISMS = ["in_thread", "in_process"]


def anything(*_args: Any, **_kwargs: Any) -> None:
    """Takes whatever comes."""


@pytest.fixture
def plain(broker: Broker) -> Task:
    """A task without a tracker that nobody runs."""
    return task(broker)(anything)


@pytest.fixture
def tracked(broker: Broker, backend: RedisBackend) -> Task:
    """A task with a tracker that nobody runs."""
    return task(broker, status_tracker=StatusTracker(backend))(anything)


def running(name: str, stage: ModuleType, **options: Any) -> Message:
    """A message that runs until it is let go."""
    message: Message = getattr(stage, name).generate(("wait",), **options)
    eventually(lambda: any(line[0] == "ran" for line in stage.story(message)), what="it runs")
    return message


def test_a_revoked_message_that_waited_is_a_dead_letter(plain: Task, broker: Broker) -> None:
    message = plain.generate()
    assert not plain.is_revoked(message)

    plain.revoke(message)

    assert plain.is_revoked(message)
    assert broker.in_dlq(message)
    assert not broker.exists(message)
    details = broker.sync_from_backend(message).exception_details
    assert details is not None
    assert (details.name, details.text) == ("alsek.exceptions.RevokedError", "Task Revoked")
    assert message.exception_details is not None
    assert message.exception_details.name == "alsek.exceptions.RevokedError"


def test_a_revoked_message_has_failed(tracked: Task) -> None:
    message = tracked.generate()
    tracked.revoke(message)

    assert tracked.status_tracker.get(message).status is TaskStatus.FAILED


def test_revoking_again_is_harmless(tracked: Task) -> None:
    message = tracked.generate()
    tracked.revoke(message)
    tracked.revoke(message)

    assert tracked.is_revoked(message)


def test_a_message_without_a_status_can_be_revoked(tracked: Task, broker: Broker) -> None:
    message = tracked.generate(submit=False)
    broker.submit(message)

    tracked.revoke(message)

    assert broker.in_dlq(message)


@pytest.mark.parametrize("dlq_ttl", [None, 0])
def test_without_dead_letters_a_revocation_is_remembered(dlq_ttl: int | None, tracked: Task, broker: Broker) -> None:
    broker.dlq_ttl = dlq_ttl
    message = tracked.generate()
    tracked.revoke(message)

    assert tracked.is_revoked(message)
    assert tracked.status_tracker.get(message).status is TaskStatus.FAILED


def test_a_linked_lock_is_released_with_a_revoked_message(plain: Task, backend: RedisBackend) -> None:
    lock = Lock("mine", backend)
    lock.acquire()
    message = plain.generate(submit=False).link_lock(lock)
    plain.broker.submit(message)

    plain.revoke(message)

    assert not lock.held


def test_a_linked_lock_is_released_when_a_revoked_message_has_stopped(worked: ModuleType) -> None:
    lock = Lock("revoked", worked.backend)
    lock.acquire()
    message = worked.in_thread.generate(("wait",), submit=False).link_lock(lock)
    worked.broker.submit(message)
    eventually(lambda: any(line[0] == "ran" for line in worked.story(message)), what="it runs")

    worked.in_thread.revoke(message)

    eventually(lambda: not lock.held, what="the lock is free")
    assert worked.story(message)[-1][0] == "on_failure"


def test_a_message_that_ended_stays_as_it_ended(worked: ModuleType) -> None:
    message = worked.add.generate((1, 2))
    worked.status_tracker.wait_for(message, TaskStatus.SUCCEEDED, timeout=60)

    worked.add.revoke(message)

    assert worked.status_tracker.get(message).status is TaskStatus.SUCCEEDED
    assert not worked.add.is_revoked(message)
    assert worked.result_store.get(message) == 3


def test_a_revoked_message_never_runs(worked: ModuleType) -> None:
    message = worked.in_thread.generate(delay=200)
    worked.in_thread.revoke(message)
    marker = worked.add.generate((1, 1), delay=300)

    assert worked.result_store.get(marker, timeout=60_000) == 2
    assert worked.story(message) == []


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_running_message_is_interrupted(name: str, worked: ModuleType) -> None:
    message = running(name, worked)

    getattr(worked, name).revoke(message)

    eventually(lambda: worked.story(message)[-1][0] == "on_failure", what=lambda: f"{worked.story(message)}")
    told = [line for line in worked.story(message) if line[0] not in ("ran", "pre_op")]
    assert told == [["on_revocation", "RevokedError", None], ["on_failure", True, "RevokedError"]]


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_message_revoked_while_it_ran_is_failed_for_good(name: str, worked: ModuleType) -> None:
    message = running(name, worked)

    getattr(worked, name).revoke(message)

    assert worked.status_tracker.get(message).status is TaskStatus.FAILED
    eventually(lambda: worked.story(message)[-1][0] == "on_failure", what="its end")
    assert worked.status_tracker.get(message).status is TaskStatus.FAILED
    found = worked.broker.sync_from_backend(message)
    assert (found.retries, found.exception_details.name) == (0, "alsek.exceptions.RevokedError")
    assert worked.broker.in_dlq(message)
    assert getattr(worked, name).is_revoked(message)


def test_a_revocation_frees_the_slot(worked: ModuleType) -> None:
    messages = [running("in_process", worked) for _ in range(2)]
    for message in messages:
        worked.in_process.revoke(message)

    following = worked.in_process.generate(kwargs={"value": 1})

    assert worked.result_store.get(following, timeout=60_000) == 1


def test_the_result_of_a_revoked_message_is_dropped(worked: ModuleType) -> None:
    message = running("deaf", worked)

    worked.deaf.revoke(message)

    eventually(lambda: worked.story(message)[-1][0] == "on_failure", what=lambda: f"{worked.story(message)}")
    told = [line for line in worked.story(message) if line[0] not in ("ran", "pre_op")]
    assert told == [["heard", "RevokedError"], ["on_revocation", None, "late"], ["on_failure", True, "RevokedError"]]
    assert not worked.result_store.exists(message)
    assert worked.status_tracker.get(message).status is TaskStatus.FAILED


def test_whoever_waits_for_the_result_of_a_revoked_message_is_told(worked: ModuleType) -> None:
    message = worked.in_thread.generate(delay=60_000)
    worked.in_thread.revoke(message)

    with pytest.raises(TaskFailedError):
        worked.result_store.get(message, timeout=60_000)


def test_a_running_message_can_be_spared(worked: ModuleType) -> None:
    message = running("in_thread", worked)

    worked.in_thread.revoke(message, skip_if_running=True)

    assert not worked.in_thread.is_revoked(message)
    worked.let_go(message)
    end = worked.status_tracker.wait_for(message, [TaskStatus.SUCCEEDED, TaskStatus.FAILED], timeout=60)
    assert end is TaskStatus.SUCCEEDED


def test_a_waiting_message_is_not_spared(plain: Task) -> None:
    message = plain.generate()
    plain.revoke(message, skip_if_running=True)

    assert plain.is_revoked(message)


def test_a_callback_of_a_revoked_message_does_not_run(worked: ModuleType) -> None:
    child = worked.add.generate((1, 1), submit=False)
    message = running("in_thread", worked, callback=child)

    worked.in_thread.revoke(message)

    eventually(lambda: worked.story(message)[-1][0] == "on_failure", what="its end")
    assert not worked.status_tracker.exists(child)


def test_a_callback_revoked_before_its_time_never_comes(worked: ModuleType) -> None:
    child = worked.add.generate((1, 1), submit=False)
    message = running("in_thread", worked, callback=child)

    worked.add.revoke(child)
    worked.let_go(message)

    end = worked.status_tracker.wait_for(message, [TaskStatus.SUCCEEDED, TaskStatus.FAILED], timeout=60)
    assert end is TaskStatus.SUCCEEDED
    assert worked.add.is_revoked(child)
    assert not worked.broker.exists(child)
    assert not worked.result_store.exists(child)
