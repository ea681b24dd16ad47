"""What dies, and what becomes of the messages it held."""

from __future__ import annotations

import os
import signal
import time

import pytest
from worker_stage import COMMANDS, Stage, workers

from harness.eventually import eventually
from harness.procfs import running, send


@pytest.mark.parametrize("task", COMMANDS)
def test_the_work_of_a_killed_child_runs_again_at_once(stage: Stage, task: str) -> None:
    pool = stage.pool(COMMANDS[task])
    message = stage.submit(task, "sleep", 1.0)
    first = stage.wait(message, "START")

    send(first.pid, signal.SIGKILL)

    killed = time.monotonic_ns()
    again = stage.wait(message, "START", 2)
    assert again.t - killed < 2e9
    assert again.pid != first.pid
    assert stage.ended(message) == [1, 2]
    assert pool.alive


def test_what_only_waited_in_a_killed_child_is_not_charged(stage: Stage) -> None:
    pool = stage.pool("process-pool", "--n-processes", "1")
    # Quick ones teach the child to take messages ahead of need; then one that keeps it busy.
    quick = [stage.submit("in_process") for _ in range(50)]
    for message in quick:
        stage.wait_state(message, "S")
    busy = stage.submit("in_process", "sleep", 1.0)
    ahead = [stage.submit("in_process") for _ in range(5)]
    first = stage.wait(busy, "START")

    send(first.pid, signal.SIGKILL)

    assert [stage.ended(message) for message in ahead] == [[1]] * 5
    assert stage.ended(busy) == [1, 2]
    assert pool.alive


def test_a_message_that_kills_its_process_again_and_again_ends_as_poison(stage: Stage) -> None:
    pool = stage.pool("process-pool", "--n-processes", "2")
    pill = stage.submit("in_process", "die")
    others = [stage.submit("in_process", "sleep", 0.02) for _ in range(50)]

    record = stage.wait_state(pill, "x", timeout=20)

    assert record["a"] == "crash_loop"
    assert "SIGKILL" in stage.error(pill)[1]
    assert len(stage.events(pill, "START")) == 5
    for other in others:
        stage.wait_state(other, "S")
    assert pool.alive


@pytest.mark.parametrize("how", ["sleep", "hold"])
@pytest.mark.parametrize("task", COMMANDS)
def test_no_child_outlives_its_supervisor(stage: Stage, task: str, how: str) -> None:
    pool = stage.pool(COMMANDS[task])
    message = stage.submit(task, how, 60)
    stage.wait(message, "START")
    children = [found.pid for found in workers(pool)]
    assert children

    pool.kill()

    eventually(lambda: not any(map(running, children)), 5.0, what="all children are dead")
    eventually(lambda: not pool.orphans(), 5.0, what="the fork server is gone too")


def test_a_killed_fork_server_is_replaced(stage: Stage) -> None:
    pool = stage.pool("process-pool", "--n-processes", "1")
    message = stage.submit("in_process", "sleep", 1.0)
    child = stage.wait(message, "START").pid
    [found] = [each for each in workers(pool) if each.pid == child]

    os.kill(found.parent, signal.SIGKILL)

    stage.wait(message, "START", 2)
    stage.wait_state(message, "S")
    assert pool.terminate() == 0


def test_a_child_is_replaced_after_its_number_of_tasks(stage: Stage) -> None:
    pool = stage.pool("process-pool", "--n-processes", "1", "--max-tasks-per-child", "3")
    messages = [stage.submit("in_process", "sleep", 0.1) for _ in range(10)]

    for message in messages:
        assert stage.ended(message) == [1]
    pids = [stage.events(message, "START")[0].pid for message in messages]
    assert len(set(pids)) >= 3
    assert pool.terminate() == 0


def test_a_child_that_grew_too_large_is_replaced(stage: Stage) -> None:
    pool = stage.pool("thread-pool", "--max-memory-per-child", "150")
    glutton = stage.submit("in_thread", "hoard", 200)
    first = stage.wait(glutton, "END").pid

    pool.wait_for_line("child.recycled")

    eventually(lambda: not running(first), what="the large child is gone")
    after = stage.submit("in_thread")
    assert stage.wait(after, "END").pid != first
    assert pool.terminate() == 0


def test_groups_are_added_under_load(stage: Stage) -> None:
    pool = stage.pool("thread-pool", "--n-threads", "2", "--n-processes", "3")
    assert len(workers(pool)) == 1
    messages = [stage.submit("in_thread", "sleep", 8.0) for _ in range(6)]

    for message in messages:
        stage.wait(message, "START")
    assert len(workers(pool)) == 3
    for message in messages:
        stage.wait_state(message, "S", 20)
        assert len(stage.events(message, "START")) == 1
