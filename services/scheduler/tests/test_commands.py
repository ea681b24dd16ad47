"""`alsek scheduler` as a program: how it begins, what it refuses, how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alsek import Broker
from alsek.core.schedules import ScheduleStore
from alsek.storage.backends.redis import RedisBackend
from harness.eventually import eventually
from harness.processes import alsek
from harness.server import free_port

if TYPE_CHECKING:
    from harness.processes import Processes

ALSEK = str(Path(sys.executable).with_name("alsek"))
PATIENCE_S = 60.0

PACKAGE = """
from alsek import Broker, task
from alsek.core.triggers import IntervalTrigger
from alsek.storage.backends.redis import RedisBackend

broker = Broker(RedisBackend())

@task(broker, queue="q", trigger=IntervalTrigger(milliseconds=100))
def pulse() -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "heart.py").write_text(PACKAGE)
    (tmp_path / "heartless.py").write_text("")
    return tmp_path


def test_it_fires_the_triggers_of_a_package_and_ends_on_a_signal_with_code_0(
    folder: Path, redis_url: str, processes: Processes
) -> None:
    port = free_port()
    program = processes.start(
        alsek("scheduler", "heart", "--metrics-port", f"127.0.0.1:{port}"), env={"ALSEK_REDIS_URL": redis_url},
        cwd=folder,
    )  # fmt: skip
    program.wait_for_line("Scheduler online.", PATIENCE_S)
    store = ScheduleStore(Broker(RedisBackend(redis_url)))

    eventually(lambda: [one.fired for one in store if one.fired >= 3], PATIENCE_S, what=lambda: program.log)
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert "alsek_scheduler_is_leader 1.0" in metrics
    assert 'service="scheduler"' in metrics
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").status == 200
    program.signal(signal.SIGTERM)

    assert program.wait(PATIENCE_S) == 0
    assert "lead.handed_over" in program.log
    assert store.leader() is None


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["nowhere"], "there is no module 'nowhere'"),
        (["heartless"], "No tasks were found in 'heartless'"),
        (["--metrics-port", "http"], "expected PORT or HOST:PORT"),
        (["heart", "--leader-lease", "0.1"], "leader-lease"),
    ],
    ids=str,
)
def test_what_cannot_begin_says_so_in_one_line(folder: Path, redis_url: str, args: list[str], reason: str) -> None:
    done = subprocess.run(
        [ALSEK, "scheduler", *args], capture_output=True, text=True, check=False, cwd=folder,
        env={"ALSEK_REDIS_URL": redis_url, "PATH": "", "COLUMNS": "200"},
    )  # fmt: skip

    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_up_starts_a_scheduler_for_a_package_with_triggers(folder: Path, redis_url: str, processes: Processes) -> None:
    program = processes.start(alsek("up", "heart"), env={"ALSEK_REDIS_URL": redis_url}, cwd=folder)
    store = ScheduleStore(Broker(RedisBackend(redis_url)))

    program.wait_for_line("Scheduler online.", PATIENCE_S)
    program.wait_for_line("Successfully processed", PATIENCE_S)

    assert store.get("pulse").fired >= 1
    assert program.terminate(PATIENCE_S) == 0
