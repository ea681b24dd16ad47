"""Tasks say how far they have come: listeners hear it, the Inspector shows it, and nobody is flooded."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from worker_stage import TASKS, Stage

from alsek.core.bulk import report_many
from alsek.core.message import Message
from alsek.core.progress import Progress, check_progress, open_progress, pack_progress
from alsek.core.status.standard import StatusTracker
from alsek.core.status.types import StatusUpdate, TaskStatus
from alsek.exceptions import TaskFailedError, ValidationError
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.verbs import Interest
from alsek.storage.result import ResultStore
from alsek.tools.inspector import Inspector
from harness.eventually import eventually
from harness.processes import alsek

if TYPE_CHECKING:
    from pathlib import Path

    from alsek.core.broker import Broker


@pytest.fixture
def results(broker: Broker) -> ResultStore:
    """Where the tasks leave what they return."""
    return ResultStore(broker.backend)


def submit(stage: Stage, task: str, **kwargs: Any) -> Message:
    queue, mechanism = TASKS.get(task, ("loops", "async") if task.endswith("loop") else ("threads", "thread"))
    message = Message(task, queue=queue, mechanism=mechanism, kwargs=kwargs, timeout=60_000)
    tracked = 60_000 if task in TASKS else None
    stage.broker.submit(message, kept_status_ms=tracked)
    return message


def test_listeners_hear_how_far_a_run_has_come_but_not_every_word(stage: Stage, results: ResultStore) -> None:
    tracker = StatusTracker(stage.broker.backend)
    sent = {task: submit(stage, task, how="succeed") for task in (*TASKS, "mirrored")}
    lost = {task: submit(stage, task, how="fail") for task in TASKS}
    wrong = submit(stage, "in_thread", how="wrong")
    updates = {task: tracker.listen_to_updates(message) for task, message in sent.items()}
    tracker.set(sent["mirrored"], TaskStatus.SUBMITTED)  # as its own `generate` would
    heard = {task: [next(updates[task])] for task in sent}
    started = time.monotonic()

    stage.pool("worker", package="reporters")

    for task, message in sent.items():
        heard[task] += list(updates[task])
        assert results.get(message, timeout=30_000) > 100, f"{task} called often"
    took = time.monotonic() - started
    for task, statuses in heard.items():
        told = [update.details for update in statuses if update.status is TaskStatus.RUNNING and update.details]
        # The first at once, the last in any case, and in between five a second.
        assert told[0] == {"done": told[0]["done"], "total": 10_000_000, "note": "counting"}, task
        assert told[-1] == {"done": 10, "total": 10, "note": "over"}, task
        assert [details["done"] for details in told[:-1]] == sorted(details["done"] for details in told[:-1]), task
        assert 2 <= len(told) <= 3 + took / 0.2, task
        assert statuses[-1] == StatusUpdate(TaskStatus.SUCCEEDED), task
    # What was said last is told before the failure, too.
    for message in (*lost.values(), wrong):
        with pytest.raises(TaskFailedError):
            results.get(message, timeout=30_000)
    inspector = Inspector(stage.broker)
    for message in lost.values():
        assert inspector.message(message.uuid).progress == Progress(7, 8, "nearly")
    assert stage.error(wrong) == ("alsek.exceptions.ValidationError", "progress(done) takes a number, 0 or more: -1")


def test_the_last_word_is_told_while_the_run_goes_on_and_needs_no_tracker(stage: Stage, tmp_path: Path) -> None:
    leave = tmp_path / "leave"
    messages = [submit(stage, task) for task in ("untracked", "untracked_in_loop")]
    stage.pool("worker", package="reporters", LEAVE=str(leave))
    inspector = Inspector(stage.broker)

    def said() -> list[Progress | None]:
        return [inspector.message(message.uuid).progress for message in messages]

    eventually(lambda: said() == [Progress(2, 4, "second")] * 2, 30, what="the second word of both")

    uuid = messages[0].uuid
    shown, as_json = (run(*alsek("show", uuid, "--url", stage.url, *more)) for more in ((), ("--json",)))
    assert "2 of 4: second" in shown
    assert json.loads(as_json)["progress"] == {"done": 2, "total": 4, "note": "second"}
    leave.touch()
    for message in messages:
        stage.wait_state(message, "S", 30)


def test_only_the_holder_of_the_lease_may_say_something(broker: Broker) -> None:
    message = Message("any", queue="q")
    broker.submit(message)
    first, second = (claim(broker, token) for token in ("w.1-a", "w.2-b"))

    assert report_many(broker, [(first, Progress(1))]) == [Code.STALE]
    assert report_many(broker, [(second, Progress(2)), (Message("gone"), Progress(3))]) == [Code.DONE, Code.MISSING]

    inspector = Inspector(broker)
    assert inspector.message(message.uuid).progress == Progress(2)
    broker.release(second)
    claim(broker, "w.3-c", give_back=False)
    # A later run has not said anything yet.
    assert inspector.message(message.uuid).progress is None


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def claim(broker: Broker, token: str, *, give_back: bool = True) -> Message:
    """Claim the message of queue `q`; the first holder gives it back, so that the next can have it."""
    interests = [Interest("q")]
    (reply,) = broker.redis.links.execute([broker.verbs.claim(0, interests, token, token[:3], 1)])
    (claimed,) = broker.verbs.read_claim(reply, interests).messages
    message = broker.message_of(claimed, token, time.monotonic() + 30)
    if give_back and token.endswith("a"):
        broker.release(message)
    return message


@pytest.mark.parametrize(
    ("said", "complaint"),
    [((-1,), "done"), ((True,), "done"), (("1",), "done"), ((float("nan"),), "done"), ((1, 0), "total"),
     ((1, "2"), "total"), ((1, 2, 3), "note")],
)  # fmt: skip
def test_nonsense_is_refused_with_one_line(said: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(ValidationError, match=rf"progress\({complaint}\)"):
        check_progress(*said)


def test_a_long_note_is_cut_and_what_is_stored_comes_back() -> None:
    progress = check_progress(1, None, "x" * 1_000)

    assert progress.note is not None
    assert len(progress.note) == 200
    assert open_progress(pack_progress(progress, 3), 3) == progress
    assert open_progress(pack_progress(progress, 3), 4) is None
    assert [open_progress(garbage, 3) for garbage in (b"", b"3", b"3 {}", b"3 [1]", b"3 {")] == [None] * 5
    assert [str(Progress(1, 4, "a")), str(Progress(2)), Progress(1, 4).fraction, Progress(4, 4).complete] == [
        "1 of 4: a", "2", 0.25, True,
    ]  # fmt: skip
