"""What the chart has pods run besides services, taken from what Helm renders and run here, on real services."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rendering import VALUES as VALUE_FILES

from alsek import Broker
from alsek.storage.backends.redis import RedisBackend
from alsek_api.auth.keys import make_key
from alsek_api.auth.store import KeyStore
from harness.eventually import eventually
from harness.processes import Process, Processes, alsek
from harness.server import Server, default_binary, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rendering import Chart

pytestmark = pytest.mark.heavy

TASKS = """
from alsek import Broker, Reject, task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

backend = RedisBackend()
broker = Broker(backend)

@task(broker, queue="smoke", result_store=ResultStore(backend))
def add(a, b):
    return a + b

@task(broker, queue="smoke")
def doomed():
    raise Reject("the card was refused")
"""

VALUES: dict[str, Any] = {
    "redis": {"hosts": ["redis"]},
    "workers": {"w": {"package": "my_tasks"}},
    "test": {"task": "add", "queue": "smoke", "kwargs": {"a": 20, "b": 22}, "apiKeySecret": {"name": "k", "key": "t"}},
}

#: As in the images: `alsek` and `python` are on the path.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """A worker and the API: the address of Redis, that of the API, and a key for it."""
    folder = tmp_path_factory.mktemp("running")
    (folder / "my_tasks.py").write_text(TASKS)
    processes = Processes(folder)
    try:
        with Server() as server:
            token, record = make_key("smoke", ("enqueue", "read"))
            KeyStore(Broker(RedisBackend(server.url)).redis).add(record)
            env = {"ALSEK_REDIS_URL": server.url}
            worker = processes.start(alsek("worker", "my_tasks", "--n-processes", "1"), env=env, cwd=folder)
            line = processes.start(alsek("api", "--port", "0"), env=env).wait_for_line("api.listening", 60)
            address = re.search(r"http://[\d.:]+", line)
            assert address is not None
            worker.wait_for_line("Worker pool online.", 60)
            yield server.url, address[0], token
    finally:
        processes.close()


def smoke(
    chart: Chart, folder: Path, api: str, token: str, test: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run what the pod of `helm test` runs, with the files that its ConfigMap mounts."""
    objects = chart.render(VALUES if test is None else VALUES | {"test": VALUES["test"] | test})
    for name, text in objects.named("ConfigMap", "rel-alsek-smoke")["data"].items():
        (folder / name).write_text(text)
    [container] = objects.named("Pod", "rel-alsek-smoke")["spec"]["containers"]
    command = [
        word.replace("/etc/smoke", str(folder)).replace("http://rel-alsek-api:80", api)
        for word in (*container["command"], *container["args"])
    ]
    assert [one["name"] for one in container["env"]] == ["ALSEK_API_KEY"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={"PATH": PATH, "ALSEK_API_KEY": token}
    )


def test_helm_test_submits_a_task_and_gets_its_result(
    chart: Chart, tmp_path: Path, running: tuple[str, str, str]
) -> None:
    _, api, token = running

    done = smoke(chart, tmp_path, api, token)

    assert done.returncode == 0, done.stderr
    assert re.search(r'result: .*"result": 42', done.stdout), done.stdout


@pytest.mark.parametrize(
    ("test", "key", "words"),
    [
        ({"queue": "nobody", "timeout": 2}, "", "no result within 2 s; `alsek explain "),
        ({}, "ak_000000000000_wrong", "the message was not accepted (401)"),
        ({"task": "doomed", "kwargs": {}}, "", "the task ended otherwise: "),
    ],
    ids=["no worker", "wrong key", "a failing task"],
)
def test_helm_test_fails_with_one_line_that_says_why(
    chart: Chart, tmp_path: Path, running: tuple[str, str, str], test: dict[str, Any], key: str, words: str
) -> None:
    _, api, token = running

    done = smoke(chart, tmp_path, api, key or token, test)

    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def preflight(chart: Chart, url: str) -> subprocess.CompletedProcess[str]:
    container = chart.render(VALUES).pods()["rel-alsek-scheduler"]["spec"]["initContainers"][0]
    return subprocess.run(
        [*container["command"], *container["args"]], capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": PATH, "ALSEK_REDIS_URL": url},
    )  # fmt: skip


def test_the_preflight_lets_pass_what_is_only_advice(chart: Chart, running: tuple[str, str, str]) -> None:
    done = preflight(chart, running[0])

    assert done.returncode == 0, done.stdout + done.stderr
    assert "connection" in done.stdout


def test_the_preflight_stops_where_nobody_answers_and_where_messages_are_in_danger(chart: Chart) -> None:
    absent = preflight(chart, f"redis://127.0.0.1:{free_port()}/0")
    with Server(config={"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, appendonly=False) as server:
        evicting = preflight(chart, server.url)

    assert (absent.returncode, evicting.returncode) == (1, 1)
    assert len([line for line in absent.stdout.splitlines() if "Connection refused" in line]) == 1
    assert len([line for line in evicting.stdout.splitlines() if "noeviction" in line and " ERROR " in line]) == 1


@pytest.mark.parametrize("values", VALUE_FILES, ids=lambda path: path.stem)
def test_every_service_understands_its_arguments_and_its_environment(chart: Chart, values: Path) -> None:
    objects = chart.render(values)
    shared = next(
        one["data"] for one in objects.of_kind("ConfigMap") if "ALSEK_NAMESPACE" in one["data"]
    )  # fmt: skip
    ours = [
        container for pod in objects.pods().values() for container in pod["spec"]["containers"]
        if container["name"] in ("worker", "scheduler", "api", "exporter")
    ]  # fmt: skip
    assert ours
    for container in ours:
        own = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        done = subprocess.run(
            ["alsek", *container["args"], "--show-config"], capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": PATH} | shared | own,
        )  # fmt: skip

        assert done.returncode == 0, (container["args"], done.stderr)
        assert "from the environment" in done.stdout or "# ALSEK_" in done.stdout, done.stdout


def test_the_first_key_opens_the_api(chart: Chart, tmp_path: Path, running: tuple[str, str, str]) -> None:
    url, api, _ = running
    token, _ = make_key("unknown yet", ("admin",))
    (tmp_path / "token").write_text(token)
    values = VALUES | {"api": {"firstKeySecret": {"name": "k", "key": "t"}}}
    containers = chart.render(values).pods()["rel-alsek-api"]["spec"]["initContainers"]
    [arguments] = [one["args"] for one in containers if one["name"] == "first-key"]
    headers = {"Authorization": f"Bearer {token}"}
    before = httpx.get(f"{api}/v1/queues", headers=headers).status_code

    for _ in range(2):  # each pod does so at each start
        subprocess.run(
            ["alsek", *(word.replace("/etc/alsek/first-key", str(tmp_path)) for word in arguments)], check=True,
            capture_output=True, timeout=60, env={"PATH": PATH, "ALSEK_REDIS_URL": url},
        )  # fmt: skip

    assert before == 401
    eventually(lambda: httpx.get(f"{api}/v1/queues", headers=headers).status_code == 200, 30, what="the key is known")


def test_the_trial_valkey_asks_for_its_password_and_ends_when_it_is_told(chart: Chart, tmp_path: Path) -> None:
    objects = chart.render({"valkey": {"enabled": True}})
    container = objects.named("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    config = objects.named("ConfigMap", "rel-alsek-valkey")["data"]["valkey.conf"]
    port = free_port()
    (tmp_path / "valkey.conf").write_text(config.replace("dir /data", f"dir {tmp_path}\nport {port}\nbind 127.0.0.1"))
    [script] = container["args"]
    with Process(
        [*container["command"], script.replace("/etc/valkey", str(tmp_path))], directory=tmp_path / "log",
        env={"PATH": f"{Path(default_binary()).parent}:{PATH}", "REDISCLI_AUTH": "s3cret pa$$"},
    ) as server:  # fmt: skip
        server.wait_for_line("Ready to accept connections", 60)

        refused = preflight(chart, f"redis://127.0.0.1:{port}/0")
        passed = preflight(chart, f"redis://:s3cret%20pa$$@127.0.0.1:{port}/0")

        assert (refused.returncode, passed.returncode) == (1, 0), passed.stdout
        assert "s3cret" not in Path(f"/proc/{server.pid}/cmdline").read_text()
        assert server.terminate(20) == 0, "the shell was told, and not the server"
