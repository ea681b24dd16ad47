"""TLS that asks for a client certificate: before a plain server, and a server's own where this machine has one."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.task import task
from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.result import ResultStore
from alsek.tools.inspector import Inspector
from harness.tls import Certificates, Terminator, TlsServer, tls_binary
from installations.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from alsek.core.message import Message
    from harness.journal import Journal
    from harness.processes import Processes
    from harness.server import Server


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


@pytest.fixture(params=["terminator", "own"])
def port(request: pytest.FixtureRequest, server: Server, certificates: Certificates) -> Iterator[int]:
    """Where TLS is spoken."""
    with ExitStack() as stack:
        if request.param == "terminator":
            yield stack.enter_context(Terminator(server.port, certificates)).tls_port
            return
        binary = tls_binary()
        if binary is None:
            pytest.skip("no server with TLS here: redis-server of Debian, or ALSEK_TEST_TLS_SERVER")
        yield stack.enter_context(TlsServer(binary, certificates)).tls_port


def test_a_worker_and_its_callers_speak_tls(
    port: int, certificates: Certificates, processes: Processes, journal: Journal
) -> None:
    files = {
        "ALSEK_REDIS_CA_FILE": str(certificates.ca),
        "ALSEK_REDIS_CERT_FILE": str(certificates.cert),
        "ALSEK_REDIS_KEY_FILE": str(certificates.key),
    }
    url = f"rediss://localhost:{port}/0"
    stage = Stage(f"{url}?{certificates.query}", 1, processes, journal)
    worker = Stage(f"{url}?{certificates.query}", 1, processes, journal, ALSEK_REDIS_URL=url, **files)
    pool = worker.pool()
    store = ResultStore(stage.broker.backend)

    @task(stage.broker, name="add", queue="roam", result_store=store)
    def add(a: int, b: int) -> int:
        return a + b

    async def from_a_loop() -> Message:
        return await add.agenerate(kwargs={"a": 3, "b": 4})

    messages = [add.generate(kwargs={"a": i, "b": 1}) for i in range(20)]
    assert [store.get(message, timeout=60_000) for message in messages] == [i + 1 for i in range(20)]
    assert store.get(asyncio.run(from_a_loop()), timeout=60_000) == 7
    assert asyncio.run(_use(f"{url}?{certificates.query}")) == "value"
    assert pool.terminate() == 0
    stage.close()
    worker.close()


def test_without_a_certificate_nobody_gets_in(port: int, certificates: Certificates) -> None:
    backend = RedisBackend(f"rediss://localhost:{port}/0?ca_file={certificates.ca}")

    with pytest.raises(BackendUnavailableError, match="did not answer"):
        backend.queue_names()


def test_a_server_of_an_unknown_authority_is_not_trusted(port: int, certificates: Certificates) -> None:
    backend = RedisBackend(f"rediss://localhost:{port}/0")

    with pytest.raises(BackendUnavailableError, match="certificate verify failed"):
        backend.queue_names()


def test_the_host_has_to_be_that_of_the_certificate(port: int, certificates: Certificates) -> None:
    url = f"rediss://127.0.0.2:{port}/0?{certificates.query}"

    with pytest.raises(BackendUnavailableError):
        RedisBackend(url).queue_names()


def test_a_plain_client_is_told_that_nobody_answers(port: int) -> None:
    with pytest.raises(BackendUnavailableError):
        Inspector(Broker(RedisBackend(f"redis://localhost:{port}/0"))).queues()


async def _use(url: str) -> str:
    backend = AsyncRedisBackend(url)
    await backend.set("name", "value")
    value: str = await backend.get("name")
    await backend.close()
    return value
