"""A service that cannot have its Redis says why in one line and ends, whichever service it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.processes import Processes, alsek
from harness.server import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS = """
from alsek import Broker, task
from alsek.storage.backends.redis import RedisBackend

@task(Broker(RedisBackend()))
def add(a, b): ...
"""

SERVICES = {
    "worker": ("worker", "my_tasks", "--metrics-port", "127.0.0.1:0"),
    "scheduler": ("scheduler", "--metrics-port", "127.0.0.1:0"),
    "api": ("api", "--port", "0"),
    "exporter": ("exporter", "--metrics-port", "127.0.0.1:0"),
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with Server(password="right", appendonly=False) as server:
        yield server


def last_words(processes: Processes, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """The one line of each service, all of which have to refuse; that its probes listen is none of it."""
    (folder / "my_tasks.py").write_text(TASKS)
    started = {
        name: processes.start(alsek(*words), name=name, env=environment, cwd=folder)
        for name, words in SERVICES.items()
    }  # fmt: skip
    codes = {name: one.wait(60) for name, one in started.items()}
    said = {
        name: "\n".join(line for line in one.log.splitlines() if "probes.listening" not in line)
        for name, one in started.items()
    }  # fmt: skip

    assert codes == dict.fromkeys(SERVICES, 2), said
    for name, text in said.items():
        assert text.startswith("alsek: "), (name, text)
        assert len(text.splitlines()) == 1, (name, text)
    return said


def test_a_redis_that_is_not_there_is_named(processes: Processes, tmp_path: Path) -> None:
    port = free_port()

    said = last_words(processes, tmp_path, {"ALSEK_REDIS_URL": f"redis://:secret@127.0.0.1:{port}/0"})

    assert all(f"127.0.0.1:{port}" in line and "refused" in line and "secret" not in line for line in said.values())


def test_a_wrong_password_is_told_and_not_shown(processes: Processes, tmp_path: Path, guarded: Server) -> None:
    (tmp_path / "password").write_text("n0t-it\n")
    environment = {
        "ALSEK_REDIS_URL": f"redis://127.0.0.1:{guarded.port}/0",
        "ALSEK_REDIS_PASSWORD_FILE": str(tmp_path / "password"),
    }

    said = last_words(processes, tmp_path, environment)

    assert all("refused the credentials" in line and "n0t-it" not in line for line in said.values())


def test_a_secret_that_was_not_mounted_is_named(processes: Processes, tmp_path: Path, guarded: Server) -> None:
    environment = {
        "ALSEK_REDIS_URL": f"redis://127.0.0.1:{guarded.port}/0",
        "ALSEK_REDIS_PASSWORD_FILE": str(tmp_path / "nowhere"),
    }

    said = last_words(processes, tmp_path, environment)

    assert all(f"the password file '{tmp_path / 'nowhere'}' cannot be read" in line for line in said.values())
