"""Time limits, revocations and leases of work that runs."""

from __future__ import annotations

import time

import pytest
from worker_stage import COMMANDS, Stage

from harness.eventually import eventually
from harness.seeds import variation


@pytest.mark.parametrize("task", COMMANDS)
def test_work_past_its_timeout_is_ended_and_fails(stage: Stage, task: str) -> None:
    pool = stage.pool(COMMANDS[task])
    message = stage.submit(task, "await" if task == "in_loop" else "nap", 30, timeout=400)
    started = stage.wait(message, "START")

    record = stage.wait_state(message, "x")

    assert (time.monotonic_ns() - started.t) / 1e9 < 2
    assert record["a"] == "failed"
    assert stage.error(message)[0] == "TimeoutError"
    assert stage.hooks(message) == ["on_failure"]
    assert stage.events(message, "END") == []
    after = stage.submit(task)
    stage.wait_state(after, "S")
    assert pool.terminate() == 0


@pytest.mark.parametrize("task", COMMANDS)
def test_a_timeout_stays_one_when_a_library_makes_an_error_of_its_own_of_it(stage: Stage, task: str) -> None:
    pool = stage.pool(COMMANDS[task])
    message = stage.submit(task, "convert", 30, timeout=300)

    stage.wait_state(message, "x")

    assert stage.error(message) == ("TimeoutError", "not finished within its timeout of 300 ms")
    assert [event.fields["error"] for event in stage.events(message, "NOTE")] == ["TimeoutError"]
    assert pool.terminate() == 0


def test_a_process_that_ignores_its_timeout_is_killed(stage: Stage) -> None:
    pool = stage.pool("process-pool", "--n-processes", "1")
    message = stage.submit("in_process", "hold", 30, timeout=300)
    started = stage.wait(message, "START")
    waiting = stage.submit("in_process")

    stage.wait_state(message, "x")

    assert (time.monotonic_ns() - started.t) / 1e9 < 2
    assert stage.error(message)[0] == "TimeoutError"
    assert stage.hooks(message) == ["on_failure"]
    assert stage.ended(waiting) == [1]
    assert stage.wait(waiting, "START").pid != started.pid
    assert pool.terminate() == 0


@pytest.mark.parametrize("task", ["in_thread", variation("in_loop")])
def test_a_process_whose_task_cannot_be_interrupted_is_ended_from_outside(stage: Stage, task: str) -> None:
    pool = stage.pool(COMMANDS[task])
    message = stage.submit(task, "hold", 60, timeout=300)
    started = stage.wait(message, "START")

    stage.wait_state(message, "x", timeout=20)

    assert stage.error(message)[0] == "TimeoutError"
    after = stage.submit(task)
    assert stage.wait(after, "END").pid != started.pid
    # A child that is ended in the middle of its hooks leaves them to the supervisor: once at least.
    assert set(stage.hooks(message)) == {"on_failure"}
    assert pool.terminate() == 0


@pytest.mark.parametrize("how", ["nap", "hold"])
@pytest.mark.parametrize("task", COMMANDS)
def test_revoked_work_is_ended_by_a_push(stage: Stage, task: str, how: str) -> None:
    if how == "hold" and task != "in_process":
        pytest.skip("only a process can be ended in the middle of a C call")
    pool = stage.pool(COMMANDS[task], "--n-processes", "1")
    message = stage.submit(task, "await" if task == "in_loop" else how, 30)
    stage.wait(message, "START")

    stage.broker.revoke(message)

    revoked = time.monotonic()
    eventually(lambda: stage.hooks(message) == ["on_revocation", "on_failure"], 3, what=lambda: stage.logs())
    assert time.monotonic() - revoked < 2
    assert stage.events(message, "END") == []
    assert stage.record(message)["a"] == "revoked"
    after = stage.submit(task)
    stage.wait_state(after, "S")
    assert len(stage.events(message, "START")) == 1
    assert pool.terminate() == 0


@pytest.mark.parametrize("task", COMMANDS)
def test_leases_are_kept_while_a_task_holds_the_gil(stage: Stage, task: str) -> None:
    stage.pool(COMMANDS[task], "--lease", "1")
    message = stage.submit(task, "hold", 3.0)
    stage.wait(message, "START")
    stage.pool(COMMANDS[task], "--lease", "1")  # would take it over

    assert stage.ended(message) == [1]
    assert len(stage.events(message, "START")) == 1


def test_a_paused_pool_drops_what_another_took_over(stage: Stage) -> None:
    zombie = stage.pool("process-pool", "--n-processes", "1", "--lease", "1")
    message = stage.submit("in_process", "nap", 4.0)
    first = stage.wait(message, "START")
    zombie.pause_tree()
    stage.pool("process-pool", "--n-processes", "1", "--lease", "1")
    second = stage.wait(message, "START", 2, timeout=30)

    zombie.resume_tree()

    zombie.wait_for_line("message.dropped")
    assert stage.ended(message, 15) == [1, 2]
    # Its task may have run to its end in the meantime, to no avail.
    assert second.pid in [event.pid for event in stage.events(message, "END")]
    assert first.pid != second.pid


@pytest.mark.parametrize("task", COMMANDS)
def test_work_goes_on_while_the_server_is_away(stage: Stage, server, task: str) -> None:
    pool = stage.pool(COMMANDS[task])
    message = stage.submit(task, "await" if task == "in_loop" else "nap", 2.0)
    stage.wait(message, "START")

    server.kill()
    stage.wait(message, "END")
    server.start()

    assert stage.ended(message, 15) == [1]
    after = stage.submit(task)
    stage.wait_state(after, "S", 15)
    assert pool.terminate() == 0
