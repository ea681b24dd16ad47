"""Every mistake is told in one line, before anything is claimed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from worker_stage import Stage, workers

from harness.processes import Process, alsek

if TYPE_CHECKING:
    from harness.server import Server


def refusal(process: Process, code: int = 2) -> str:
    """The one line that the program left."""
    assert process.wait() == code
    assert "Traceback" not in process.log
    lines = [line for line in process.log.splitlines() if not line.startswith("[")]
    assert len(lines) == 1, process.log
    assert lines[0].startswith("alsek: ")
    return lines[0]


@pytest.mark.parametrize(
    ("package", "hint"),
    [
        ("missing_package", "missing_package"),
        ("breaks", "the configuration is missing"),
        ("empty", "empty"),
        ("namesakes", "twin"),
        ("two_brokers", "different brokers"),
    ],
)
def test_a_package_that_cannot_be_worked_on_is_refused(stage: Stage, package: str, hint: str) -> None:
    assert hint in refusal(stage.program(*alsek("worker", package)))


def test_an_evicting_server_is_refused(stage: Stage, server: Server) -> None:
    server.config_set("maxmemory-policy", "allkeys-lru")

    assert "noeviction" in refusal(stage.program(*alsek("worker", "pool_tasks")))


@pytest.mark.parametrize(
    "options",
    [["--queues", "threads, threads"], ["--n-process-floor", "3", "--n-processes", "2"]],
    ids=" ".join,
)
def test_choices_that_make_no_sense_are_refused(stage: Stage, options: list[str]) -> None:
    refusal(stage.program(*alsek("thread-pool", "pool_tasks", *options)))


def test_a_pool_without_a_task_of_its_mechanism_is_refused(stage: Stage) -> None:
    assert "mechanism" in refusal(stage.program(*alsek("async-pool", "embedded")))


def test_children_that_cannot_start_end_the_pool_with_the_reason(stage: Stage) -> None:
    line = refusal(stage.program(*alsek("thread-pool", "breaks_in_children"), ALSEK_TRACEBACK="0"), code=1)

    assert "no room" in line


def test_task_modules_see_that_they_run_in_a_worker_but_not_in_its_supervisor(stage: Stage) -> None:
    # `breaks_in_children` is refused by the children only: the supervisor imported it.
    pool = stage.program(*alsek("thread-pool", "breaks_in_children"))

    pool.wait_for_line("Monitoring 1 queue(s).")


def test_an_environment_that_is_marked_already_is_left_alone(stage: Stage) -> None:
    pool = stage.pool("thread-pool", ALSEK_WORKER_POOL="mine")

    assert "Worker thread env var already set." in pool.log


def test_one_worker_serves_all_mechanisms_even_on_one_queue(stage: Stage) -> None:
    pool = stage.pool("worker", "--n-processes", "1", package="mixed_queue")
    messages = [
        stage.submit(name, queue="mixed", mechanism=mechanism, kwargs={})
        for name, mechanism in [("threaded", "thread"), ("processed", "process"), ("awaited", "async")] * 5
    ]

    for message in messages:
        assert stage.ended(message) == [1]
    assert len(workers(pool)) == 3


def test_an_unknown_multiprocessing_backend_is_refused(stage: Stage) -> None:
    assert "standard" in refusal(stage.program(*alsek("worker", "pool_tasks"), ALSEK_MULTIPROCESSING_BACKEND="dask"))


def test_an_idle_pool_leaves_redis_in_peace(stage: Stage, server: Server) -> None:
    stage.pool("thread-pool")
    warm = stage.submit("in_thread")
    stage.wait_state(warm, "S")
    before = _requests(server)

    time.sleep(6)  # the window in which nothing happens

    assert (_requests(server) - before) / 6 <= 1


def _requests(server: Server) -> int:
    # What clients sent; what scripts call in turn is their own affair.
    stats = server.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "blpop", "ping"))
