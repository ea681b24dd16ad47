"""`alsek exporter`: the gauges of the queues, from the real program over HTTP."""

from __future__ import annotations

import re
import signal
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from alsek import Broker, Message
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.gauges import ALL
from alsek.tools.inspector import Inspector
from harness.eventually import eventually
from harness.processes import Process, Processes, alsek

if TYPE_CHECKING:
    from harness.server import Server

Samples = dict[tuple[str, ...], float]


def start(processes: Processes, url: str, *options: str) -> tuple[Process, str]:
    program = processes.start(alsek("exporter", "--metrics-port", "127.0.0.1:0", "--url", url, *options))
    program.wait_for_line("exporter.listening")
    match = re.search(r"(http://[0-9.:]+)/metrics", program.log)
    assert match is not None
    return program, match[1]


def scrape(url: str) -> Samples:
    with urllib.request.urlopen(url + "/metrics", timeout=15) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_exporter_tells_what_stands_in_the_queues(processes: Processes, redis_url: str) -> None:
    broker = Broker(RedisBackend(redis_url))
    for _ in range(3):
        broker.submit(Message("send", queue="mail"))
    broker.submit(Message("send", queue="mail", delay=3_600_000))
    broker.submit(Message("print", queue="paper"))
    inspector = Inspector(broker)
    inspector.revoke(inspector.messages("paper", "ready").messages[0].uuid)
    inspector.pause("mail", "the mail server is down")
    program, url = start(processes, redis_url)

    samples = scrape(url)

    assert samples["alsek_redis_up",] == 1
    assert samples["alsek_queue_messages", "mail", "ready"] == 3
    assert samples["alsek_queue_messages", "mail", "delayed"] == 1
    assert samples["alsek_queue_messages", "paper", "dead"] == 1
    assert samples["alsek_queue_oldest_age_seconds", "mail"] > 0
    assert samples["alsek_queue_oldest_age_seconds", "paper"] == 0
    assert (samples["alsek_queue_paused", "mail"], samples["alsek_queue_paused", "paper"]) == (1, 0)
    assert samples["alsek_queue_workers", "mail"] == 0
    assert samples["alsek_redis_noeviction",] == samples["alsek_redis_persistence_ok",] == 1
    assert samples["alsek_redis_memory_used_bytes", "primary"] > 100_000
    names = {key[0] for key in samples}
    assert {one.name for one in ALL} <= names
    program.signal(signal.SIGTERM)
    assert program.wait(15) == 0


def test_redis_that_is_away_is_a_metric_and_no_reason_to_restart(processes: Processes, server: Server) -> None:
    _, url = start(processes, server.url)
    assert scrape(url)["alsek_redis_up",] == 1

    server.kill()
    eventually(lambda: scrape(url)["alsek_redis_up",] == 0, 20)

    assert (status(url + "/livez"), status(url + "/readyz")) == (200, 503)

    server.start()
    eventually(lambda: scrape(url)["alsek_redis_up",] == 1, 20)
    assert status(url + "/readyz") == 200


def test_a_namespace_is_looked_at_alone(processes: Processes, redis_url: str) -> None:
    Broker(RedisBackend(redis_url)).submit(Message("send", queue="mail"))
    Broker(RedisBackend(redis_url, namespace="shop")).submit(Message("send", queue="parcels"))
    _, url = start(processes, redis_url, "--namespace", "shop")

    queues = {key[1] for key in scrape(url) if key[0] == "alsek_queue_messages"}

    assert queues == {"parcels"}


def test_a_port_in_use_is_one_line_and_code_2(processes: Processes, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"127.0.0.1:{taken.getsockname()[1]}"

        program = processes.start(alsek("exporter", "--metrics-port", port, "--url", redis_url))

        assert program.wait(30) == 2
    (line,) = program.log.splitlines()
    assert line == f"alsek: cannot listen at {port} for probes and metrics: Address already in use"
