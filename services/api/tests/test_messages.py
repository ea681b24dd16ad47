"""Enqueue, follow, read: against a running service with a real worker."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from harness.eventually import eventually

if TYPE_CHECKING:
    import httpx
    from api_stage import Stage


@pytest.fixture
def client(shared: Stage) -> httpx.Client:
    return shared.client(shared.running, shared.key("read", "enqueue", "operate"))


def enqueue(client: httpx.Client, task: str, *args: Any, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/messages", json={"task": task, "args": list(args), "queue": "math", **fields})
    assert response.status_code == 202, response.text
    assert response.headers["location"] == response.json()["status_url"]
    return dict(response.json())


def result(client: httpx.Client, uuid: str) -> httpx.Response:
    return client.get(f"/v1/messages/{uuid}/result", params={"wait": 30})


def events(client: httpx.Client, uuid: str, **headers: str) -> list[dict[str, Any]]:
    """All events until the stream ends."""
    found = []
    with client.stream("GET", f"/v1/messages/{uuid}/events", headers=headers) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"] == "text/event-stream"
        event: dict[str, Any] = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name in ("id", "data"):
                event[name] = value
            elif not line and "data" in event:
                found.append(json.loads(event["data"]) | {"id": event["id"]})
                event = {}
    return found


def test_a_message_is_enqueued_run_and_its_result_waited_for(client: httpx.Client, working: Stage) -> None:
    accepted = enqueue(client, "add", 1, 2)

    response = result(client, accepted["uuid"])

    assert response.status_code == 200
    assert response.json()["result"] == 3
    assert response.json()["state"] == "succeeded"
    assert client.get(accepted["status_url"]).json()["state"] == "succeeded"


def test_the_result_stays_for_whoever_asks_again(client: httpx.Client, working: Stage) -> None:
    uuid = enqueue(client, "add", 1, 2)["uuid"]

    assert [result(client, uuid).json()["result"] for _ in range(2)] == [3, 3]


def test_callbacks_run_one_after_the_other(client: httpx.Client, working: Stage) -> None:
    accepted = enqueue(client, "add", 1, 2, callbacks=[{"task": "double"}, {"task": "double"}])

    last = result(client, accepted["callbacks"][-1])

    assert last.json()["result"] == 12


def test_a_failure_is_told_with_its_traceback(client: httpx.Client, working: Stage) -> None:
    uuid = enqueue(client, "divide", 1, 0)["uuid"]

    answer = result(client, uuid).json()

    assert answer["state"] == "failed"
    assert answer["error"]["name"] == "ZeroDivisionError"
    view = client.get(f"/v1/messages/{uuid}").json()
    assert view["state"] == "dead"
    assert "division by zero" in view["error"]["traceback"]


def test_a_result_that_nobody_keeps_is_gone(client: httpx.Client, working: Stage) -> None:
    uuid = enqueue(client, "nothing")["uuid"]
    eventually(lambda: client.get(f"/v1/messages/{uuid}").json()["state"] == "succeeded", 15, what="it ends")

    assert client.get(f"/v1/messages/{uuid}/result").status_code == 410


def test_nobody_knows_a_message_that_never_was(client: httpx.Client) -> None:
    for path in ("", "/result", "/events", "/explain"):
        response = client.get(f"/v1/messages/01a20e33-0000-7000-8000-000000000000{path}")

        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


def test_a_waiting_message_is_no_result_yet_and_explained(client: httpx.Client) -> None:
    uuid = enqueue(client, "add", 1, delay_ms=3_600_000)["uuid"]

    assert client.get(f"/v1/messages/{uuid}/result").status_code == 202
    assert client.get(f"/v1/messages/{uuid}/result", params={"wait": 0.1}).status_code == 202
    assert "delayed" in client.get(f"/v1/messages/{uuid}/explain").json()["explanation"]
    assert client.get(f"/v1/messages/{uuid}").json()["state"] == "delayed"


def test_a_message_is_remembered_when_its_record_is_gone(client: httpx.Client, working: Stage) -> None:
    uuid = enqueue(client, "add", 1, 2)["uuid"]
    assert result(client, uuid).status_code == 200

    working.broker.redis.links.command("DEL", working.broker.keys.record(uuid))

    view = client.get(f"/v1/messages/{uuid}").json()
    assert (view["state"], view["task"], view["queue"]) == ("succeeded", "add", "math")
    assert client.get(f"/v1/messages/{uuid}/result").json()["result"] == 3


def test_events_tell_each_state_until_the_end(client: httpx.Client, working: Stage) -> None:
    uuid = enqueue(client, "nap", 0.3, queue="slow")["uuid"]

    told = events(client, uuid)

    assert told[-1]["state"] == "succeeded"
    states = [event["state"] for event in told]
    assert states == sorted(set(states), key=["ready", "running", "succeeded"].index)


def test_who_comes_back_hears_only_what_is_new(client: httpx.Client, working: Stage) -> None:
    uuid = enqueue(client, "add", 1)["uuid"]
    last = events(client, uuid)[-1]

    assert events(client, uuid, **{"Last-Event-ID": last["id"]}) == []
    assert [event["state"] for event in events(client, uuid, **{"Last-Event-ID": "ready-0"})] == ["succeeded"]


def test_a_repeated_request_is_answered_as_the_first_was(client: httpx.Client, shared: Stage) -> None:
    asked = {"task": "add", "args": [1, 2], "queue": "idle"}
    headers = {"Idempotency-Key": "order-1"}

    first = client.post("/v1/messages", json=asked, headers=headers)
    second = client.post("/v1/messages", json=asked, headers=headers)
    other = client.post("/v1/messages", json=asked | {"args": [3]}, headers=headers)

    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert other.status_code == 422
    assert shared.broker.redis.links.command("ZCARD", shared.broker.keys.ready("idle", 0)) == 1


def test_the_same_idempotency_key_of_another_api_key_is_another(client: httpx.Client, shared: Stage) -> None:
    other = shared.client(shared.running, shared.key("enqueue"))
    asked = {"task": "add", "queue": "idle"}

    uuids = {
        one.post("/v1/messages", json=asked, headers={"Idempotency-Key": "k"}).json()["uuid"] for one in (client, other)
    }

    assert len(uuids) == 2


def test_many_repeats_at_once_store_one_message(shared: Stage) -> None:
    token = shared.key("enqueue")
    found: list[str] = []

    def ask() -> None:
        client = shared.client(shared.running, token)
        response = client.post(
            "/v1/messages", json={"task": "add", "queue": "idle"}, headers={"Idempotency-Key": "once"}
        )
        found.append(response.json()["uuid"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_batch_has_an_outcome_for_each(client: httpx.Client, working: Stage) -> None:
    good = [{"task": "add", "args": [n, 1], "queue": "math"} for n in range(300)]
    asked = [*good, {"task": "add", "priority": -1}, {"task": "no name"}, 7]

    answer = client.post("/v1/messages:batch", json={"messages": asked}).json()

    assert (answer["accepted"], answer["rejected"]) == (300, 3)
    assert [outcome["status"] for outcome in answer["outcomes"][300:]] == [422, 422, 422]
    assert "/priority" in answer["outcomes"][300]["problem"]["detail"]
    assert result(client, answer["outcomes"][299]["uuid"]).json()["result"] == 300


#: What a message may say besides its task and queue, and what it may not.
KINDS: list[dict[str, Any]] = [
    {}, {"args": [], "kwargs": {}}, {"args": [1, 2]}, {"kwargs": {"a": 1}}, {"args": [{"a": [1.5, "é", None]}]},
    {"args": [[]], "kwargs": {"b": {}}}, {"args": [10**30]}, {"args": ["x" * 1_100_000]}, {"args": "ab"},
    {"args": {}}, {"kwargs": []}, {"kwargs": None}, {"priority": 1}, {"priority": True}, {"priority": 1.0},
    {"priority": "1"}, {"priority": -1}, {"ttl_ms": None}, {"ttl_ms": 0}, {"ttl_ms": 5_000_000}, {"args": None},
    {"timeout_ms": 7}, {"result_ttl_ms": 9}, {"metadata": None}, {"metadata": {"a": 1}}, {"surprise": 1}, {"task": "?"},
    {"backoff": {"algorithm": "ConstantBackoff", "parameters": {"constant": 5}}}, {"delay_ms": 9, "run_at": "2030"},
    {"delay_ms": 4_000},
]  # fmt: skip


def test_messages_alike_are_stored_as_each_one_alone(client: httpx.Client, shared: Stage) -> None:
    def told(outcome: dict[str, Any]) -> Any:
        if outcome["status"] != 202:
            return re.sub(r"[0-9a-f-]{36}", "uuid", json.dumps(outcome))
        record = shared.broker.redis.record(outcome["uuid"])
        return {name: value for name, value in record.items() if name not in (b"x", b"e")}  # times

    def stored(*messages: dict[str, Any]) -> list[Any]:
        answer = client.post("/v1/messages:batch", json={"messages": messages})
        assert answer.status_code == 200, answer.text
        return [told(outcome) for outcome in answer.json()["outcomes"]]

    asked = [{"task": "add", "queue": "alike"} | kind for kind in KINDS]
    alone = [stored(message)[0] for message in asked]

    assert stored(*asked, *asked) == alone + alone
    assert sum(isinstance(one, dict) for one in alone) == 16


def test_ndjson_is_a_message_a_line(client: httpx.Client, working: Stage) -> None:
    body = '{"task": "add", "args": [1], "queue": "math"}\n\n{"task": \n{"task": "add", "args": [2], "queue": "math"}\n'

    response = client.post("/v1/messages:batch", content=body, headers={"Content-Type": "application/x-ndjson"})

    outcomes = response.json()["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == [202, 400, 202]
    assert result(client, outcomes[2]["uuid"]).json()["result"] == 2


def test_a_repeated_batch_stores_nothing_twice(client: httpx.Client, shared: Stage) -> None:
    asked = {"messages": [{"task": "add", "args": [n], "queue": "idle"} for n in range(600)] + [{"task": "?"}]}
    headers = {"Idempotency-Key": "batch-1"}

    first = client.post("/v1/messages:batch", json=asked, headers=headers)
    second = client.post("/v1/messages:batch", json=asked, headers=headers)
    other = client.post("/v1/messages:batch", json={"messages": [{"task": "add"}]}, headers=headers)

    assert first.json()["accepted"] == 600
    assert first.json() == second.json()
    assert other.status_code == 422
    assert shared.broker.redis.links.command("ZCARD", shared.broker.keys.ready("idle", 0)) == 600


def test_a_batch_that_ended_half_way_goes_on_where_it_was(client: httpx.Client, shared: Stage) -> None:
    asked = {"messages": [{"task": "add", "args": [n], "queue": "idle"} for n in range(500)]}
    headers = {"Idempotency-Key": "batch-2"}
    first = client.post("/v1/messages:batch", json=asked, headers=headers).json()
    # As if the service had died: the answer was not kept yet, and a part of the messages is not there.
    (name,) = shared.broker.redis.conn.keys("*idem:*")
    shared.broker.redis.conn.hdel(name, "answer", "busy")
    lost = [outcome["uuid"] for outcome in first["outcomes"][400:]]
    for uuid in lost:
        shared.broker.redis.conn.delete(shared.broker.keys.record(uuid))
        shared.broker.redis.conn.zrem(shared.broker.keys.ready("idle", 0), uuid)

    second = client.post("/v1/messages:batch", json=asked, headers=headers).json()

    assert second == first
    assert shared.broker.redis.conn.zcard(shared.broker.keys.ready("idle", 0)) == 500


def test_lists_page_through_a_queue(client: httpx.Client) -> None:
    uuids = [enqueue(client, "add", n, queue="listed")["uuid"] for n in range(5)]

    first = client.get("/v1/messages", params={"queue": "listed", "limit": 3}).json()
    rest = client.get("/v1/messages", params={"queue": "listed", "limit": 3, "cursor": first["cursor"]}).json()

    assert [one["uuid"] for one in first["messages"] + rest["messages"]] == uuids
    assert rest["cursor"] is None
