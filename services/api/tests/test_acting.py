"""Act on messages, queues and schedules, and look at what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.eventually import eventually

if TYPE_CHECKING:
    import httpx
    from api_stage import Stage

TRIGGER = {"kind": "cron", "expression": "0 3 * * *", "timezone": "Europe/Vienna"}


@pytest.fixture
def client(shared: Stage) -> httpx.Client:
    return shared.client(shared.running, shared.key("admin"))


def enqueue(client: httpx.Client, task: str = "add", queue: str = "idle", **fields: Any) -> str:
    return str(client.post("/v1/messages", json={"task": task, "queue": queue, **fields}).json()["uuid"])


def state(client: httpx.Client, uuid: str) -> str:
    return str(client.get(f"/v1/messages/{uuid}").json()["state"])


def test_a_waiting_message_is_revoked_replayed_and_purged(client: httpx.Client) -> None:
    uuid = enqueue(client)

    assert client.post(f"/v1/messages/{uuid}/revoke").json()["was"]["state"] == "ready"
    assert state(client, uuid) == "dead"
    assert client.get(f"/v1/messages/{uuid}/result").json()["state"] == "revoked"
    assert client.post(f"/v1/messages/{uuid}/revoke").status_code == 409
    assert client.post(f"/v1/messages/{uuid}/replay").status_code == 200
    assert state(client, uuid) == "ready"
    assert client.post(f"/v1/messages/{uuid}/purge").status_code == 409
    client.post(f"/v1/messages/{uuid}/revoke")
    assert client.post(f"/v1/messages/{uuid}/purge").status_code == 200
    assert client.post(f"/v1/messages/{uuid}/purge").status_code in (404, 409)


def test_a_running_message_is_stopped(client: httpx.Client, working: Stage) -> None:
    uuid = enqueue(client, "nap", "slow", args=[60])
    eventually(lambda: state(client, uuid) == "running", 20, what="it runs")

    assert client.post(f"/v1/messages/{uuid}/revoke").status_code == 200
    answer = client.get(f"/v1/messages/{uuid}/result", params={"wait": 10}).json()
    assert answer["state"] == "revoked"


def test_many_are_revoked_each_with_an_outcome(client: httpx.Client) -> None:
    uuids = [enqueue(client) for _ in range(3)]

    answer = client.post("/v1/messages:revoke", json={"uuids": [*uuids, "nothing"]}).json()

    assert answer["revoked"] == 3
    assert [one["status"] for one in answer["outcomes"]] == [200, 200, 200, 404]


def test_a_message_is_moved_forward_and_run_now(client: httpx.Client) -> None:
    last = enqueue(client, priority=9)
    first = enqueue(client, priority=5)
    later = enqueue(client, delay_ms=3_600_000)

    assert client.post(f"/v1/messages/{last}/priority", json={"priority": 1}).json()["was"]["priority"] == 9
    assert client.post(f"/v1/messages/{later}/run-now").status_code == 200
    assert client.post(f"/v1/messages/{first}/run-now").status_code == 409

    listed = client.get("/v1/messages", params={"queue": "idle"}).json()["messages"]
    assert [one["uuid"] for one in listed] == [later, last, first]


def test_dead_letters_are_replayed_and_purged_by_filter(client: httpx.Client) -> None:
    for task in ("add", "add", "nap"):
        client.post(f"/v1/messages/{enqueue(client, task)}/revoke")
    path = "/v1/queues/idle/dead-letters"

    assert client.post(f"{path}:replay", json={"reason": "crash_loop"}).json() == {"count": 0, "complete": True}
    assert client.post(f"{path}:replay", json={"task": "add", "limit": 1}).json() == {"count": 1, "complete": False}
    assert client.post(f"{path}:purge", json={"task": "nap"}).json() == {"count": 1, "complete": True}
    assert client.post(f"{path}:replay", json={}).json()["count"] == 1
    counts = client.get("/v1/queues/idle").json()
    assert (counts["ready"], counts["dead"]) == (2, 0)
    assert client.post("/v1/queues/nothing/dead-letters:replay", json={}).status_code == 404


def test_a_queue_is_paused_and_resumed(client: httpx.Client) -> None:
    enqueue(client)

    assert client.post("/v1/queues/idle/pause", json={"reason": "because"}).json()["reason"] == "because"
    assert client.post("/v1/queues/idle/pause", json={"reason": "again"}).status_code == 409
    assert client.get("/v1/queues/idle").json()["paused"]["reason"] == "because"
    assert client.post("/v1/queues/idle/resume").json()["reason"] == "because"
    assert client.post("/v1/queues/idle/resume").status_code == 409
    assert client.post("/v1/queues/nothing/pause", json={"reason": "x"}).status_code == 404


def test_every_change_leaves_a_line_in_the_audit_log(client: httpx.Client, shared: Stage) -> None:
    uuid = enqueue(client)
    client.post(f"/v1/messages/{uuid}/revoke", headers={"X-Request-ID": "audit-me"})

    (line,) = shared.running.lines("change.asked", "audit-me")
    assert line["request_id"] == "audit-me"
    assert line["action"] == "POST /v1/messages/{uuid}/revoke"
    assert (line["uuid"], line["status"], line["key_name"]) == (uuid, 200, "test")


def test_a_schedule_is_made_read_changed_and_deleted(client: httpx.Client) -> None:
    made = client.post("/v1/schedules", json={"id": "nightly", "task": "add", "queue": "idle", "trigger": TRIGGER})
    assert made.status_code == 201
    path, tag = made.headers["location"], made.headers["etag"]
    assert client.post("/v1/schedules", json={"id": "nightly", "task": "t", "trigger": TRIGGER}).status_code == 409

    read = client.get(path)
    assert read.headers["etag"] == tag
    assert read.json()["trigger"] == TRIGGER
    assert read.json()["next_fire"].endswith(("+01:00", "+02:00"))

    assert client.patch(path, json={"args": [1]}).status_code == 428
    changed = client.patch(path, json={"args": [1]}, headers={"If-Match": tag})
    assert changed.json()["args"] == [1]
    assert client.patch(path, json={"args": [2]}, headers={"If-Match": tag}).status_code == 412
    assert client.delete(path, headers={"If-Match": tag}).status_code == 412
    assert client.delete(path, headers={"If-Match": changed.headers["etag"]}).status_code == 204
    assert client.get(path).status_code == 404


def test_a_schedule_is_paused_resumed_fired_and_previewed(client: httpx.Client) -> None:
    client.post("/v1/schedules", json={"id": "s", "task": "add", "queue": "idle", "args": [7], "trigger": TRIGGER})

    assert client.post("/v1/schedules/s/pause").json()["state"] == "paused"
    fired = client.post("/v1/schedules/s/fire")
    assert fired.status_code == 202
    assert client.get(fired.json()["status_url"]).json()["args"] == [7]
    assert client.post("/v1/schedules/s/resume").json()["state"] == "active"
    assert len(client.get("/v1/schedules/s/preview", params={"count": 3}).json()["fires"]) == 3
    tried = client.post("/v1/schedules:preview", json={"trigger": {"kind": "interval", "every_ms": 1_000}, "count": 2})
    assert len(tried.json()["fires"]) == 2
    assert [one["id"] for one in client.get("/v1/schedules").json()["schedules"]] == ["s"]
    assert client.get("/v1/schedulers").json()["schedules"]["active"] == 1


def test_the_result_of_a_fired_message_is_there_after_its_end(client: httpx.Client, working: Stage) -> None:
    made = {"id": "later", "task": "add", "queue": "math", "args": [3, 4], "trigger": TRIGGER}
    assert client.post("/v1/schedules", json=made).status_code == 201

    for _ in range(2):
        path = client.post("/v1/schedules/later/fire").json()["status_url"]
        eventually(lambda path=path: client.get(path).json()["state"] == "succeeded", timeout=30)

        assert client.get(f"{path}/result").json()["result"] == 7


@pytest.mark.parametrize(
    "trigger",
    [
        {"kind": "cron", "expression": "61 * * * *"},
        {"kind": "cron", "expression": "* * * * *", "timezone": "Nowhere/Land"},
        {"kind": "cron", "expression": "0 0 30 2 *"},
        {"kind": "interval", "every_ms": 0},
        {"kind": "date", "run_date": "yesterday"},
        {"kind": "date", "run_date": "2001-01-01T00:00:00"},
        {"kind": "foreign", "class": "os.system", "text": ""},
        {"kind": "interval", "every_ms": 1_000, "start": "2030-01-02", "end": "2030-01-01"},
    ],
)
def test_an_impossible_trigger_is_refused_with_the_reason(client: httpx.Client, trigger: dict[str, Any]) -> None:
    response = client.post("/v1/schedules", json={"id": "s", "task": "add", "trigger": trigger})

    assert response.status_code == 422
    assert len(response.json()["detail"]) > 10


def test_tasks_and_workers_are_shown_and_arguments_checked(client: httpx.Client, working: Stage) -> None:
    working.work(anew=True)
    eventually(lambda: client.get("/v1/workers").json()["workers"], 20, what="the worker shows")

    tasks = {one["name"]: one for one in client.get("/v1/tasks").json()["tasks"]}
    assert tasks["add"]["parameters"]["required"] == ["a"]
    assert client.get("/v1/tasks/add").json() == tasks["add"]
    assert client.get("/v1/tasks/ad").status_code == 404
    (worker,) = client.get("/v1/workers").json()["workers"]
    assert set(worker["queues"]) == {"math", "slow"}

    def warnings(**fields: Any) -> list[str]:
        return list(client.post("/v1/messages", json={"task": "add", **fields}).json()["warnings"])

    eventually(lambda: warnings(kwargs={"a": "x"}), 20, what="the service knows the tasks")
    assert "a:" in warnings(kwargs={"a": "x"})[0]
    assert "'a'" in warnings()[0]
    assert "positional" in warnings(args=[1, 2, 3])[0]
    assert warnings(args=[1], kwargs={"b": 2}) == []


def test_wrong_arguments_are_refused_where_that_is_asked_for(stage: Stage) -> None:
    stage.worker()
    client = stage.client(stage.serve("--check-arguments", "enforce"))

    def ask(task: str, *args: Any) -> httpx.Response:
        return client.post("/v1/messages", json={"task": task, "args": list(args)})

    eventually(lambda: ask("add", "x").status_code == 422, 20, what="it is refused")
    refused = ask("add", "x").json()
    assert refused["errors"][0]["pointer"] == "/arguments/a"
    assert ask("unknown").status_code == 422
    accepted = ask("add", 1)
    assert accepted.status_code == 202
    assert accepted.json()["queue"] == "math"  # the task's own


def test_scaling_counts_what_runs_and_what_waits(client: httpx.Client) -> None:
    for _ in range(20):
        enqueue(client)

    advice = client.get("/v1/scaling/idle", params={"most": 2}).json()

    assert advice["backlog"] == 20
    assert advice["desired_replicas"] == 2
    assert client.get("/v1/scaling/empty").json()["desired_replicas"] == 0


def test_metrics_tell_of_queues_and_requests_with_bounded_labels(client: httpx.Client) -> None:
    enqueue(client)
    for n in range(200):
        client.get(f"/v1/queues/name{n}")
        client.get(f"/nothing/{n}")

    eventually(
        lambda: 'alsek_queue_messages{queue="idle",state="ready"} 1.0' in client.get("/metrics").text, 15, what="it"
    )
    text = client.get("/metrics").text
    assert 'route="/v1/queues/{queue}"' in text
    assert 'route="other"' in text
    assert "name17" not in text
    assert "alsek_build_info" in text
