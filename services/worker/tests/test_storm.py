"""Children killed again and again under load: nothing is lost, and little is done twice."""

from __future__ import annotations

import random
import signal
import time

import pytest
from worker_stage import COMMANDS, Stage, workers

from harness.eventually import eventually
from harness.journal import read_journal
from harness.procfs import send
from harness.seeds import chaos_size

#: They need a machine of their own, and run in `make chaos`.
pytestmark = pytest.mark.slow

#: Few messages run at a time: all that run in a killed child are charged a delivery, and five of those are fatal.
OPTIONS = {
    "in_thread": ["--n-threads", "2", "--n-processes", "2", "--n-process-floor", "2"],
    "in_process": ["--n-processes", "3"],
    "in_loop": ["--concurrency", "3", "--n-processes", "2"],
}


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", COMMANDS)
def test_killed_children_lose_nothing(stage: Stage, seed: int, task: str) -> None:
    chance = random.Random(seed)
    size, most = chaos_size(200, 5_000), chaos_size(15, 400)
    pool = stage.pool(COMMANDS[task], *OPTIONS[task])
    messages = [stage.submit(task, "await" if task == "in_loop" else "sleep", 0.03) for _ in range(size)]
    kills = 0
    while kills < most and stage.broker.exists(messages[-1]):
        time.sleep(chance.uniform(0.05, 0.2))
        if children := workers(pool):
            send(chance.choice(children).pid, signal.SIGKILL)
            kills += 1

    # Well within a lease (30 s): everything that a dead child held is given back at once.
    eventually(lambda: not any(map(stage.broker.exists, messages)), 15, what=stage.logs, interval=0.2)
    outcomes = [stage.record(message)["s"] for message in messages]
    events = read_journal(stage.journal.directory)
    starts = sum(event.kind == "START" for event in events)
    unfinished = {message.uuid for message in messages} - {event.uuid for event in events if event.kind == "END"}
    print(
        f"{task}: submitted {size}, succeeded {outcomes.count('S')}, poisoned {outcomes.count('x')}, "
        f"lost {len(unfinished)}, kills {kills}, started again {starts - size}, seed {seed}"
    )
    assert outcomes.count("S") == size
    assert not unfinished
    assert starts - size <= kills * 4  # what ran, and what had ended and was not settled yet
    assert pool.terminate() == 0
