"""Every route against every scope, made from the routes themselves: a new one cannot be forgotten."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from alsek_api.app import PUBLIC, api_routes, create_app
from alsek_api.auth.guard import SCOPE
from alsek_api.auth.keys import SCOPES
from alsek_api.document import describe
from alsek_api.settings import ApiSettings
from harness.eventually import eventually

if TYPE_CHECKING:
    import httpx
    from api_stage import Stage

UUID = "01a20e33-e5d4-7cda-aebb-441508951d5b"

OPERATIONS = sorted(
    (method, route.path, (route.openapi_extra or {}).get(SCOPE, ""))
    for route in api_routes()
    for method in route.methods
    if method != "HEAD"
)
GUARDED = [one for one in OPERATIONS if one[1] not in PUBLIC]


def ask(client: httpx.Client, method: str, path: str) -> httpx.Response:
    path = re.sub(r"\{uuid\}", UUID, path)
    path = re.sub(r"\{\w+\}", "some", path)
    with client.stream(method, path, headers={"Content-Type": "application/json"}) as response:
        response.read()
    return response


def test_every_route_says_what_it_asks_for() -> None:
    assert len(OPERATIONS) > 30
    assert [one for one in GUARDED if one[2] not in SCOPES] == []
    assert {path for _, path, _ in OPERATIONS} >= set(PUBLIC)


def test_the_description_says_the_same() -> None:
    paths: dict[str, Any] = describe(create_app(ApiSettings()))["paths"]
    for method, path, scope in GUARDED:
        if path in paths:
            assert paths[path][method.lower()]["security"] == [{"key": [scope]}]


def test_every_route_against_every_scope(shared: Stage) -> None:
    shared.key("admin")  # so that keys are needed
    clients = {scope: shared.client(shared.running, shared.key(scope)) for scope in SCOPES}

    wrong = []
    for method, path, needed in GUARDED:
        for scope, client in clients.items():
            status = ask(client, method, path).status_code
            admitted = scope in (needed, "admin")
            if status == 401 or (status == 403) is admitted or status >= 500:
                wrong.append(f"{method} {path} with {scope}: {status}")

    assert wrong == []


def test_every_route_refuses_who_has_no_key_or_a_wrong_one(shared: Stage) -> None:
    token = shared.key("admin")
    other = token[:-1] + ("A" if token[-1] != "A" else "B")

    for method, path, _ in GUARDED:
        for wrong in ("", other, "ak_000000000000_" + "x" * 43, "x"):
            response = ask(shared.client(shared.running, wrong), method, path)

            assert response.status_code == 401, (method, path, wrong)
            assert response.headers["content-type"] == "application/problem+json"


def test_probes_need_no_key(shared: Stage) -> None:
    shared.key("admin")

    for path in sorted(PUBLIC):
        assert shared.client(shared.running).get(path).status_code == 200


def test_a_key_in_the_address_is_no_key(shared: Stage) -> None:
    token = shared.key("admin")

    response = shared.client(shared.running).get("/v1/queues", params={"key": token, "access_token": token})

    assert response.status_code == 401


def test_a_limited_key_sees_its_queues_and_tasks_alone(shared: Stage) -> None:
    everything = shared.client(shared.running, shared.key("admin"))
    mine = {"task": "send_mail", "queue": "mail"}
    foreign = [{"task": "send_mail", "queue": "math"}, {"task": "add", "queue": "mail"}]
    own = everything.post("/v1/messages", json=mine).json()["uuid"]
    others = [everything.post("/v1/messages", json=one).json()["uuid"] for one in foreign]
    limited = shared.client(
        shared.running, shared.key("read", "enqueue", "operate", queues=["mail*"], tasks=["send_*"])
    )

    assert limited.get(f"/v1/messages/{own}").status_code == 200
    assert limited.post("/v1/messages", json=mine).status_code == 202
    for uuid in others:
        for path in ("", "/result", "/events", "/explain"):
            assert limited.get(f"/v1/messages/{uuid}{path}").status_code == 404
        for verb in ("revoke", "run-now", "replay", "purge"):
            assert limited.post(f"/v1/messages/{uuid}/{verb}").status_code == 404
        assert limited.post(f"/v1/messages/{uuid}/priority", json={"priority": 1}).status_code == 404
    for one in foreign:
        assert limited.post("/v1/messages", json=one).status_code == 403
        assert limited.post("/v1/messages", json=mine | {"callbacks": [one]}).status_code == 403
    batch = limited.post("/v1/messages:batch", json={"messages": [mine, *foreign]}).json()
    assert [outcome["status"] for outcome in batch["outcomes"]] == [202, 403, 403]
    revoked = limited.post("/v1/messages:revoke", json={"uuids": [own, *others]}).json()
    assert [outcome["status"] for outcome in revoked["outcomes"]] == [200, 404, 404]
    assert [queue["name"] for queue in limited.get("/v1/queues").json()["queues"]] == ["mail"]
    assert limited.get("/v1/queues/math").status_code == 404
    assert limited.get("/v1/messages", params={"queue": "math"}).status_code == 404
    listed = limited.get("/v1/messages", params={"queue": "mail"}).json()["messages"]
    assert {one["task"] for one in listed} == {"send_mail"}
    assert limited.post("/v1/queues/mail/pause", json={"reason": "x"}).status_code == 403
    assert limited.post("/v1/queues/mail/dead-letters:purge", json={}).status_code == 403
    assert limited.post("/v1/queues/math/dead-letters:purge", json={}).status_code == 404
    assert limited.get("/metrics").status_code == 403


def test_a_limited_key_makes_no_schedule_of_others(shared: Stage) -> None:
    limited = shared.client(shared.running, shared.key("read", "operate", queues=["mail"]))
    everything = shared.client(shared.running, shared.key("admin"))
    asked = {"id": "s", "task": "t", "queue": "math", "trigger": {"kind": "interval", "every_ms": 60_000}}

    assert limited.post("/v1/schedules", json=asked).status_code == 403
    assert limited.post("/v1/schedules", json={**asked, "queue": None}).status_code == 403
    assert everything.post("/v1/schedules", json=asked).status_code == 201
    assert limited.get("/v1/schedules/s").status_code == 404
    assert limited.post("/v1/schedules/s/fire").status_code == 404
    assert limited.get("/v1/schedules").json()["schedules"] == []


def test_an_expired_key_and_a_revoked_one_are_refused(stage: Stage, shared: Stage) -> None:
    token = shared.key("read", expires_in_ms=1)
    assert shared.client(shared.running, token).get("/v1/queues").status_code == 401
    good = shared.key("read")
    client = shared.client(shared.running, good)
    assert client.get("/v1/queues").status_code == 200

    shared.keys.revoke(good)

    eventually(lambda: client.get("/v1/queues").status_code == 401, 15, what="the key is refused")


def test_the_last_use_is_noted_and_no_secret_is_kept(shared: Stage) -> None:
    token = shared.key("read")
    assert shared.client(shared.running, token).get("/v1/queues").status_code == 200

    (found,) = [used for record, used in shared.keys.all() if record.id in token]

    assert found is not None
    secret = token[16:]
    conn = shared.broker.redis.conn
    for name in conn.keys("*"):
        kind = conn.type(name)
        stored = conn.hgetall(name) if kind == b"hash" else conn.get(name) if kind == b"string" else b""
        assert secret not in str(stored)


def test_a_rate_holds_and_says_when_to_come_back(shared: Stage) -> None:
    client = shared.client(shared.running, shared.key("read", rate=5))
    other = shared.client(shared.running, shared.key("read"))

    answers = [client.get("/v1/queues") for _ in range(25)]

    refused = [one for one in answers if one.status_code == 429]
    assert answers[0].status_code == 200
    assert answers[0].headers["ratelimit-policy"] == '"requests";q=5;w=1'
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].headers["ratelimit"].startswith('"requests";r=0')
    assert other.get("/v1/queues").status_code == 200


def test_a_quota_of_messages_holds(shared: Stage) -> None:
    client = shared.client(shared.running, shared.key("enqueue", quota=3))
    asked = {"task": "t", "queue": "q"}

    assert client.post("/v1/messages:batch", json={"messages": [asked] * 4}).status_code == 429
    assert client.post("/v1/messages:batch", json={"messages": [asked] * 2}).status_code == 200
    assert client.post("/v1/messages", json=asked).status_code == 202
    refused = client.post("/v1/messages", json=asked)
    assert refused.status_code == 429
    assert refused.headers["ratelimit-policy"] == '"messages";q=3;w=86400'
    assert shared.broker.redis.conn.zcard(shared.broker.keys.ready("q", 0)) == 3


def test_who_tries_many_keys_is_told_to_wait(stage: Stage) -> None:
    running = stage.serve()
    good = stage.key("read")
    wrong = stage.client(running, "ak_000000000000_" + "x" * 43)

    statuses = [wrong.get("/v1/queues").status_code for _ in range(80)]

    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert stage.client(running).get("/livez").status_code == 200
    assert good


def test_without_keys_a_foreign_name_is_refused(stage: Stage) -> None:
    client = stage.client(stage.serve())

    assert client.get("/v1/queues").status_code == 200
    assert client.get("/v1/queues", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/v1/queues", "/nowhere", "/livez", "/v1/messages/x/result"])
def test_every_answer_carries_the_security_headers(shared: Stage, path: str) -> None:
    response = shared.client(shared.running, shared.key("admin")).get(path)

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-request-id"]
    assert "server" not in response.headers
    assert "access-control-allow-origin" not in response.headers
