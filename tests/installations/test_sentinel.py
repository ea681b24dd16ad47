"""Three Sentinels, a primary and a replica: everything finds the primary, and finds it again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import redis.sentinel

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.exceptions import BackendAuthenticationError, BackendUnavailableError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.tools.inspector import Inspector
from harness.seeds import chaos_size
from harness.sentinel import Sentinels
from harness.server import free_port
from installations.stage import Producer, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.journal import Journal
    from harness.processes import Processes


@pytest.fixture(scope="module")
def installation() -> Iterator[Sentinels]:
    """Guarded by passwords of their own, servers and Sentinels."""
    with Sentinels(password="of-servers", sentinel_password="of-sentinels") as installation:
        yield installation


@pytest.mark.timeout(400)
def test_a_primary_that_dies_while_messages_run_loses_nothing(
    installation: Sentinels, processes: Processes, journal: Journal
) -> None:
    stage = Stage(installation.url, 1, processes, journal)
    pool = stage.pool("worker", "--lease", "10")
    asynchronous = AsyncRedisBackend(installation.url)
    heard = stage.broker.redis.sub("channel")
    client = redis.sentinel.Sentinel(
        [("127.0.0.1", sentinel.port) for sentinel in installation.sentinels],
        sentinel_kwargs={"password": "of-sentinels"},
    ).master_for(installation.name, password="of-servers")
    own = RedisBackend(client)
    own.set("name", "value")

    with Producer(stage) as producer:
        producer.more(100)
        killed_at = time.monotonic_ns()
        installation.fail_over()
        named = time.monotonic()
        producer.more(50)
        healed = time.monotonic() - named

    stage.drained()
    verdict = stage.verdict(max_duplicates=None, kills=[killed_at])

    print(f"H1 killed primary: {verdict} refused={producer.refused} healed={healed:.2f}s", flush=True)
    assert verdict.duplicated <= 5
    assert own.get("name") == "value"
    assert asyncio.run(_read(asynchronous)) == "value"
    assert own.same_store(stage.broker.redis)
    heard.close()
    assert pool.terminate() == 0
    assert "of-servers" not in stage.logs()
    assert "of-sentinels" not in stage.logs()
    stage.close()


def test_a_description_travels_and_leads_to_the_primary(installation: Sentinels) -> None:
    backend = RedisBackend(installation.url, namespace="travels")

    twin = RedisBackend.decode(backend.encode())
    Broker(twin).submit(Message("t", queue="q"))

    assert [queue.ready for queue in Inspector(Broker(backend)).queues()] == [1]
    assert twin.same_store(backend)


def test_a_name_that_no_sentinel_knows_is_unavailable(installation: Sentinels) -> None:
    backend = RedisBackend(installation.url.replace("/tasks", "/nobody"))

    with pytest.raises(BackendUnavailableError, match="nobody"):
        backend.queue_names()


def test_a_wrong_password_is_told_at_once(installation: Sentinels) -> None:
    backend = RedisBackend(installation.url.replace("of-servers", "wrong"))

    with pytest.raises(BackendAuthenticationError) as told:
        backend.queue_names()
    assert "wrong" not in str(told.value)


def test_sentinels_that_are_away_are_unavailable() -> None:
    backend = RedisBackend(f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/tasks")

    with pytest.raises(BackendUnavailableError, match="did not answer"):
        backend.queue_names()


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("how", ["kill", "switch", "pause"])
def test_fail_overs_again_and_again_lose_nothing(processes: Processes, journal: Journal, how: str) -> None:
    rounds = chaos_size(2, 30)
    kills: list[int] = []
    with Sentinels(replicas=2, careful=True) as installation:
        stage = Stage(installation.url, 1, processes, journal)
        pool = stage.pool("worker", "--lease", "10")
        with Producer(stage) as producer:
            for _ in range(rounds):
                producer.more(150)
                former = installation.primary
                kills.append(time.monotonic_ns())
                if how == "kill":
                    installation.fail_over()
                    former.start()
                elif how == "switch":
                    installation.switch()
                else:
                    former.pause()
                    installation.wait_for_another(former)
                    kills[-1] = time.monotonic_ns()
                    former.resume()
                installation.wait_in_step()
            producer.more(100)

        stage.drained(120)
        # A frozen primary that comes back takes writes until it is found out: see docs/guides/operations.md.
        verdict = stage.verdict(max_duplicates=None, kills=kills, unheard_ms=4_000 if how == "pause" else 100)

        print(f"H1 {how}: {verdict} rounds={rounds} refused={producer.refused}", flush=True)
        assert pool.terminate() == 0
        stage.close()


async def _read(backend: AsyncRedisBackend) -> str:
    value: str = await backend.get("name")
    await backend.close()
    return value
