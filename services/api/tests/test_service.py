"""How the service begins, stands and ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.processes import alsek, python

if TYPE_CHECKING:
    from api_stage import Stage


def test_the_service_serves_this_machine_without_a_key_and_says_so(stage: Stage) -> None:
    running = stage.serve()

    response = stage.client(running).get("/v1/openapi.json")

    assert response.status_code == 200
    assert running.lines("api.open_on_loopback")
    assert running.process.terminate() == 0


def test_a_person_at_a_terminal_is_told_where_it_listens_whatever_is_logged(stage: Stage) -> None:
    ours, theirs = pty.openpty()
    command = alsek("api", "--port", "0", "--log-level", "ERROR")
    with subprocess.Popen(
        command, env=os.environ | {"ALSEK_REDIS_URL": stage.server.url}, stderr=theirs, stdout=theirs
    ) as service:
        os.close(theirs)
        told = b""
        while b"\n" not in told:
            told += os.read(ours, 4096)  # ends with an error when the service does
        service.terminate()
    os.close(ours)

    assert re.fullmatch(rb"Alsek listens on http://127\.0\.0\.1:\d+\r\n", told), told


TOLD_WHERE_EXCEPTIONS_VANISH = """
import os, signal, sys
from alsek.cli.cli import main

class Swallowing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

class Finder:
    def find_spec(self, name, *_):
        if name == "alsek_api.serve":
            Swallowing()

sys.meta_path.insert(0, Finder())
main(["api", "--port", "0"])
"""


def test_a_signal_ends_it_also_while_it_begins(stage: Stage) -> None:
    told = stage.processes.start(python("-c", TOLD_WHERE_EXCEPTIONS_VANISH), env={"ALSEK_REDIS_URL": stage.server.url})

    assert told.wait() == 0
    assert told.log == ""


def test_the_first_key_closes_the_service(stage: Stage) -> None:
    running = stage.serve()
    token = stage.key("read")

    assert stage.client(running).get("/v1/openapi.json").status_code == 401
    assert stage.client(running, token).get("/v1/openapi.json").status_code == 200


def test_a_service_for_others_does_not_start_without_a_key(stage: Stage) -> None:
    process = stage.processes.start(
        alsek("api", "--host", "0.0.0.0", "--port", "0"), env={"ALSEK_REDIS_URL": stage.server.url}
    )

    assert process.wait() == 2
    assert "there is no API key yet" in process.log
    assert "Traceback" not in process.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(stage: Stage, number: int) -> None:
    running = stage.serve()

    running.process.signal(number)

    assert running.process.wait() == 0


def test_a_taken_port_is_one_clear_line(stage: Stage) -> None:
    running = stage.serve()

    second = stage.processes.start(alsek("api", "--port", str(running.port)), env={"ALSEK_REDIS_URL": stage.server.url})

    assert second.wait() == 2
    assert "cannot listen" in second.log
    assert "Traceback" not in second.log


def test_probes_tell_life_from_readiness(stage: Stage) -> None:
    client = stage.client(stage.serve())
    assert client.get("/readyz").json() == {"status": "ok"}

    stage.server.kill()

    assert client.get("/livez").status_code == 200
    refused = client.get("/readyz")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert refused.headers["content-type"] == "application/problem+json"
