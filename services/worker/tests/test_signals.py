"""How a pool begins and ends: the seed's sentences, draining, releasing, hurrying."""

from __future__ import annotations

import os
import signal
import time

import pytest
from worker_stage import COMMANDS, Stage, workers

from harness.eventually import eventually
from harness.processes import python
from harness.seeds import variation

SENTENCES = {
    "thread-pool": "alsek.core.worker.thread: Starting thread-based worker pool with up to 33 workers "
    "(3 max threads and 11 max processes)...",
    "process-pool": "alsek.core.worker.process: Starting process-based worker pool with up to 2 workers "
    "(2 max processes)...",
}
OPTIONS = {"thread-pool": ["--n_threads", "3", "--n-processes", "11"], "process-pool": ["--n_processes", "2"]}


@pytest.mark.parametrize("command", ["thread-pool", "process-pool"])
def test_a_pool_says_the_sentences_of_the_seed(stage: Stage, command: str) -> None:
    pool = stage.pool(command, *OPTIONS[command])

    assert pool.terminate() == 0
    said = [line.partition("[INFO] ")[2] for line in pool.log.splitlines() if "[INFO] alsek.core.worker" in line]
    assert said == [
        "alsek.core.worker._helpers: Monitoring 1 tasks",
        SENTENCES[command],
        "alsek.core.worker._base: Monitoring 1 queue(s).",
        "alsek.core.worker._base: Worker pool online.",
        "alsek.core.worker._base: Worker pool shutting down...",
    ]


@pytest.mark.parametrize("task", COMMANDS)
def test_work_that_runs_is_finished_before_the_pool_ends(stage: Stage, task: str) -> None:
    pool = stage.pool(COMMANDS[task])
    message = stage.submit(task, "await" if task == "in_loop" else "sleep", 1.0)
    stage.wait(message, "START")

    assert pool.terminate() == 0
    assert len(stage.events(message, "END")) == 1
    assert stage.record(message)["s"] == "S"
    eventually(lambda: not pool.orphans(), 2, what="all processes are gone")


@pytest.mark.parametrize("task", COMMANDS)
def test_nothing_is_claimed_once_the_pool_drains(stage: Stage, task: str) -> None:
    pool = stage.pool(COMMANDS[task], *(["--n-processes", "1"] if task != "in_loop" else []))
    message = stage.submit(task, "await" if task == "in_loop" else "sleep", 1.0)
    stage.wait(message, "START")
    pool.signal(signal.SIGTERM)
    pool.wait_for_line("shutting down")
    time.sleep(0.2)

    late = stage.submit(task)

    assert pool.wait() == 0
    assert stage.events(late) == []
    assert stage.record(late)["s"] == "r"
    assert stage.record(late).get("d", "0") == "0"


@pytest.mark.parametrize(
    ("task", "how"),
    [
        *(("in_thread", how) for how in ("nap", "sleep", "cling", "hold")),
        ("in_process", "hold"),
        ("in_loop", "nap"),
        *(variation("in_process", how) for how in ("nap", "sleep", "cling")),
        *(variation("in_loop", how) for how in ("sleep", "cling", "hold")),
    ],
)
def test_work_that_does_not_finish_is_given_back_unharmed(stage: Stage, task: str, how: str) -> None:
    if task == "in_loop":
        how = {"nap": "await"}.get(how, how)
    pool = stage.pool(COMMANDS[task], "--drain-timeout", "0.2")
    message = stage.submit(task, how, 30)
    stage.wait(message, "START")

    began = time.monotonic()
    assert pool.terminate() == 0

    assert time.monotonic() - began < 6
    record = stage.record(message)
    assert record["s"] == "r"
    assert record.get("n", "0") == "0"
    assert record.get("d", "0") == "0"
    assert stage.hooks(message) == []
    eventually(lambda: not pool.orphans(), 2, what="all processes are gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hurries(stage: Stage, number: signal.Signals) -> None:
    pool = stage.pool("process-pool", "--n-processes", "1")
    message = stage.submit("in_process", "nap", 60)
    stage.wait(message, "START")
    pool.signal(number)
    pool.wait_for_line("shutting down")

    pool.signal(number)

    assert pool.wait(5) == 0
    assert stage.record(message)["s"] == "r"


def test_children_do_not_mind_signals_to_the_whole_group(stage: Stage) -> None:
    pool = stage.pool("thread-pool")
    message = stage.submit("in_thread", "sleep", 1.0)
    stage.wait(message, "START")

    os.killpg(pool.pid, signal.SIGTERM)

    assert pool.wait() == 0
    assert len(stage.events(message, "END")) == 1
    assert stage.record(message)["s"] == "S"


def test_a_pool_runs_in_a_thread_and_ends_by_its_event(stage: Stage) -> None:
    program = stage.program(*python("embedded.py"))

    assert program.wait() == 0
    assert [line for line in program.log.splitlines() if not line.startswith("[")] == ["booted", "shut down", "ended"]
    eventually(lambda: not program.orphans(), 2, what="all processes are gone")


def test_the_server_may_be_away_when_the_pool_ends(stage: Stage, server) -> None:
    pool = stage.pool("thread-pool", "--drain-timeout", "0.2")
    message = stage.submit("in_thread", "nap", 30)
    stage.wait(message, "START")
    server.kill()

    assert pool.terminate(20) == 0
    server.start()
    eventually(lambda: not workers(pool), what="all children are gone")
    assert stage.record(message)["s"] == "l"
