"""compose.yaml on a Docker engine: it is built, it starts, it works, and whatever is killed costs no message."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from compose import standins
from compose.stack import ROOT
from harness.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from compose.stack import Stack

# By a signal, so that also after a hang containers, networks and the engine are taken away.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1200, method="signal")]

IMAGES = {"worker": "alsek-test-worker", "scheduler": "alsek-test-scheduler", "api": "alsek-test-api"}

#: As restricted as a container can be; it still has to work.
RESTRICTED = (
    "--rm", "--read-only", "--cap-drop", "ALL", "--user", "10001:10001", "--security-opt", "no-new-privileges:true",
    "--tmpfs", "/tmp",
)  # fmt: skip


def confirm(number: int) -> tuple[dict[str, Any], Any]:
    receipt = hashlib.sha256(f"B-{number}:{number:.2f}".encode()).hexdigest()[:12]
    return {"task": "confirm", "queue": "orders", "kwargs": {"order": f"B-{number}", "amount": number}}, receipt


def charge(number: int) -> tuple[dict[str, Any], Any]:
    return {"task": "charge", "queue": "orders", "kwargs": {"order": f"B-{number}"}}, f"B-{number} is paid at attempt"


def notify(number: int) -> tuple[dict[str, Any], Any]:
    return {"task": "notify", "queue": "mail", "args": [f"{number}", "hello"]}, f"told {number}: hello"


def rest(_number: int) -> tuple[dict[str, Any], Any]:
    return {"task": "sleep", "queue": "reports", "args": [0.5]}, 0.5


class Load:
    """What was submitted, and what has to come of it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.wanted: dict[str, Any] = {}

    def more(self, confirmed: int, charged: int, notified: int, rested: int) -> None:
        """Submit so many more."""
        counts = {confirm: confirmed, charge: charged, notify: notified, rest: rested}
        pairs = [make(len(self.wanted) + n) for make, count in counts.items() for n in range(count)]
        uuids = self._stack.batch([message for message, _ in pairs])
        self.wanted |= dict(zip(uuids, (result for _, result in pairs), strict=True))

    def ends(self) -> Counter[str]:
        """Wait for all; gives how many ended how, a wrong result being one way."""
        ends: Counter[str] = Counter()
        for uuid, wanted in self.wanted.items():
            told = self._stack.result(uuid, 180)
            right = str(told["result"]).startswith(wanted) if isinstance(wanted, str) else told["result"] == wanted
            ends[told["state"] if right or told["state"] != "succeeded" else "wrong"] += 1
        return ends


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_an_image_is_small_in_rights(built: Stack, image: str) -> None:
    config = built.facts(image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"][:2] == ["dumb-init", "--single-child"]
    assert config["Healthcheck"]["Test"]
    assert {f"org.opencontainers.image.{name}" for name in ("title", "version", "revision")} <= set(config["Labels"])

    looked = (
        "id -u; for c in gcc cc make; do command -v $c; done; touch /app/x /opt/alsek/x; grep CapEff /proc/self/status"
    )
    said = built.docker("run", *RESTRICTED, "--entrypoint", "sh", image, "-c", looked)
    assert said.stdout.split() == ["10001", "CapEff:", "0000000000000000"]
    assert said.stderr.count("Read-only file system") == 2
    assert "Usage: alsek" in built.docker("run", *RESTRICTED, image, "--help").stdout


def test_an_application_is_an_image_on_top_of_the_workers(built: Stack) -> None:
    built.docker(
        "build", "--quiet", "--file", "examples/compose_app/Dockerfile", "--tag", "alsek-test-example",
        "--build-arg", "WORKER_IMAGE=alsek-test-worker", ".",
    )  # fmt: skip

    said = built.docker("run", *RESTRICTED, "--entrypoint", "python", "alsek-test-example", "-c", "import shop")
    assert said.stderr == ""


def test_without_secrets_nothing_starts_and_one_line_says_why(built: Stack) -> None:
    done = built.compose("config", check=False, ALSEK_SECRETS="")

    assert done.returncode != 0
    assert "run `make secrets` first" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_a_redis_that_is_not_there_is_told_at_once(built: Stack, image: str) -> None:
    done = built.docker(
        "run", *RESTRICTED, "--network", "none", "--env", "ALSEK_REDIS_URL=redis://127.0.0.1:1/0", image, "doctor",
        check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "Connection refused" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("image", "words"), [("worker", ["worker", "shop"]), ("scheduler", ["scheduler"]), ("api", ["api"])]
)
def test_a_wrong_password_ends_a_service_in_one_line(
    stack: Stack, tmp_path: Path, image: str, words: list[str]
) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("n0t-it\n")
    tmp_path.chmod(0o755)

    done = stack.docker(
        "run", *RESTRICTED, "--network", f"{stack.project}_backend", "--volume", f"{wrong}:/run/password:ro",
        "--volume", f"{ROOT}/examples/compose_app:/app:ro",
        "--env", "ALSEK_REDIS_URL=redis://valkey:6379/0", "--env", f"ALSEK_REDIS_USERNAME={image}",
        "--env", "ALSEK_REDIS_PASSWORD_FILE=/run/password", IMAGES[image], *words, check=False,
    )  # fmt: skip

    lines = [line for line in (done.stdout + done.stderr).splitlines() if "credentials" in line]
    assert done.returncode not in (0, 137)
    assert len(lines) == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "n0t-it" not in done.stdout + done.stderr


def test_all_that_runs_is_as_restricted_as_the_file_says(stack: Stack) -> None:
    published = {}
    for service in ("valkey", "worker-orders", "worker-reports", "scheduler", "api", "storefront"):
        for container in stack.containers(service):
            facts = stack.facts(container)
            assert facts["HostConfig"]["ReadonlyRootfs"], service
            assert facts["HostConfig"]["CapDrop"] == ["ALL"], service
            assert facts["HostConfig"]["Memory"] > 0, service
            assert facts["Config"]["User"] in ("10001:10001", "999:999"), service
            for ports in facts["HostConfig"]["PortBindings"].values():
                published[service] = ports
    assert len(stack.containers("scheduler")) == 2
    assert published == {"api": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]}


@pytest.mark.parametrize(("image", "service"), [("worker", "worker-orders"), ("scheduler",) * 2, ("api",) * 2])
def test_the_image_itself_knows_how_to_ask_its_service(stack: Stack, image: str, service: str) -> None:
    [kind, *check] = stack.facts(IMAGES[image])["Config"]["Healthcheck"]["Test"]
    container = stack.containers(service)[0]

    assert kind == "CMD"
    assert stack.docker("exec", container, *check, check=False).returncode == 0
    assert stack.docker("exec", container, *check[:-2], "1", check[-1], check=False).returncode == 1


def test_a_message_over_http_gives_its_result_and_the_dashboard_is_there(stack: Stack) -> None:
    message, wanted = confirm(7)
    accepted = stack.http.post("/v1/messages", json=message)

    assert accepted.status_code == 202
    assert stack.result(accepted.json()["uuid"], 60)["result"] == wanted
    assert stack.http.get("/v1/messages", headers={"Authorization": "Bearer wrong"}).status_code in (401, 404)
    assert "Alsek" in stack.http.get("/", follow_redirects=True).text


def test_nothing_is_lost_when_workers_are_killed_and_valkey_restarts(stack: Stack) -> None:
    load = Load(stack)
    load.more(100, 20, 60, 60)
    stack.up("--no-recreate", "--scale", "worker-orders=3", "--scale", "worker-reports=2")
    assert len(stack.containers("worker-orders")) == 3

    load.more(100, 20, 60, 60)
    busy = eventually(lambda: _running(stack, "reports"), 60, what="reports are made", interval=0.1)
    for service in ("worker-reports", "worker-orders"):
        stack.docker("kill", stack.containers(service)[0])
    load.more(100, 20, 60, 20)
    [valkey] = stack.containers("valkey")
    stack.docker("restart", "--time", "30", valkey)
    load.more(100, 20, 60, 20)
    stack.docker("kill", *stack.containers("api"))
    stack.up("--no-recreate", "--scale", "worker-orders=3", "--scale", "worker-reports=2")
    load.more(50, 10, 30, 10)

    ends = load.ends()
    print(f"compose: submitted={len(load.wanted)} running at the kill={busy} ends={dict(ends)}", flush=True)
    assert ends == {"succeeded": len(load.wanted)}
    [api] = stack.containers("api")
    sound = stack.docker("exec", api, "alsek", "fsck", check=False)
    assert sound.returncode == 0, sound.stdout
    assert [queue["dead"] for queue in _queues(stack).values()] == [0] * len(_queues(stack))


def test_a_stop_waits_for_what_runs(stack: Stack) -> None:
    uuids = stack.batch([{"task": "sleep", "queue": "reports", "args": [4.0]} for _ in range(4)])

    def state(uuid: str) -> str:
        return str(stack.http.get(f"/v1/messages/{uuid}").json()["state"])

    eventually(lambda: all(state(uuid) == "running" for uuid in uuids), 60, what="they run", interval=0.1)

    workers = stack.containers("worker-reports")
    stack.compose("stop", "worker-reports")

    assert {stack.facts(one)["State"]["ExitCode"] for one in workers} == {0}
    assert [stack.result(uuid, 60)["state"] for uuid in uuids] == ["succeeded"] * 4
    stack.up("--no-recreate")


def test_fires_go_on_when_the_leader_is_killed(stack: Stack) -> None:
    made = stack.http.post(
        "/v1/schedules",
        json={
            "id": "pulse", "task": "notify", "queue": "mail", "args": ["a", "b"],
            "trigger": {"kind": "interval", "every_ms": 1_000},
        },
    )  # fmt: skip
    assert made.status_code == 201, made.text
    eventually(lambda: _fired(stack) >= 2, 60, what="it is fired", interval=0.2)
    leader = stack.http.get("/v1/schedulers").json()["leader"]
    [container] = [one for one in stack.containers("scheduler") if one in leader["identity"]]

    stack.docker("kill", container)
    before = _fired(stack)

    eventually(lambda: _fired(stack) >= before + 3, 90, what="another fires", interval=0.2)
    assert stack.http.get("/v1/schedulers").json()["leader"]["epoch"] > leader["epoch"]
    stack.http.delete("/v1/schedules/pulse")
    stack.up("--no-recreate")


def test_prometheus_scrapes_every_service_and_loads_every_rule(stack: Stack) -> None:
    configured = stack.compose("--profile", "monitoring", "config")
    assert "grafana:" in configured.stdout
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not here (Debian: apt install prometheus)")
    image = standins.ensure_prometheus()

    stack.compose("--profile", "monitoring", "up", "--detach", "--no-recreate", "prometheus", PROMETHEUS_IMAGE=image)

    [prometheus] = stack.containers("prometheus")
    jobs = {"alsek-worker", "alsek-scheduler", "alsek-api", "prometheus"}
    eventually(
        lambda: {job for job, value in _asked(stack, prometheus, "up") if value == "1"} >= jobs,
        120, what=lambda: f"all jobs are up: {_asked(stack, prometheus, 'up')}", interval=1,
    )  # fmt: skip
    eventually(lambda: _asked(stack, prometheus, "alsek_queue_messages"), 60, what="queues are seen", interval=1)
    said = stack.docker("exec", prometheus, "promtool", "check", "config", "/etc/prometheus/prometheus.yml").stdout
    assert "SUCCESS" in said


def _queues(stack: Stack) -> dict[str, Any]:
    return {queue["name"]: queue for queue in stack.http.get("/v1/queues").json()["queues"]}


def _running(stack: Stack, queue: str) -> int:
    running: int = _queues(stack)[queue]["running"]
    return running


def _fired(stack: Stack) -> int:
    fired: int = stack.http.get("/v1/schedules/pulse").json()["fired"]
    return fired


def _asked(stack: Stack, prometheus: str, query: str) -> list[tuple[str, str]]:
    said = stack.docker(
        "exec", prometheus, "promtool", "query", "instant", "-o", "json", "http://localhost:9090", query, check=False
    )
    if said.returncode:
        return []
    return [(one["metric"]["job"], one["value"][1]) for one in json.loads(said.stdout)]
