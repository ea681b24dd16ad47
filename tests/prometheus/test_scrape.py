"""A real Prometheus scrapes real services: what rules and dashboards ask for is there, in name and in label."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from alsek import Broker
from alsek.core.message import Message
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.inspector import Inspector
from alsek_api.auth.keys import make_key
from alsek_api.auth.store import KeyStore
from harness.eventually import eventually
from harness.processes import Processes, alsek
from harness.server import Server, free_port
from prometheus.queries import RECORDED, RULES, asked, expressions, grouped, rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.processes import Process

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        shutil.which("prometheus") is None and not os.environ.get("CI"),
        reason="prometheus is not here (Debian: apt install prometheus)",
    ),
]

#: Told only of what a sound run of seconds does not do; the static test holds their names.
_SELDOM = {
    "alsek_leases_lost_total", "alsek_leases_recovered_total", "alsek_messages_released_total",
    "alsek_messages_revoked_total", "alsek_scheduler_misfires_total",
}  # fmt: skip


class Prometheus:
    """A real one, which scrapes what is listed, each second.

    Args:
        processes: Starts it.
        folder: For its data.
        targets: Address by job.
        token: For the API.
    """

    def __init__(self, processes: Processes, folder: Path, targets: dict[str, str], token: str) -> None:
        port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in RULES],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [address]}], "authorization": {"credentials": token}}
                for job, address in targets.items()
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.process = processes.start(
            [
                "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            name="prometheus",
        )  # fmt: skip
        self.process.wait_for_line("Server is ready", 60)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30)

    def ask(self, what: str, **params: str) -> Any:
        """Ask its HTTP API."""
        answer = self._http.get(f"/{what}", params=params)
        assert answer.status_code == 200, (params, answer.text)
        return answer.json()["data"]

    def labels(self, name: str) -> set[str]:
        """The labels of a metric's series; empty if there are none."""
        return {label for one in self.ask("series", **{"match[]": name}) for label in one}

    def knows(self, name: str) -> bool:
        """Whether a target told of a counter, also of one at nothing; OpenMetrics leaves `_total` out of its name."""
        return any(self.ask("targets/metadata", metric=one) for one in (name, name.removesuffix("_total")))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Watches a pool, a scheduler, the API and an exporter, after each kind of message has been through."""
    folder = tmp_path_factory.mktemp("scraped")
    with Server() as server, closing(Processes(folder)) as processes:
        environment = {"ALSEK_REDIS_URL": server.url}
        programs = Path(__file__).with_name("programs")
        broker = Broker(RedisBackend(server.url))
        token, record = make_key("test", ("admin",))
        KeyStore(broker.redis).add(record)

        def service(*words: str) -> tuple[Process, str]:
            started = processes.start(alsek(*words), name=words[0], env=environment, cwd=programs)
            line = started.wait_for_line(".listening", 60)
            found = re.search(r"http://([\d.:]+)", line)
            assert found is not None, line
            return started, found[1]

        pool, pool_at = service("worker", "observed_tasks", "--metrics-port", "127.0.0.1:0", "--n-processes", "1")
        targets = {
            "alsek-worker": pool_at,
            "alsek-scheduler": service("scheduler", "observed_tasks", "--metrics-port", "127.0.0.1:0")[1],
            "alsek-api": service("api", "--port", "0")[1],
            "alsek-exporter": service("exporter", "--metrics-port", "127.0.0.1:0")[1],
        }
        pool.wait_for_line("Worker pool online.", 60)
        _work(broker)
        httpx.get(f"http://{targets['alsek-api']}/v1/queues", headers={"Authorization": "Bearer wrong"})
        httpx.get(f"http://{targets['alsek-api']}/v1/queues", headers={"Authorization": f"Bearer {token}"})
        yield Prometheus(processes, folder, targets, token)


def test_every_metric_of_a_rule_or_a_dashboard_is_there_with_its_labels(prometheus: Prometheus) -> None:
    wanted: dict[str, set[str]] = {}
    for _, expression in expressions():
        for name, labels in asked(expression):
            wanted.setdefault(name, set()).update(labels)
    names = wanted.keys() - _SELDOM
    assert len(names) > 40

    eventually(
        lambda: all(map(prometheus.labels, names)), 90, interval=1,
        what=lambda: f"series of {sorted(name for name in names if not prometheus.labels(name))}",
    )  # fmt: skip

    lacking = {name: wanted[name] - prometheus.labels(name) - {"le"} for name in names}
    assert {name: labels for name, labels in lacking.items() if labels} == {}
    assert {name for name in wanted.keys() & _SELDOM if not prometheus.knows(name)} == set()


def test_what_a_query_groups_by_is_a_label_of_its_metrics(prometheus: Prometheus) -> None:
    eventually(lambda: all(map(prometheus.labels, RECORDED)), 90, interval=1, what="all rules have recorded")
    for place, expression in expressions():
        names = [name for name, _ in asked(expression) if name not in _SELDOM]
        there = {label for name in names for label in prometheus.labels(name)}

        assert not names or grouped(expression) <= there | {"le"}, f"{place}: {grouped(expression) - there}"


def test_every_rule_and_every_panel_is_evaluated_without_an_error(prometheus: Prometheus) -> None:
    def evaluated() -> list[dict[str, Any]]:
        groups = prometheus.ask("rules")["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    loaded = eventually(evaluated, 90, what="all rules are evaluated", interval=1)

    assert len(loaded) == len(rules())
    assert [(rule["name"], rule.get("lastError")) for rule in loaded if rule["health"] != "ok"] == []
    for _, expression in expressions():
        prometheus.ask("query", query=expression.replace("$__rate_interval", "1m").replace("$queue", ".*"))


def test_a_metric_that_nobody_exports_is_missed(prometheus: Prometheus) -> None:
    assert prometheus.labels("alsek_queue_messages")
    assert not prometheus.labels("alsek_queue_messages_renamed")
    assert prometheus.knows("alsek_leases_lost_total")
    assert not prometheus.knows("alsek_leases_lost_renamed_total")


def _work(broker: Broker) -> None:
    inspector = Inspector(broker)
    for name in ("succeed", "fail", "refuse", "later", "die"):
        broker.submit(Message(name, queue="seen", mechanism="process" if name == "die" else "thread"))
    broker.submit(Message("succeed", queue="paused"))
    inspector.pause("paused", "for a test")

    def settled() -> bool:
        queues = {queue.name: queue for queue in inspector.queues()}
        seen = queues["seen"]
        return seen.dead >= 2 and seen.ready + seen.running + seen.delayed == 0

    eventually(settled, 90, what="every message has ended", interval=0.1)
    inspector.close()
