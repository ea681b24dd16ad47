"""Redis away, the service killed, ended while clients listen: nothing is lost, nobody is left behind."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx

from harness.eventually import eventually

if TYPE_CHECKING:
    from api_stage import Stage

ASKED = {"task": "t", "queue": "q"}


def test_redis_away_is_a_503_and_heals_by_itself(stage: Stage) -> None:
    client = stage.client(stage.serve("--insecure-no-auth"))
    assert client.post("/v1/messages", json=ASKED).status_code == 202
    stage.server.stop()

    for method, path, body in [
        ("POST", "/v1/messages", ASKED), ("POST", "/v1/messages:batch", {"messages": [ASKED]}),
        ("GET", "/v1/queues", None), ("GET", "/v1/messages/x", None), ("GET", "/v1/messages/x/events", None),
        ("GET", "/v1/schedules", None), ("POST", "/v1/queues/q/pause", {"reason": "x"}),
    ]:  # fmt: skip
        response = client.request(method, path, json=body)
        assert response.status_code == 503, path
        assert int(response.headers["retry-after"]) >= 1
        assert response.headers["content-type"] == "application/problem+json"
    assert client.get("/livez").status_code == 200
    assert client.get("/metrics").status_code == 200

    stage.server.start()

    eventually(lambda: client.get("/readyz").status_code == 200, 20, what="it is ready again")
    assert client.post("/v1/messages", json=ASKED).status_code == 202


def test_without_redis_nobody_is_let_in(stage: Stage) -> None:
    running = stage.serve()
    client = stage.client(running, stage.key("admin"))
    assert client.get("/v1/queues").status_code == 200
    stage.server.stop()

    eventually(lambda: client.get("/v1/openapi.json").status_code == 503, 15, what="the key is not known any more")
    assert stage.client(running).get("/v1/openapi.json").status_code == 503


def test_a_full_redis_refuses_and_says_so(stage: Stage) -> None:
    client = stage.client(stage.serve())
    assert client.post("/v1/messages", json=ASKED).status_code == 202

    with stage.server.configured({"maxmemory": 1}):
        refused = client.post("/v1/messages", json=ASKED)

    assert refused.status_code == 503
    assert refused.json()["outcome"] == "refused"
    assert client.post("/v1/messages", json=ASKED).status_code == 202


def test_a_service_killed_in_the_middle_stores_each_request_once(stage: Stage) -> None:
    running = stage.serve()
    accepted: dict[str, str] = {}

    def ask() -> None:
        with httpx.Client(base_url=running.url, timeout=10) as client:
            for n in range(10_000):
                key = f"{threading.get_ident()}-{n}"
                accepted[key] = ""
                try:
                    response = client.post("/v1/messages", json=ASKED, headers={"Idempotency-Key": key})
                except httpx.HTTPError:
                    return
                accepted[key] = response.json()["uuid"]

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: sum(map(bool, tuple(accepted.values()))) >= 100, 30, what="it serves")
    running.process.kill()
    for thread in threads:
        thread.join()
    again = stage.client(stage.serve())

    for key, uuid in accepted.items():
        repeated = again.post("/v1/messages", json=ASKED, headers={"Idempotency-Key": key}).json()["uuid"]
        assert uuid in ("", repeated)
    assert stage.broker.redis.conn.zcard(stage.broker.keys.ready("q", 0)) == len(accepted)


def test_the_end_of_the_service_ends_streams_and_long_polls(stage: Stage) -> None:
    running = stage.serve("--drain-timeout", "20")
    client = stage.client(running)
    uuid = client.post("/v1/messages", json=ASKED).json()["uuid"]
    ended: list[Any] = []

    def listen() -> None:
        with httpx.stream("GET", f"{running.url}/v1/messages/{uuid}/events", timeout=60) as stream:
            for _ in stream.iter_lines():
                ready.set()
        ended.append("stream")

    def poll() -> None:
        ended.append(httpx.get(f"{running.url}/v1/messages/{uuid}/result?wait=60", timeout=90).status_code)

    ready = threading.Event()
    threads = [threading.Thread(target=one) for one in (listen, poll)]
    for thread in threads:
        thread.start()
    assert ready.wait(20)
    eventually(lambda: "alsek_http_streams 2.0" in client.get("/metrics").text, 20, what="both are there")

    began = time.monotonic()
    assert running.process.terminate() == 0

    for thread in threads:
        thread.join(20)
    assert sorted(map(str, ended)) == ["202", "stream"]
    assert time.monotonic() - began < 20


def test_streams_are_capped_and_their_slots_come_back(stage: Stage) -> None:
    running = stage.serve()
    admin = stage.client(running, stage.key("admin"))
    uuid = admin.post("/v1/messages", json=ASKED).json()["uuid"]
    path = f"/v1/messages/{uuid}/events"
    token = stage.key("read", streams=2)
    client = stage.client(running, token)

    with client.stream("GET", path) as first, client.stream("GET", path) as second:
        assert (first.status_code, second.status_code) == (200, 200)
        third = client.get(path)
        assert third.status_code == 429
        assert third.headers["retry-after"]
        assert client.get(f"/v1/messages/{uuid}/result", params={"wait": 5}).status_code == 429

    eventually(lambda: "alsek_http_streams 0.0" in admin.get("/metrics").text, 20, what="the slots are free")
    with client.stream("GET", path) as again:
        assert again.status_code == 200


def test_streams_and_long_polls_go_on_when_redis_is_back(stage: Stage) -> None:
    running = stage.serve()
    client = stage.client(running)
    uuid = client.post("/v1/messages", json=ASKED).json()["uuid"]
    polled: list[httpx.Response] = []

    def poll() -> None:
        polled.append(httpx.get(f"{running.url}/v1/messages/{uuid}/result?wait=60", timeout=90))

    thread = threading.Thread(target=poll)
    thread.start()
    with httpx.stream("GET", f"{running.url}/v1/messages/{uuid}/events", timeout=60) as stream:
        told = (line for line in stream.iter_lines() if line.startswith("data"))
        assert '"ready"' in next(told)
        eventually(lambda: "alsek_http_streams 2.0" in client.get("/metrics").text, 20, what="both are there")
        stage.server.restart()
        eventually(lambda: revoke(client, uuid), 20, what="it is revoked")
        rest = list(told)
    thread.join(60)

    assert len(rest) == 1
    assert '"revoked"' in rest[0]
    assert (polled[0].status_code, polled[0].json()["state"]) == (200, "revoked")


def test_a_stream_of_what_redis_forgot_ends_in_order(stage: Stage) -> None:
    running = stage.serve()
    client = stage.client(running)
    uuid = client.post("/v1/messages", json=ASKED).json()["uuid"]
    path = f"{running.url}/v1/messages/{uuid}/events"

    with httpx.stream("GET", path, timeout=60) as stream:
        told = (line for line in stream.iter_lines() if line.startswith("data"))
        assert '"ready"' in next(told)
        stage.server.client().flushall()
        stage.server.restart()

        assert list(told) == []

    eventually(lambda: client.get(path).status_code == 404, 20, what="who comes back is told that it is gone")


def revoke(client: httpx.Client, uuid: str) -> bool:
    return client.post(f"/v1/messages/{uuid}/revoke").status_code in (200, 409)
