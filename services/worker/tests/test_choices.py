"""Tasks that snooze, reject, choose their retries, and ask who they are; in threads, processes and coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from worker_stage import TASKS, Stage

from alsek.core.backoff import ConstantBackoff
from alsek.core.message import Message
from alsek.storage.result import ResultStore
from harness.eventually import eventually

if TYPE_CHECKING:
    from alsek.core.broker import Broker

MECHANISMS = list(TASKS)


@pytest.fixture
def results(broker: Broker) -> ResultStore:
    """Where the tasks leave what they saw."""
    return ResultStore(broker.backend)


def submit(stage: Stage, task: str, how: str) -> Message:
    queue, mechanism = TASKS[task]
    backoff = ConstantBackoff(10, floor=0, ceiling=10, zero_override=False).settings
    message = Message(
        task, queue=queue, mechanism=mechanism, kwargs={"how": how}, timeout=60_000, backoff_settings=backoff
    )
    stage.broker.submit(message)
    return message


def test_each_choice_of_a_task_is_carried_out(stage: Stage, results: ResultStore) -> None:
    stage.pool("worker", package="choices")
    sent = {(task, how): submit(stage, task, how) for task in MECHANISMS for how in ("plain", "snooze", "retry")}
    lost = {(task, how): submit(stage, task, how) for task in MECHANISMS for how in ("reject", "abort", "surprise")}

    seen: dict[tuple[str, str], dict[str, Any]] = {
        key: results.get(message, timeout=30_000) for key, message in sent.items()
    }

    for (task, how), told in seen.items():
        # A snooze spends neither a retry nor a delivery, but it is a claim of its own.
        expected = {"plain": (1, 1, 1), "snooze": (1, 1, 2), "retry": (2, 2, 2)}[how]
        assert (told["attempt"], told["deliveries"], told["fence"]) == expected, (task, how)
        assert told["uuid"] == sent[task, how].uuid
        assert 30 < told["left"] <= 60
        assert not told["cancelled"]
    for (task, how), message in lost.items():
        record = stage.wait_state(message, "x", 30)
        name, text = stage.error(message)
        reason = "rejected" if how == "reject" else "failed"
        expected_error = {"reject": "Reject", "abort": "ConnectionAbortedError", "surprise": "KeyError"}[how]
        assert (record["a"], name.rpartition(".")[2], record.get("f")) == (reason, expected_error, "1"), (task, how)
        assert how != "reject" or text == "no such customer"


def test_a_task_that_opted_out_of_interruption_sees_that_it_is_cancelled(stage: Stage, results: ResultStore) -> None:
    stage.pool("thread-pool", package="choices")
    message = Message("polite", queue="threads")
    stage.broker.submit(message)
    started, ended = Message("polite", uuid="polite-started"), Message("polite", uuid="polite-ended")
    eventually(lambda: results.exists(started), 30, what="it runs")

    stage.broker.revoke(message)

    assert results.get(ended, timeout=30_000) is True
