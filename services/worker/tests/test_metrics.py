"""Metrics and probes of a whole pool, asked for over HTTP and compared with what the journal says is true."""

from __future__ import annotations

import json
import mmap
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from worker_stage import TASKS, Stage, workers

from alsek.core.backoff import ConstantBackoff
from alsek.core.message import Message
from alsek_worker.metrics import ALL
from alsek_worker.tally import CLAIMED, MOST_ROWS, Labels, Tally
from harness.eventually import eventually
from harness.journal import read_journal
from harness.processes import alsek

if TYPE_CHECKING:
    from harness.processes import Process
    from harness.server import Server

Samples = dict[tuple[str, ...], float]

QUEUE = {task: queue for task, (queue, _) in TASKS.items()}


def url_of(pool: Process) -> str:
    """Where a pool listens, by its log."""
    pool.wait_for_line("probes.listening")
    match = re.search(r"probes\.listening.*(http://[0-9.:]+)", pool.log)
    assert match, pool.log
    return match[1].replace("0.0.0.0", "127.0.0.1")


def probe(url: str, path: str) -> tuple[int, dict[str, dict[str, object]]]:
    try:
        with urllib.request.urlopen(url + path, timeout=15) as answer:
            return answer.status, json.load(answer)["checks"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["checks"]


def scrape(url: str) -> Samples:
    """All samples: (name, label values…) → value."""
    with urllib.request.urlopen(url + "/metrics", timeout=15) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def families(url: str) -> set[str]:
    with urllib.request.urlopen(url + "/metrics", timeout=15) as answer:
        return {family.name for family in text_string_to_metric_families(answer.read().decode())}


def by_task(samples: Samples, name: str) -> Counter[str]:
    """Sum of a counter by task, without those at zero."""
    return +Counter(
        {task: int(value) for (n, _, task), value in ((k, v) for k, v in samples.items() if len(k) == 3) if n == name}
    )


def test_the_metrics_of_a_pool_are_the_true_counts_though_a_child_is_killed(stage: Stage) -> None:
    pool = stage.pool(
        "worker", "--metrics-port", "127.0.0.1:0", "--n-processes", "1", "--n-threads", "4", package="metric_tasks"
    )
    url = url_of(pool)
    before = scrape(url)
    soon = ConstantBackoff(10, floor=0, zero_override=False).settings
    retried = {"queue": "threads", "mechanism": "thread", "backoff_settings": soon}
    in_processes = [stage.submit("in_process", how) for how in ["sleep"] * 40 + ["fail"] * 3]
    for message in in_processes:
        stage.wait_state(message, "S" if message.kwargs["how"] == "sleep" else "x", 60)
    # A child that dies takes along what it finished and had not settled yet: here nothing but the pill.
    pill = stage.submit("in_process", "die")
    others = [stage.submit(task, how) for task in ("in_thread", "in_loop") for how in ["sleep"] * 40 + ["fail"] * 3] + [
        stage.submit("in_thread_again", "fail", **retried) for _ in range(2)
    ]
    for message in (*others, pill):
        stage.wait_state(message, "S" if message.kwargs["how"] == "sleep" else "x", 60)
    last = stage.submit("in_process")
    stage.wait_state(last, "S", 60)
    task_of = {m.uuid: m.task_name for m in (*in_processes, *others, pill, last)}
    journal = read_journal(stage.journal.directory)
    starts = Counter(task_of[event.uuid] for event in journal if event.kind == "START")
    ends = Counter(task_of[event.uuid] for event in journal if event.kind == "END")
    deaths = len(stage.events(pill, "START"))

    def counted() -> Samples | None:
        # A child counts right after Redis has answered, the supervisor right after it has settled for a dead child.
        samples = scrape(url)
        settled = by_task(samples, "alsek_messages_dead_lettered_total").total() == 12
        settled = settled and samples["alsek_worker_slots", "", "free"] == 4 + 100 + 1
        return samples if settled and by_task(samples, "alsek_messages_succeeded_total") == ends else None

    samples = eventually(counted, 20, what=lambda: f"{ends} in {scrape(url)}")
    runs = by_task(samples, "alsek_message_run_duration_seconds_count")
    given_back = by_task(samples, "alsek_messages_released_total")

    assert {key[2] for key in before if key[0] == "alsek_messages_claimed_total"} == {*TASKS, "in_thread_again"}
    assert by_task(before, "alsek_messages_claimed_total") == Counter()
    assert starts == runs + Counter(in_process=deaths)
    assert by_task(samples, "alsek_messages_failed_total") == {
        "in_thread": 3, "in_thread_again": 2, "in_process": 3, "in_loop": 3,
    }  # fmt: skip
    assert by_task(samples, "alsek_messages_retried_total") == {"in_thread_again": 4}
    assert by_task(samples, "alsek_messages_dead_lettered_total")["in_process"] == 4
    # What was claimed was started, or given back: taken ahead by a child that could not start it.
    crashes = Counter(in_process=deaths - 1)
    assert by_task(samples, "alsek_messages_claimed_total") == starts + given_back - crashes
    assert by_task(samples, "alsek_messages_recovered_total")["in_process"] == deaths - 1
    assert samples["alsek_worker_child_deaths_total", "process"] == deaths == 5
    assert all(value >= before.get(key, 0) for key, value in samples.items() if key[0].endswith(("_total", "_count")))
    assert samples["alsek_worker_redis_up",] == 1
    assert {family for family in families(url) if family.startswith("alsek_")} == {
        "alsek_build_info", *(one.name.removesuffix("_total") for one in ALL),
    }  # fmt: skip


def test_the_probes_tell_a_pool_without_redis_from_a_pool_that_has_stalled(stage: Stage, server: Server) -> None:
    pool = stage.program(sys.executable, "watched.py", ALSEK_METRICS="127.0.0.1:0")
    url = url_of(pool)
    pool.wait_for_line("Worker pool online.")
    eventually(lambda: probe(url, "/readyz")[0] == 200, 20, what=lambda: str(probe(url, "/readyz")))
    [child] = workers(pool)

    assert probe(url, "/startupz") == (200, {"online": {"ok": True, "reason": "the pool came online"}})
    assert probe(url, "/livez")[0] == 200

    server.kill()
    eventually(lambda: probe(url, "/readyz")[0] == 503, 30, what=lambda: str(probe(url, "/readyz")))

    assert "Redis answered" in str(probe(url, "/readyz")[1]["redis"]["reason"])
    assert probe(url, "/livez")[0] == 200, probe(url, "/livez")

    server.start()
    eventually(lambda: probe(url, "/readyz")[0] == 200, 30, what=lambda: str(probe(url, "/readyz")))
    os.kill(child.pid, signal.SIGSTOP)
    eventually(lambda: probe(url, "/livez")[0] == 503, 30, what=lambda: str(probe(url, "/livez")))

    assert str(child.pid) in str(probe(url, "/livez")[1]["children"]["reason"])

    os.kill(child.pid, signal.SIGCONT)
    eventually(lambda: probe(url, "/livez")[0] == 200, 30, what=lambda: str(probe(url, "/livez")))
    running = stage.submit("in_thread", "sleep", 3)
    stage.wait(running, "START")
    pool.signal(signal.SIGTERM)
    eventually(lambda: probe(url, "/readyz")[0] == 503, 15, what=lambda: str(probe(url, "/readyz")))

    assert probe(url, "/readyz")[1]["children"]["reason"] == "the pool is shutting down"
    assert probe(url, "/livez")[0] == 200
    assert pool.wait(20) == 0


def test_a_metrics_port_in_use_is_one_line_and_code_2(stage: Stage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = f"127.0.0.1:{taken.getsockname()[1]}"

        pool = stage.program(*alsek("thread-pool", "pool_tasks", "--metrics-port", port))

        assert pool.wait(30) == 2
        assert f"alsek: cannot listen at {port} for probes and metrics: Address already in use" in pool.log


def test_unregistered_names_share_one_label() -> None:
    labels = Labels(("mail",), ("send",))
    memory = mmap.mmap(-1, labels.numbers * 8)
    tally = Tally(memoryview(memory).cast("Q"), labels)

    tally.claimed([Message("send", queue="mail"), Message("nobody_knows", queue="mail"), Message("x", queue="y")])

    assert {pair: row[CLAIMED] for pair, row in tally.rows()} == {
        ("mail", "send"): 1, ("mail", "other"): 1, ("other", "other"): 1,
    }  # fmt: skip


def test_too_many_queues_and_tasks_share_one_label_too() -> None:
    labels = Labels(tuple(f"q{i}" for i in range(100)), tuple(f"t{i}" for i in range(100)))
    memory = mmap.mmap(-1, labels.numbers * 8)
    tally = Tally(memoryview(memory).cast("Q"), labels)

    tally.claimed([Message("t99", queue="q99")])

    assert len(list(labels.pairs())) == MOST_ROWS
    assert [pair for pair, _ in tally.rows()] == [("other", "other")]
