"""What a real worker tells of itself and its tasks, and what is said when nobody listens."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.core.task import task
from alsek.exceptions import UnknownTaskError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.registry import Registry
from alsek.tools.inspector import Inspector
from alsek_worker.announcement import Announcement
from alsek_worker.settings import Settings
from alsek_worker.workload import of_tasks
from harness.eventually import eventually
from harness.processes import alsek

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker_stage import Stage

    from alsek.tools.inspector import WorkerInfo

#: Short, so that beats come soon.
BEATS = ("--lease", "2")


@pytest.fixture
def inspector(stage: Stage) -> Iterator[Inspector]:
    """Looks at the queues of the stage."""
    inspector = Inspector(stage.broker)
    yield inspector
    inspector.close()


def told(stage: Stage, *args: str) -> Any:
    done = subprocess.run(
        alsek(*args, "--json"), env=os.environ | {"ALSEK_REDIS_URL": stage.url}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def shown(stage: Stage, *args: str) -> str:
    environment = os.environ | {"ALSEK_REDIS_URL": stage.url, "NO_COLOR": "1"}
    return subprocess.run(alsek(*args), env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def the_worker(inspector: Inspector) -> WorkerInfo:
    (worker,) = inspector.workers()
    return worker


def test_a_worker_tells_who_it_is_and_what_it_runs_since_when(stage: Stage, inspector: Inspector) -> None:
    pool = stage.pool("thread-pool", *BEATS, "--n-threads", "3", "--n-processes", "1")
    message = stage.submit("in_thread", "sleep", 60)
    stage.wait(message, "START")
    eventually(lambda: the_worker(inspector).running, 15, what="a beat that tells of it")

    worker = the_worker(inspector)

    assert (worker.host, worker.pid, worker.state) == (socket.gethostname(), pool.pid, "running")
    assert (worker.queues, worker.mechanisms) == (("threads",), ("thread",))
    assert (worker.slots, worker.busy, worker.processes) == (3, 1, 1)
    (running,) = worker.running
    assert (running.uuid, running.queue, running.task) == (message.uuid, "threads", "in_thread")
    started = message.created_at
    assert worker.started <= running.since <= worker.last_beat <= inspector.now_ms()
    assert abs(running.since - started) < 15_000
    assert worker.version
    assert worker.python
    (told_worker,) = told(stage, "workers")
    assert (told_worker["id"], told_worker["running"][0]["task"]) == (worker.id, "in_thread")
    assert inspector.message(message.uuid).worker == worker.id
    table = shown(stage, "workers")
    assert worker.id in table
    assert "1/3" in table
    assert inspector.queue("threads").workers == 1


def test_a_worker_that_ends_is_gone_at_once_and_one_that_was_killed_after_a_while(
    stage: Stage, inspector: Inspector
) -> None:
    ended = stage.pool("thread-pool", *BEATS, "--n-processes", "1")
    assert len(inspector.workers()) == 1

    ended.terminate()
    ended.wait()
    assert inspector.workers() == []

    killed = stage.pool("thread-pool", *BEATS, "--n-processes", "1")
    assert len(inspector.workers()) == 1
    killed.kill()
    eventually(lambda: inspector.workers() == [], 15, what="it counts as gone")


def test_what_redis_forgot_is_told_again(stage: Stage, inspector: Inspector) -> None:
    stage.pool("thread-pool", *BEATS, "--n-processes", "1")
    stage.broker.redis.conn.delete(*stage.broker.keys.of_registry())

    eventually(lambda: inspector.workers() and inspector.workers()[0].host, 15, what="told again")

    assert inspector.task("in_thread").workers == 1


def test_tasks_are_described(stage: Stage, inspector: Inspector) -> None:
    stage.pool("thread-pool", *BEATS, "--n-processes", "1")

    task = inspector.task("in_thread")

    assert (task.queue, task.mechanism, task.workers) == ("threads", "thread", 1)
    seconds = task.parameters["properties"]["seconds"]
    assert list(task.parameters["properties"]) == ["how", "seconds"]  # not the message, which the worker fills in
    assert (seconds["type"], seconds["default"]) == ("number", 0)
    assert "in_loop" not in {task.name for task in inspector.tasks()}  # of another pool
    assert told(stage, "tasks", "in_thread")["parameters"] == task.parameters
    assert "in_thread" in shown(stage, "tasks")
    with pytest.raises(UnknownTaskError, match=r"there is no task in_thraed: did you mean in_thread\?"):
        inspector.task("in_thraed")


def test_that_nobody_listens_is_explained(stage: Stage, inspector: Inspector) -> None:
    stage.pool("thread-pool", *BEATS, "--n-processes", "1")
    lost = Message("in_thread", queue="elsewhere")
    stage.broker.submit(lost)
    unknown = Message("nobody_knows", queue="threads", delay=600_000)
    stage.broker.submit(unknown)

    assert inspector.explain(lost.uuid) == (
        "It is ready, with no message ahead of it in queue elsewhere, but no worker listens to it."
    )
    assert "but no worker that listens to it knows the task nobody_knows." in inspector.explain(unknown.uuid)


def test_an_idle_worker_costs_redis_next_to_nothing(stage: Stage) -> None:
    stage.pool("thread-pool", "--n-processes", "1")
    client = stage.broker.redis.conn
    stage.submit("in_thread")
    eventually(lambda: client.zcard("{alsek:0}:l:threads") == 0, 15, what="it is idle again")

    before, since = client.info("commandstats"), client.time()
    eventually(lambda: client.time()[0] - since[0] >= 12, 30, what="one beat at least has passed")
    after = client.info("commandstats")

    # Scripts, and the blocking look; what they do inside, and our own questions, are not the worker's commands.
    mine = ("cmdstat_evalsha", "cmdstat_blpop", "cmdstat_eval")
    sent = sum(after.get(name, {}).get("calls", 0) - before.get(name, {}).get("calls", 0) for name in mine)
    assert 1 <= sent <= 12, {name: (before.get(name), after.get(name)) for name in mine}


def test_what_goes_wrong_while_it_tells_ends_no_heartbeat(redis_url: str) -> None:
    broker = Broker(RedisBackend(redis_url))
    add = task(broker)(int)

    def children() -> list[Any]:
        raise OSError("its ledger is gone")

    settings = Settings(worker_id="w")
    Announcement(of_tasks([add]), (), settings, children, lambda: "running").beat()

    assert Registry(broker.redis).workers(0) == []
