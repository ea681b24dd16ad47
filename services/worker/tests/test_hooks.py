"""Hooks that are coroutines, and hooks of ends that no task saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from worker_stage import COMMANDS, TASKS, Stage

from alsek.core.backoff import ConstantBackoff
from harness.eventually import eventually

if TYPE_CHECKING:
    from alsek.core.message import Message


def submit(stage: Stage, task: str, how: str) -> Message:
    backoff = ConstantBackoff(10, floor=0, zero_override=False).settings
    return stage.submit(task, how, kwargs={"how": how}, backoff_settings=backoff)


def test_coroutines_are_hooks_in_every_mechanism(stage: Stage) -> None:
    stage.pool("worker", package="hook_tasks")
    well = {task: submit(stage, task, "well") for task in TASKS}
    badly = {task: submit(stage, task, "fail") for task in TASKS}

    for task in TASKS:
        stage.wait_state(well[task], "S")
        stage.wait_state(badly[task], "x")

        def hooks(message: Message, count: int) -> list[str]:
            eventually(lambda: len(stage.hooks(message)) >= count, what=stage.logs)
            return stage.hooks(message)

        assert hooks(well[task], 3) == ["on_pre_op", "on_post_op", "on_success"]
        once = ["on_pre_op", "on_post_op"]
        assert hooks(badly[task], 6) == [*once, "on_retry", *once, "on_failure"]


def test_a_loop_goes_on_while_what_has_ended_waits_for_redis(stage: Stage, server) -> None:
    stage.pool("async-pool", package="hook_tasks")
    ticking = stage.submit("tick", queue="loops", mechanism="async", kwargs={"seconds": 3})
    eventually(lambda: stage.events(ticking, "NOTE"), what=stage.logs)
    ending = submit(stage, "in_loop", "well")
    stage.wait(ending, "START")

    server.kill()
    before = len(stage.events(ticking, "NOTE"))
    eventually(lambda: len(stage.events(ticking, "NOTE")) >= before + 10, what=stage.logs)
    server.start()

    stage.wait_state(ending, "S", 15)
    stage.wait_state(ticking, "S", 15)


@pytest.mark.parametrize("task", ["in_process"])
def test_poison_tells_its_task(stage: Stage, task: str) -> None:
    stage.pool(COMMANDS[task])
    pill = stage.submit(task, "die")

    stage.wait_state(pill, "x", 20)

    eventually(lambda: stage.hooks(pill) == ["on_failure"], what=stage.logs)
    assert stage.events(pill, "NOTE")[-1].fields["error"] == "CrashLoopError"
