"""The stack of compose.yaml under a name of its own: everything that the tests do to it, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from compose.engine import compose_command
from harness.eventually import eventually
from harness.server import free_port

ROOT = Path(__file__).parents[2]

#: Longer than any single step takes, on a slow network.
_STEP_S = 900.0

#: Until all of it is healthy, on a machine that is busy with other things, seconds.
UP_S = 240.0


class Stack:
    """Containers, networks and volumes of one test.

    Args:
        folder: For secrets.
        bases: Variables of compose.yaml that name the base images.
    """

    def __init__(self, folder: Path, bases: dict[str, str]) -> None:
        self.project = f"alsek-test-{secrets.token_hex(3)}"
        self.secrets = folder / "secrets"
        # Instead of the .env of whoever works here.
        self._env_file = folder / "environment"
        self._env_file.touch()
        self.port = free_port()
        self._env = os.environ | bases | {
            "COMPOSE_PROJECT_NAME": self.project, "ALSEK_SECRETS": str(self.secrets), "ALSEK_API_PORT": str(self.port),
            "ALSEK_WORKER_IMAGE": "alsek-test-worker", "ALSEK_SCHEDULER_IMAGE": "alsek-test-scheduler",
            "ALSEK_API_IMAGE": "alsek-test-api", "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0",
        }  # fmt: skip
        subprocess.run(
            [sys.executable, ROOT / "scripts/make-secrets", self.secrets], check=True, stdout=subprocess.DEVNULL
        )
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=70,
            headers={"Authorization": f"Bearer {(self.secrets / 'api_key').read_text().strip()}"},
        )  # fmt: skip

    def compose(self, *words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Compose on the stack."""
        command = [
            *compose_command(), "--env-file", str(self._env_file), "--file", str(ROOT / "compose.yaml"),
            "--file", str(ROOT / "tests/compose/standins.yaml"), *words,
        ]  # fmt: skip
        return _run(command, self._env | environment, check=check)

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run docker."""
        return _run(["docker", *words], self._env, check=check)

    def up(self, *words: str) -> None:
        """Start what is not running, as `docker compose up -d` does, and wait until all that has a check is healthy."""
        self.compose("up", "--detach", *words)
        eventually(lambda: not self._ailing(), UP_S, what=lambda: f"all is healthy\n{self._ailing()}", interval=0.5)

    def containers(self, service: str) -> list[str]:
        """The running containers of a service."""
        filters = (f"label=com.docker.compose.project={self.project}", f"label=com.docker.compose.service={service}")
        return self.docker("ps", "--quiet", *(word for one in filters for word in ("--filter", one))).stdout.split()

    def facts(self, container: str) -> Any:
        """What docker knows of a container or an image."""
        return json.loads(self.docker("inspect", container).stdout)[0]

    def batch(self, messages: list[dict[str, Any]]) -> list[str]:
        """Submit messages over HTTP, each once however often it takes; gives their uuids."""
        key = {"Idempotency-Key": secrets.token_hex(8)}

        def sent() -> Any:
            with contextlib.suppress(httpx.TransportError):
                answer = self.http.post("/v1/messages:batch", json={"messages": messages}, headers=key)
                return answer.json() if answer.status_code == 200 else None

        outcome = eventually(sent, 120, what="the batch is accepted", interval=0.5)
        assert outcome["accepted"] == len(messages), outcome
        return [one["uuid"] for one in outcome["outcomes"]]

    def result(self, uuid: str, timeout: float) -> Any:
        """Wait for the end of a message; gives what the API tells of it."""

        def ended() -> Any:
            with contextlib.suppress(httpx.TransportError):
                answer = self.http.get(f"/v1/messages/{uuid}/result", params={"wait": 20})
                return answer.json() if answer.status_code == 200 else None

        return eventually(ended, timeout, what=lambda: f"{uuid} ends\n{self.logs()}", interval=0.2)

    def logs(self) -> str:
        """The ends of all logs."""
        return self.compose("logs", "--tail", "20", "--no-color", check=False).stdout[-6_000:]

    def close(self) -> None:
        """Remove containers, networks and volumes; the images stay, for the next time."""
        self.http.close()
        self.compose("--profile", "monitoring", "down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)

    def _ailing(self) -> list[str]:
        listed = self.docker(
            "ps", "--all", "--filter", f"label=com.docker.compose.project={self.project}",
            "--format", "{{.Names}} {{.Status}}",
        ).stdout.splitlines()  # fmt: skip
        return [
            line for line in listed if "(health: starting)" in line or "(unhealthy)" in line or "Restarting" in line
        ]


def _run(command: list[str], env: dict[str, str], *, check: bool) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=env, errors="replace", timeout=_STEP_S
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4_000:]}\n{done.stderr[-4_000:]}"
    return done
