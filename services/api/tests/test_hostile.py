"""What nobody should send: it ends in a refusal that says so, and the service serves on."""

from __future__ import annotations

import json
import resource
import select
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from api_stage import Stage

NAMES = [
    "", " ", "a b", "a:b", "{a}", "a}", "*", "?", "[a]", "a\n", "a\x00b", "a\\b", "../../etc", "'; FLUSHALL; --",
    "<script>alert(1)</script>", "\u202e", "ü" * 3, "a" * 129, "-a", ".a", "%00", "a/b", "\r\nSET x 1\r\n", "a|b",
    "$(id)",
]  # fmt: skip

BODIES: dict[str, bytes] = {
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep argument": b'{"task":"t","args":[' + b"[" * 200 + b"]" * 200 + b"]}",
    "lone surrogate": b'{"task":"t","args":["\\ud800"]}',
    "NaN": b'{"task":"t","args":[NaN]}',
    "infinity": b'{"task":"t","args":[-Infinity]}',
    "huge float": b'{"task":"t","args":[1e400]}',
    "huge integer": b'{"task":"t","args":[' + b"1" * 5_000 + b"]}",
    "byte order mark": b"\xef\xbb\xbf" + b'{"task":"t"}',
    "invalid UTF-8": b'{"task":"t","args":["\xff\xfe"]}',
    "overlong UTF-8": b'{"task":"t","args":["\xc0\xaf"]}',
    "UTF-16": '{"task":"t"}'.encode("utf-16"),
    "raw NUL": b'{"task":"t","args":["\x00"]}',
    "raw newline": b'{"task":"t","args":["\n"]}',
    "trailing garbage": b'{"task":"t"} x',
    "two values": b'{"task":"t"}{"task":"t"}',
    "single quotes": b"{'task':'t'}",
    "comment": b'{"task":"t"/* */}',
    "trailing comma": b'{"task":"t",}',
    "unquoted": b"{task:1}",
    "hex": b'{"task":"t","priority":0x10}',
    "nothing": b"",
    "null": b"null",
    "number": b"1",
    "text": b'"t"',
    "list": b"[]",
    "empty": b"{}",
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
    "unknown field": b'{"task":"t","uuid":"mine"}',
    "boolean priority": b'{"task":"t","priority":true}',
    "text priority": b'{"task":"t","priority":"1"}',
    "float priority": b'{"task":"t","priority":1.5}',
    "negative delay": b'{"task":"t","delay_ms":-1}',
    "endless delay": b'{"task":"t","delay_ms":99999999999999999999}',
    "null arguments": b'{"task":"t","args":null}',
    "arguments as text": b'{"task":"t","args":"abc"}',
    "no offset": b'{"task":"t","run_at":"2030-01-01T00:00:00"}',
    "no time": b'{"task":"t","run_at":"tomorrow"}',
    "foreign backoff": b'{"task":"t","backoff":{"algorithm":"os.system","parameters":{}}}',
    "odd backoff": b'{"task":"t","backoff":{"algorithm":"ConstantBackoff","parameters":{"x":1}}}',
    "too many callbacks": json.dumps({"task": "t", "callbacks": [{"task": "t"}] * 51}).encode(),
    "nested callbacks": b'{"task":"t","callbacks":[{"task":"t","callbacks":[]}]}',
    "large": b'{"task":"t","args":["' + b"x" * 1_100_000 + b'"]}',
    "larger": b'{"task":"t","args":["' + b"x" * 2_000_000 + b'"]}',
}


@pytest.fixture
def client(shared: Stage) -> httpx.Client:
    return shared.client(shared.running, shared.key("admin"))


def healthy(stage: Stage, client: httpx.Client) -> None:
    assert client.get("/readyz").status_code == 200
    assert not [line for line in stage.running.log if line["message"] == "request.broke"]


def test_hostile_bodies_are_refused(client: httpx.Client, shared: Stage) -> None:
    accepted = {}
    for name, body in BODIES.items():
        response = client.post("/v1/messages", content=body, headers={"Content-Type": "application/json"})
        if not 400 <= response.status_code < 500:
            accepted[name] = response.status_code
        else:
            assert response.headers["content-type"] == "application/problem+json", name
            assert "Traceback" not in response.text

    assert accepted == {}
    assert shared.broker.redis.conn.keys("*:m:*") == []
    healthy(shared, client)


def test_hostile_bodies_of_batches_are_refused_item_by_item(client: httpx.Client, shared: Stage) -> None:
    lines = [body for body in BODIES.values() if b"\n" not in body and body.strip() and len(body) < 100_000]
    response = client.post(
        "/v1/messages:batch", content=b"\n".join([*lines, b'{"task":"fine"}']),
        headers={"Content-Type": "application/x-ndjson"},
    )  # fmt: skip

    statuses = [outcome["status"] for outcome in response.json()["outcomes"]]
    assert statuses[-1] == 202
    assert all(400 <= status < 500 for status in statuses[:-1])
    healthy(shared, client)


def test_hostile_names_never_reach_a_key(client: httpx.Client, shared: Stage) -> None:
    before = set(shared.broker.redis.conn.keys("*"))
    for name in NAMES:
        asked: list[dict[str, Any]] = [
            {"task": name}, {"task": "t", "queue": name}, {"task": "t", "callbacks": [{"task": name}]},
            {"task": "t", "callbacks": [{"task": "t", "queue": name}]},
        ]  # fmt: skip
        for one in asked:
            assert client.post("/v1/messages", json=one).status_code == 422, one
        assert client.get("/v1/messages", params={"queue": name}).status_code == 422, name
        schedule = {"id": name, "task": "t", "trigger": {"kind": "interval", "every_ms": 1_000}}
        assert client.post("/v1/schedules", json=schedule).status_code == 422, name

    # Keys of requests, and of a worker that another test has left at work here.
    usual = (":api:", ":registry}:", ":meta")
    made = set(shared.broker.redis.conn.keys("*")) - before
    assert not [key for key in made if not any(part in key for part in usual)]
    healthy(shared, client)


@pytest.mark.parametrize(
    "path", ["/v1/messages/{}", "/v1/queues/{}", "/v1/tasks/{}", "/v1/schedules/{}", "/v1/scaling/{}"]
)
def test_hostile_paths_are_refused(client: httpx.Client, shared: Stage, path: str) -> None:
    from urllib.parse import quote

    for name in NAMES:
        status = client.get(path.format(quote(name, safe=""))).status_code
        assert status in (404, 422), name
    healthy(shared, client)


def test_arguments_of_any_kind_come_back_as_they_were_sent(client: httpx.Client, working: Stage) -> None:
    values = [
        2**63,
        -(2**70),
        0.1,
        "\u0000",
        "ü😀",
        "<script>alert(1)</script>",
        "'; DROP TABLE",
        [[], {}],
        {"": None},
        True,
    ]
    uuid = client.post("/v1/messages", json={"task": "echo", "args": [values], "queue": "math"}).json()["uuid"]

    result = client.get(f"/v1/messages/{uuid}/result", params={"wait": 30}).json()

    assert result["result"] == [values, {}]


def test_only_json_is_taken_for_json(client: httpx.Client) -> None:
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
    ):
        response = client.post("/v1/messages", content=b'{"task":"t"}', headers={"Content-Type": kind})
        assert response.status_code == 415, kind
        response = client.post("/v1/messages:batch", content=b"{}", headers={"Content-Type": kind})
        assert response.status_code == 415, kind


def test_nobody_learns_of_a_body_without_a_key(client: httpx.Client, shared: Stage) -> None:
    answers = {
        body: shared.client(shared.running, "ak_000000000000_" + "x" * 43).post(
            "/v1/messages", content=body, headers={"Content-Type": "application/json"}
        )
        for body in (b"{", b'{"task":""}', b'{"task":"t"}', b"[" * 500)
    }

    assert {body: answer.status_code for body, answer in answers.items()} == dict.fromkeys(answers, 401)


def test_wrong_parts_of_a_request_are_named(client: httpx.Client) -> None:
    def pointers(**request: Any) -> list[str]:
        answer = client.post("/v1/messages", **request)
        assert answer.status_code == 422, answer.text
        return [error["pointer"] for error in answer.json()["errors"]]

    long = {"Idempotency-Key": "k" * 256}
    backoff = {"algorithm": "ConstantBackoff", "parameters": 1}
    assert pointers() == ["/"]
    assert pointers(json=[]) == ["/"]
    assert pointers(json={"task": "t"}, headers=long) == ["header/Idempotency-Key"]
    assert pointers(json={"kwargs": {}, "priority": "1"}) == ["/task", "/priority"]
    assert pointers(json={"task": "t", "callbacks": [{"task": "t", "backoff": backoff}]}) == [
        "/callbacks/0/backoff/parameters"
    ]


def test_errors_of_the_framework_are_problems_too(client: httpx.Client) -> None:
    for method, path, status in [
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/queues", 405),
        ("PUT", "/v1/messages", 405),
    ]:
        response = client.request(method, path)

        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status
        assert response.json()["request_id"] == response.headers["x-request-id"]


def raw(stage: Stage, data: bytes, *, end: bool = False, timeout: float = 30) -> bytes:
    """Send bytes and read until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", stage.running.port), timeout=timeout) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_what_is_no_http_is_refused_as_a_problem(shared: Stage, client: httpx.Client) -> None:
    for data in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n"):
        answer = raw(shared, data)
        assert answer.startswith(b"HTTP/1.1 400"), data
        assert b"application/problem+json" in answer
    healthy(shared, client)


def test_headers_are_bounded(shared: Stage, client: httpx.Client) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    many = b"".join(b"x-%d: y\r\n" % n for n in range(20_000))

    for data in (head + many, head + b"x: " + b"y" * 200_000):
        assert raw(shared, data).startswith(b"HTTP/1.1 431")
    healthy(shared, client)


def test_a_body_is_bounded_before_it_is_read(shared: Stage, client: httpx.Client) -> None:
    head = (
        f"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {shared.key('enqueue')}\r\n".encode()
    )
    head += b"Content-Type: application/json\r\nConnection: close\r\n"
    lying = head + b"Content-Length: 99999999999\r\n\r\n{}"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 25

    assert raw(shared, lying).startswith(b"HTTP/1.1 413")
    assert raw(shared, chunked).startswith(b"HTTP/1.1 413")
    healthy(shared, client)


def test_who_sends_too_slowly_is_let_go(stage: Stage) -> None:
    stage.running = stage.serve("--read-timeout", "0.5")
    head = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: 100\r\n\r\n{"

    assert raw(stage, b"GET /livez HTTP/1.1\r\nHo").startswith(b"HTTP/1.1 408")
    assert raw(stage, b"").startswith(b"HTTP/1.1 408")
    assert raw(stage, head).startswith(b"HTTP/1.1 408")
    assert stage.client(stage.running).get("/livez").status_code == 200


def test_slow_clients_take_no_more_than_their_places(stage: Stage) -> None:
    stage.running = stage.serve("--max-connections", "50")

    crowd(stage, 200, 50)


@pytest.mark.slow
def test_ten_thousand_slow_clients_take_no_more_than_their_places(stage: Stage) -> None:
    with many_files(20_000):  # the service takes the limit over
        stage.running = stage.serve("--max-connections", "4000")

        crowd(stage, 10_000, 4_000)


def crowd(stage: Stage, count: int, places: int) -> None:
    """Have many clients that never finish their request: no more than the places are served, and memory is bounded."""
    client = stage.client(stage.running)
    assert client.get("/livez").status_code == 200
    rss_before = rss_mb(stage.running.process.pid)
    slow = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", stage.running.port), timeout=30)
        connection.sendall(b"GET /livez HTTP/1.1\r\n")
        slow.append(connection)

    def held() -> int:
        """How many have been told nothing yet: not that there is no room, nor that they are too slow."""
        poll = select.poll()
        for connection in slow:
            poll.register(connection, select.POLLIN)
        return count - len(poll.poll(0))

    eventually(lambda: held() <= places, 60, what="the others are refused")
    assert client.get("/livez").status_code == 200  # its connection was there before
    assert rss_mb(stage.running.process.pid) - rss_before < 50 + 0.05 * places
    for connection in slow:
        connection.close()
    eventually(lambda: stage.client(stage.running).get("/livez").status_code == 200, 30, what="there is room again")


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@contextmanager
def many_files(wanted: int) -> Iterator[None]:
    """Let this process and its children open many files; where the machine does not allow it, skip."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine allows {hard:,} open files, and this needs {wanted:,}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nothing_secret_is_logged(shared: Stage) -> None:
    token = shared.key("admin")
    client = shared.client(shared.running, token)

    client.post("/v1/messages", json={"task": "t", "args": ["canary-4711"], "kwargs": {"password": "canary-4711"}})
    client.post("/v1/messages", content=b'{"canary-4711"', headers={"Content-Type": "application/json"})
    client.get("/v1/queues")

    assert shared.running.lines("change.asked")
    log = shared.running.process.log
    assert "canary-4711" not in log
    assert token[16:] not in log
