"""The clients, sync and for asyncio, against a running service with a real worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from alsek.exceptions import TaskFailedError
from alsek_api.client import ApiError, AsyncClient, Client

if TYPE_CHECKING:
    from api_stage import Stage


def test_a_program_enqueues_follows_and_reads(working: Stage) -> None:
    with Client(working.running.url, working.key("read", "enqueue")) as client:
        enqueued = client.enqueue("add", [1], {"b": 2}, queue="math")

        assert client.result(enqueued.uuid, wait_s=30) == 3
        assert [event["state"] for event in client.events(enqueued.uuid)][-1] == "succeeded"
        assert client.message(enqueued.uuid)["state"] == "succeeded"
        assert "math" in {queue["name"] for queue in client.queues()}


def test_many_at_once_and_one_twice(working: Stage) -> None:
    with Client(working.running.url, working.key("read", "enqueue")) as client:
        outcomes = client.enqueue_many(
            [{"task": "add", "args": [n], "queue": "math"} for n in range(3)] + [{"task": "?"}]
        )
        twice = {client.enqueue("add", [1], queue="idle", idempotency_key="k").uuid for _ in range(2)}

        assert [outcome.accepted for outcome in outcomes] == [True, True, True, False]
        assert client.result(outcomes[2].uuid or "", wait_s=30) == 2
        assert len(twice) == 1


def test_failures_are_errors_that_say_what_happened(working: Stage) -> None:
    with Client(working.running.url, working.key("read", "enqueue", "operate")) as client:
        failing = client.enqueue("divide", [1, 0], queue="math")
        waiting = client.enqueue("add", [1], queue="idle")

        with pytest.raises(TaskFailedError, match="ZeroDivisionError"):
            client.result(failing.uuid, wait_s=30)
        with pytest.raises(TimeoutError):
            client.result(waiting.uuid, wait_s=0.05)
        assert client.revoke(waiting.uuid)["state"] == "ready"
        with pytest.raises(ApiError) as refused:
            client.message("nothing")
        assert refused.value.status == 404
        with pytest.raises(ApiError, match="/priority"):
            client.enqueue("add", priority=-1)
    with Client(working.running.url, "wrong") as stranger, pytest.raises(ApiError):
        stranger.queues()
    with Client("http://127.0.0.1:1") as nobody, pytest.raises(ApiError, match="no answer"):
        nobody.queues()


def test_the_same_for_asyncio(working: Stage) -> None:
    async def main() -> None:
        async with AsyncClient(working.running.url, working.key("read", "enqueue", "operate")) as client:
            enqueued = await client.enqueue("add", [1, 2], queue="math")
            assert await client.result(enqueued.uuid, wait_s=30) == 3
            assert [event["state"] async for event in client.events(enqueued.uuid)][-1] == "succeeded"
            outcomes = await client.enqueue_many([{"task": "add", "args": [4], "queue": "math"}])
            assert await client.result(outcomes[0].uuid or "", wait_s=30) == 4
            assert (await client.message(enqueued.uuid))["task"] == "add"
            assert [queue["name"] for queue in await client.queues()] == ["math"]
            waiting = await client.enqueue("add", queue="idle")
            with pytest.raises(TimeoutError):
                await client.result(waiting.uuid)
            await client.revoke(waiting.uuid)
            with pytest.raises(ApiError):
                await client.message("nothing")

    asyncio.run(main())


def test_a_service_that_comes_back_is_waited_for(stage: Stage) -> None:
    with Client(stage.serve().url) as client:
        stage.server.stop()
        import threading

        back = threading.Timer(1.0, stage.server.start)
        back.start()

        assert client.enqueue("add", queue="idle").queue == "idle"
        back.join()
