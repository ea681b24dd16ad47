"""`alsek bench`: what it measures is counted exactly, and nothing stays behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from alsek.tools.inspector import Inspector
from alsek_worker.bench.crew import Crew
from alsek_worker.bench.measuring import Bench
from alsek_worker.bench.plan import Plan, Tasks
from harness.eventually import eventually
from harness.processes import Process, alsek
from harness.procfs import descendants
from harness.server import free_port
from harness.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from harness.processes import Processes
    from harness.server import Server

STEPS = ["submit_single", "submit_bulk", "drain", "latency", "round_trip"]

SMALL = ("--messages", "300", "--samples", "10")


def start(processes: Processes, url: str, *options: str) -> Process:
    return processes.start(alsek("bench", *options), env={"ALSEK_REDIS_URL": url})


def test_people_get_a_table_and_redis_is_as_it_was(
    processes: Processes, redis_url: str, redis_client: redis.Redis
) -> None:
    redis_client.set("{alsek:0}:meta", "of others")

    bench = start(processes, redis_url, *SMALL, "--n-processes", "2", "--payload", "100")

    assert bench.wait(60) == 0, bench.log
    assert "Measuring in namespace alsek-bench-" in bench.log
    for title in ("submit, one by one", "submit, 1,000 in a call", "drain", "idle worker", "submit to result"):
        (row,) = [line for line in bench.log.splitlines() if title in line]
        assert row.rstrip(" │").endswith(" yes")
    assert bench.log.splitlines()[-1].startswith("Deleted the namespace: ")
    assert redis_client.keys() == [b"{alsek:0}:meta"]


@pytest.mark.parametrize(("mechanism", "partitions"), [("async", "3"), ("process", "1")])
def test_programs_get_json(
    mechanism: str, partitions: str, processes: Processes, redis_url: str, redis_client: redis.Redis
) -> None:
    # A setting that is meant for pools of the user's is none of the measured pool.
    bench = processes.start(
        alsek("bench", *SMALL, "--mechanism", mechanism, "--partitions", partitions, "--json"),
        env={"ALSEK_REDIS_URL": redis_url, "ALSEK_METRICS_PORT": "nonsense", "ALSEK_NAMESPACE": "shop"},
    )

    assert bench.wait(60) == 0, bench.log
    told = json.loads(bench.log[bench.log.index("{") :])
    assert [step["name"] for step in told["steps"]] == STEPS
    assert told["exact"] is True
    assert [step["messages"] for step in told["steps"]] == [30, 270, 300, 10, 10]
    assert all(step["per_second"] > 0 and step["exact"] for step in told["steps"])
    assert told["steps"][3]["p50_ms"] <= told["steps"][3]["max_ms"]
    assert told["deleted_keys"] >= 300
    assert redis_client.dbsize() == 0


@pytest.mark.parametrize(
    ("options", "config", "complaint"),
    [
        ((), {"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru"),
        (("--messages", "4000000"), {"maxmemory": "500mb"}, "choose fewer --messages"),
        (("--url", f"redis://127.0.0.1:{free_port()}/0"), {}, "Connection refused"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    options: tuple[str, ...], config: dict[str, str], complaint: str, processes: Processes, server: Server
) -> None:
    with server.configured(config):
        bench = start(processes, server.url, *options)

        assert bench.wait(60) == 2
    assert len(bench.log.splitlines()) == 1
    assert complaint in bench.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_finds_nothing_left(
    number: signal.Signals, processes: Processes, redis_url: str, redis_client: redis.Redis
) -> None:
    bench = start(processes, redis_url, "--messages", "100000")
    eventually(lambda: redis_client.dbsize() > 100, 60, what=lambda: bench.log)

    bench.signal(number)

    assert bench.wait(60) == 130
    assert bench.log.splitlines()[-1] == "alsek: stopped; what was measured is deleted"
    assert redis_client.dbsize() == 0


def test_a_worker_that_dies_is_told_and_nothing_is_left(
    processes: Processes, redis_url: str, redis_client: redis.Redis
) -> None:
    bench = start(processes, redis_url, "--messages", "20000", "--json")

    def worker() -> list[int]:
        return [found.pid for found in descendants(bench.pid) if "alsek_worker" in found.command]

    eventually(worker, 60, what=lambda: bench.log)
    for pid in worker():
        os.kill(pid, signal.SIGKILL)

    assert bench.wait(60) == 1
    assert bench.log.splitlines()[-1].startswith("alsek: the worker ended by itself, and ")
    assert redis_client.dbsize() == 0


def test_who_watches_sees_bars(terminals: list[Terminal], redis_url: str, redis_client: redis.Redis) -> None:
    terminal = Terminal(alsek("bench", *SMALL), redis_url)
    terminals.append(terminal)

    terminal.wait_for(r"submit_single.* 30/30 ")
    terminal.wait_for(r"drain.* 300/300 ")
    terminal.wait_for(r"round_trip.* 10/10 ")

    assert terminal.ended() == 0
    assert redis_client.dbsize() == 0


@pytest.fixture
def plan(redis_url: str, tmp_path: Path) -> Plan:
    return Plan(redis_url, "alsek-bench-test", 1, "thread", str(tmp_path / "tally"))


@pytest.fixture
def tasks(plan: Plan) -> Iterator[Tasks]:
    tasks = Tasks(plan)
    yield tasks
    tasks.tally.close()
    tasks.broker.redis.close()


def test_a_lost_message_is_counted(tasks: Tasks) -> None:
    bench = Bench(tasks, "", bars=False)
    bench.submit_singly(10)
    lost = tasks.broker.find(Inspector(tasks.broker).messages("bench").messages[4].uuid)
    assert lost is not None
    tasks.broker.remove(lost)

    step = bench.submit_in_bulk(10)

    assert (step.messages, step.lost, step.repeated, step.exact) == (10, 1, 0, False)


def test_a_repeated_run_is_counted(plan: Plan, tasks: Tasks) -> None:
    bench = Bench(tasks, "", bars=False)
    bench.submit_in_bulk(50)
    tasks.tally.note(7)  # as if it had run once more

    with Crew("thread", 1, 2, plan.environment(os.environ)) as crew:
        step = bench.drain(crew)

    assert (step.messages, step.lost, step.repeated, step.exact) == (50, 0, 1, False)
