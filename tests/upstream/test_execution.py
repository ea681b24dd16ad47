"""§5.3 and §6: a message in a worker: order of hooks, statuses, results, callbacks, retries, timeouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alsek import Lock
from alsek.core.status.types import TaskStatus
from harness.eventually import eventually

if TYPE_CHECKING:
    from types import ModuleType

    from alsek import Message
    from harness.processes import Process

MECHANISMS = ["in_thread", "in_process"]
ENDS = [TaskStatus.SUCCEEDED, TaskStatus.FAILED]


def end_of(message: Message, stage: ModuleType) -> TaskStatus:
    """Wait for the end of a message."""
    return stage.status_tracker.wait_for(message, ENDS, timeout=60)


def story(message: Message, stage: ModuleType, last: str) -> list[list[Any]]:
    """What was told of a message, up to what was told last; without the function itself."""

    def complete() -> list[list[Any]]:
        lines = stage.story(message)
        return lines if lines and lines[-1][0] == last else []

    return [line for line in eventually(complete, what=lambda: f"{last} in {stage.story(message)}") if line[0] != "ran"]


# -- arguments -------------------------------------------------------------------------------------------------------


def test_a_function_gets_its_arguments_and_returns_its_result(worked: ModuleType) -> None:
    message = worked.add.generate(args=(1,), kwargs={"b": 2})

    assert worked.result_store.get(message, timeout=60_000) == 3


def test_a_parameter_message_without_annotation_gets_the_message(worked: ModuleType) -> None:
    message = worked.describe.generate(metadata={"k": 1})

    assert worked.result_store.get(message, timeout=60_000) == {"uuid": message.uuid, "metadata": {"k": 1}}


def test_a_parameter_message_with_another_annotation_is_an_argument_like_others(worked: ModuleType) -> None:
    message = worked.named_message.generate(args=("hello",))

    assert worked.result_store.get(message, timeout=60_000) == "hello"


def test_a_message_in_the_kwargs_wins(worked: ModuleType) -> None:
    message = worked.describe_kwargs.generate(kwargs={"message": "mine"})

    assert worked.result_store.get(message, timeout=60_000) == "mine"


def test_a_base_task_with_parameters_runs_in_the_worker(worked: ModuleType) -> None:
    message = worked.greet.generate(args=("reader",))

    assert worked.result_store.get(message, timeout=60_000) == "Dear reader"


def test_execute_can_be_overridden(worked: ModuleType) -> None:
    message = worked.executed.generate()

    assert worked.result_store.get(message, timeout=60_000) == ["executed", "here"]


# -- success ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MECHANISMS)
def test_hooks_of_a_success_run_in_order(name: str, worked: ModuleType) -> None:
    message = getattr(worked, name).generate(kwargs={"value": 3})

    assert story(message, worked, "on_success") == [
        ["pre_op"],
        ["post_op", 3, None],
        ["on_success", 3, False, "SUCCEEDED"],
    ]
    assert worked.result_store.get(message) == 3


def test_a_running_message_says_so(worked: ModuleType) -> None:
    message = worked.in_thread.generate(args=("wait",))

    assert worked.status_tracker.wait_for(message, TaskStatus.RUNNING, timeout=60) is TaskStatus.RUNNING
    assert worked.broker.exists(message)
    worked.let_go(message)
    assert end_of(message, worked) is TaskStatus.SUCCEEDED


def test_the_log_tells_of_a_success_in_upstreams_words(worked: ModuleType, pools: list[Process]) -> None:
    message = worked.add.generate(args=(1, 2))
    pools[0].wait_for_line(f"Removed {message.summary}.")

    told = [line.partition("[INFO] ")[2] for line in pools[0].log.splitlines() if message.uuid in line]
    assert told == [
        f"alsek.core.futures: Received {message.summary}...",
        f"alsek.core.futures: Successfully processed {message.summary}.",
        f"alsek.core.broker: Removing {message.summary}...",
        f"alsek.core.broker: Removed {message.summary}.",
    ]


# -- callbacks -------------------------------------------------------------------------------------------------------


def test_a_callback_gets_the_previous_result_and_its_ancestors(worked: ModuleType) -> None:
    child = worked.add_previous.generate((10,), submit=False)
    parent = worked.add.generate((1, 2), callback=child)

    assert end_of(child, worked) is TaskStatus.SUCCEEDED
    assert worked.story(child) == [["called back", 3, parent.uuid, parent.uuid]]


def test_a_chain_knows_its_direct_parent_and_its_root(worked: ModuleType) -> None:
    chain = tuple(worked.add_previous.generate((n,), submit=False) for n in (10, 100))
    root = worked.add.generate((1, 2), callback=chain)

    assert end_of(chain[1], worked) is TaskStatus.SUCCEEDED
    assert worked.story(chain[1]) == [["called back", 13, chain[0].uuid, root.uuid]]


def test_the_nested_example_of_the_tour_runs_in_order(worked: ModuleType) -> None:
    follow = worked.add_previous
    root = worked.add.generate(
        args=(1, 1),
        callback=follow.defer().generate(args=(10,), callback=follow.defer().generate(args=(100,))),
    )

    assert worked.result_store.get(root, timeout=60_000, descendants=True) == [2, 12, 112]


def test_a_result_of_a_descendant_is_found_by_its_progenitor(worked: ModuleType) -> None:
    child = worked.add_previous.generate((10,), submit=False)
    root = worked.add.generate((1, 2), callback=child)
    end_of(child, worked)

    assert not worked.result_store.exists(child)
    assert worked.result_store.get(child.update(progenitor_uuid=root.uuid)) == 13


def test_do_callback_decides(worked: ModuleType) -> None:
    child = worked.add.generate((1, 1), submit=False)
    message = worked.in_thread.generate(kwargs={"value": 3}, callback=child, metadata={"no callback": True})

    assert ["do_callback", 3] in story(message, worked, "on_success")
    assert not worked.status_tracker.exists(child)


def test_a_failed_message_has_no_callback(worked: ModuleType) -> None:
    child = worked.add.generate((1, 1), submit=False)
    message = worked.resigned.generate(callback=child)

    assert end_of(message, worked) is TaskStatus.FAILED
    assert not worked.status_tracker.exists(child)


# -- failure and retries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MECHANISMS)
def test_hooks_of_a_failure_run_in_order(name: str, worked: ModuleType) -> None:
    broken = "upstream_tasks.Broken"
    message = getattr(worked, name).generate(("raise", "no"))

    assert end_of(message, worked) is TaskStatus.FAILED
    assert story(message, worked, "on_failure") == [
        ["pre_op"],
        ["post_op", None, broken],
        ["do_retry"],
        ["on_retry", 0, "Broken('no')"],
        ["pre_op"],
        ["post_op", None, broken],
        ["do_retry"],
        ["on_failure", False, "Broken"],
    ]


def test_a_failed_message_is_a_dead_letter_with_its_exception(worked: ModuleType) -> None:
    message = worked.in_thread.generate(("raise", "no"))
    end_of(message, worked)

    assert worked.broker.in_dlq(message)
    found = worked.broker.sync_from_backend(message)
    assert found.retries == 1
    assert (found.exception_details.name, found.exception_details.text) == ("upstream_tasks.Broken", "no")
    assert "raise Broken(value)" in found.exception_details.traceback
    assert isinstance(found.exception_details.as_exception(), worked.Broken)


def test_a_retry_may_succeed(worked: ModuleType) -> None:
    message = worked.in_thread.generate(("raise once", 5))

    assert worked.result_store.get(message, timeout=60_000) == 5
    assert story(message, worked, "on_success")[-1][2:] == [False, "SUCCEEDED"]


def test_a_message_that_waits_for_its_retry_says_so(worked: ModuleType) -> None:
    message = worked.slow_to_retry.generate()

    assert worked.status_tracker.wait_for(message, TaskStatus.RETRYING, timeout=60) is TaskStatus.RETRYING
    found = worked.broker.sync_from_backend(message)
    assert (found.retries, found.exception_details.name) == (1, "upstream_tasks.Broken")
    worked.broker.remove(message)


def test_a_retry_waits_for_its_backoff_from_the_failure_on(worked: ModuleType) -> None:
    message = worked.paced.generate()

    eventually(lambda: len(worked.story(message)) == 2, what="a retry")
    (_, first), (_, second) = worked.story(message)
    assert 400 <= second - first < 1_500


def test_without_a_limit_a_message_is_retried_until_it_succeeds(worked: ModuleType) -> None:
    message = worked.stubborn.generate()

    assert worked.result_store.get(message, timeout=60_000) == 5


def test_a_negative_limit_means_no_retry(worked: ModuleType) -> None:
    message = worked.resigned.generate()

    assert end_of(message, worked) is TaskStatus.FAILED
    assert worked.broker.sync_from_backend(message).retries == 0


@pytest.mark.parametrize(("wish", "runs"), [(False, 1), (True, 3)])
def test_do_retry_decides(wish: bool, runs: int, worked: ModuleType) -> None:
    message = worked.in_thread.generate(("raise",), metadata={"try again": wish})

    eventually(lambda: sum(line[0] == "ran" for line in worked.story(message)) >= runs, what=f"{runs} runs")
    if wish:
        worked.in_thread.revoke(message)
    assert end_of(message, worked) is TaskStatus.FAILED


@pytest.mark.parametrize("hook", ["pre_op", "post_op", "do_callback"])
def test_a_hook_before_the_end_that_raises_is_a_failure_of_the_task(hook: str, worked: ModuleType) -> None:
    child = worked.add.generate((1, 1), submit=False)
    message = worked.in_thread.generate(callback=child, metadata={"break at": hook})

    assert end_of(message, worked) is TaskStatus.FAILED
    assert worked.broker.sync_from_backend(message).exception_details.text == hook


def test_do_retry_that_raises_ends_the_message(worked: ModuleType) -> None:
    message = worked.in_thread.generate(("raise",), metadata={"break at": "do_retry"})

    assert end_of(message, worked) is TaskStatus.FAILED
    assert worked.broker.in_dlq(message)


@pytest.mark.parametrize(
    ("hook", "how"), [("on_success", "return"), ("on_retry", "raise once"), ("on_failure", "raise")]
)
def test_a_hook_at_the_end_that_raises_is_logged_and_changes_nothing(
    hook: str, how: str, worked: ModuleType, pools: list[Process]
) -> None:
    before = pools[0].log.count(f"Error encountered with `{hook}()`")
    message = worked.in_thread.generate((how,), metadata={"break at": hook})

    assert end_of(message, worked) is (TaskStatus.FAILED if how == "raise" else TaskStatus.SUCCEEDED)
    pools[0].wait_for_line(f"Error encountered with `{hook}()`", count=before + 1)
    assert "[CRITICAL]" in next(line for line in pools[0].log.splitlines() if f"with `{hook}()`" in line)


def test_a_result_that_cannot_be_stored_is_a_failure(worked: ModuleType) -> None:
    message = worked.unserializable.generate()

    assert end_of(message, worked) is TaskStatus.FAILED
    assert worked.broker.in_dlq(message)


def test_the_log_tells_of_a_failure_in_upstreams_words(worked: ModuleType, pools: list[Process]) -> None:
    message = worked.in_thread.generate(("raise",))
    end_of(message, worked)
    pools[0].wait_for_line(f"Retries exhausted for {message.summary}.")

    assert pools[0].log.count(f"Error processing {message.summary}.") == 2
    assert f"Retrying {message.summary} in 1 ms..." in pools[0].log


@pytest.mark.parametrize("name", ["hurried_thread", "hurried_process"])
def test_what_runs_too_long_fails_with_a_timeout_error(name: str, worked: ModuleType) -> None:
    message = getattr(worked, name).generate()

    assert end_of(message, worked) is TaskStatus.FAILED
    assert worked.broker.sync_from_backend(message).exception_details.name == "TimeoutError"
    assert story(message, worked, "on_failure") == [
        ["pre_op"],
        ["post_op", None, "TimeoutError"],
        ["do_retry"],
        ["on_failure", False, "TimeoutError"],
    ]


@pytest.mark.parametrize("how", ["return", "raise"])
def test_a_linked_lock_is_released_when_its_message_ends(how: str, worked: ModuleType) -> None:
    lock = Lock(f"ends by {how}", worked.backend)
    lock.acquire()
    message = worked.in_thread.generate((how,), submit=False).link_lock(lock)
    worked.broker.submit(message)

    eventually(lambda: not lock.held, what="the lock is free")
    eventually(lambda: not worked.broker.exists(message), what="the message has ended")


# -- trackers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "statuses"),
    [
        ("return", ["SUBMITTED", "RUNNING", "SUCCEEDED"]),
        ("raise", ["SUBMITTED", "RUNNING", "RETRYING", "RUNNING", "FAILED"]),
    ],
)
def test_a_tracker_that_overrides_set_is_called_for_each_status(
    how: str, statuses: list[str], worked: ModuleType
) -> None:
    message = worked.mirrored.generate((how,))
    eventually(lambda: worked.story(message)[-1][1:2] == statuses[-1:], what=statuses[-1])

    told = [line[1:] for line in worked.story(message) if line[0] == "status"]
    assert told == [["SUBMITTED", None], *([status, "true"] for status in statuses[1:])]
    assert worked.status_tracker.get(message).status.name == statuses[-1]


def test_a_tracker_that_overrides_set_hears_of_callbacks_and_revocations(worked: ModuleType) -> None:
    child = worked.mirrored.generate(submit=False)
    worked.mirrored.generate(callback=child)
    waiting = worked.mirrored.generate(delay=60_000)
    worked.mirrored.revoke(waiting)

    eventually(lambda: worked.story(child) and worked.story(child)[-1][1] == "SUCCEEDED", what="the callback's end")
    assert [line[1] for line in worked.story(child) if line[0] == "status"] == ["SUBMITTED", "RUNNING", "SUCCEEDED"]
    assert [line[1] for line in worked.story(waiting)] == ["SUBMITTED", "FAILED"]


def test_details_that_a_task_tells_are_heard(worked: ModuleType) -> None:
    message = worked.progressing.generate()

    heard = []
    for update in worked.status_tracker.listen_to_updates(message):
        heard.append((update.status.name, update.details))
        if update.details:
            worked.let_go(message)
    assert heard[-2:] == [("RUNNING", {"done": 0.5}), ("SUCCEEDED", None)]
