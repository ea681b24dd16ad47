"""How many workers a queue wants."""

from __future__ import annotations

import itertools
from typing import Any

from alsek.tools.facts import Pause, QueueInfo, WorkerInfo
from alsek_api.scaling import plan


def queue(**fields: Any) -> QueueInfo:
    usual: dict[str, Any] = {"ready": 0, "delayed": 0, "running": 0, "dead": 0, "waiting_ms": 0, "due_in_ms": None}
    return QueueInfo("mail", **{**usual, **fields})


def workers(count: int, *names: str) -> list[WorkerInfo]:
    return [
        WorkerInfo(
            str(n), "host", n, "running", names or ("mail",), {}, (), ("thread",), 8, 0, 1, (), 0, 0, "0.1.0", "3.11"
        )
        for n in range(count)
    ]


def wanted(info: QueueInfo, fleet: list[WorkerInfo], target_s: float = 60, most: int = 100) -> int:
    return int(plan(info, fleet, target_s, most)["desired_replicas"])


def test_nothing_wants_nobody() -> None:
    assert wanted(queue(), workers(3)) == 0


def test_the_pace_of_those_who_work_tells_how_many_it_takes() -> None:
    # Two workers finish 10 a second; 1,800 messages in 60 s take 30 a second.
    info = queue(ready=1_800, finished_per_minute=600.0)

    assert wanted(info, workers(2)) == 6
    assert wanted(info, workers(2), target_s=180) == 2
    assert wanted(info, workers(2), most=4) == 4
    assert plan(info, workers(2), 60, 100)["drain_s"] == 180


def test_without_a_pace_slots_are_counted() -> None:
    assert wanted(queue(ready=20), []) == 3
    assert wanted(queue(ready=1), []) == 1
    assert wanted(queue(ready=20), workers(2, "other")) == 3


def test_who_is_busy_is_not_sent_away() -> None:
    assert wanted(queue(running=17), workers(3)) == 3
    assert wanted(queue(running=17, paused=Pause("x", 0)), workers(3)) == 3


def test_what_is_due_soon_wants_one_who_is_there_and_no_more() -> None:
    assert wanted(queue(delayed=100_000, due_in_ms=30_000), []) == 1
    assert wanted(queue(delayed=100_000, due_in_ms=90_000), []) == 0


def test_a_paused_queue_wants_nobody() -> None:
    assert wanted(queue(ready=500, paused=Pause("x", 0)), workers(2)) == 0


def test_a_burst_is_followed_without_flapping() -> None:
    fleet, advice = 0, []
    ready = 6_000
    for _ in range(30):  # each worker finishes 10 a second; looked at every 10 s
        done = min(ready, fleet * 100)
        ready -= done
        advice.append(
            wanted(queue(ready=ready, running=min(ready, fleet * 8), finished_per_minute=done * 6.0), workers(fleet))
        )
        fleet = advice[-1]

    assert ready == 0
    assert advice[-1] == 0
    rises = [later > earlier for earlier, later in itertools.pairwise(advice)]
    assert not any(rises)
