"""`alsek doctor` against real servers with right and wrong settings."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message
from alsek.cli.cli import main
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.checkup import _workers
from alsek.tools.facts import WorkerInfo
from alsek.tools.inspector import Inspector
from harness.eventually import eventually
from harness.server import Server, free_port

if TYPE_CHECKING:
    import redis

    from harness.proxy import Proxy


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    def asked(url: str, *options: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
        """Exit code, and the findings by check."""
        with pytest.raises(SystemExit) as end:
            main(["doctor", "--url", url, "--json", *options], prog_name="alsek")
        found: dict[str, list[dict[str, str]]] = {}
        for one in json.loads(capsys.readouterr().out):
            found.setdefault(one["check"], []).append(one)
        return int(end.value.code or 0), found

    return asked


def test_a_sound_redis_is_all_well(ask: Any, redis_url: str) -> None:
    code, found = ask(redis_url)

    assert {one["grade"] for ones in found.values() for one in ones} == {"ok"}
    assert set(found) == {
        "connection", "version", "eviction", "persistence", "memory", "latency", "clock", "scripts", "permissions",
        "queues", "workers",
    }  # fmt: skip
    assert code == 0


def test_an_evicting_redis_is_an_error_and_code_2(ask: Any) -> None:
    with Server(config={"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}) as server:
        code, found = ask(server.url)

    assert code == 2
    assert found["eviction"][0]["grade"] == "error"
    assert "noeviction" in found["eviction"][0]["found"]


def test_a_redis_without_aof_is_a_warning_and_code_1(ask: Any) -> None:
    with Server(appendonly=False) as server:
        code, found = ask(server.url)

    assert code == 1
    assert found["persistence"][0]["grade"] == "warning"
    assert "appendonly yes" in found["persistence"][0]["advice"]


def test_a_redis_that_is_nearly_full_is_a_warning(ask: Any) -> None:
    with Server() as server, server.client() as client:
        for number in range(80):  # in small parts: what Redis lends a connection for a large one, it takes back later
            client.set(f"ballast:{number}", b"x" * 100_000)
        client.config_set("maxmemory", int(int(client.info()["used_memory"]) * 1.1))
        code, found = ask(server.url)

    assert (code, found["memory"][0]["grade"]) == (1, "warning")
    assert "raise maxmemory" in found["memory"][0]["advice"]


def test_a_redis_that_does_not_answer_is_one_finding_and_code_2(ask: Any) -> None:
    code, found = ask(f"redis://127.0.0.1:{free_port()}/0")

    assert code == 2
    assert [*found] == ["connection"]


def test_a_redis_that_cannot_write_its_data_is_an_error(ask: Any, own_server: Server) -> None:
    with own_server.client() as client:
        client.config_set("appendonly", "no")
        folder = Path(client.config_get("dir")["dir"])
        (folder / "dump.rdb").unlink(missing_ok=True)
        (folder / "dump.rdb").mkdir()  # a snapshot cannot take its place
        client.bgsave()
        eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 20)

        code, found = ask(own_server.url)

    assert (code, found["persistence"][0]["grade"]) == (2, "error")
    assert "rdb_last_bgsave_status" in found["persistence"][0]["found"]


def test_keys_that_were_thrown_away_are_an_error(ask: Any, own_server: Server) -> None:
    with own_server.client() as client:
        client.setrange("ballast", 4_000_000, "x")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", int(client.info()["used_memory"]) - 2_000_000)
        eventually(lambda: client.set("more", 1) and int(client.info()["evicted_keys"]), 20)
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 2**30)

        code, found = ask(own_server.url)

    assert (code, found["evicted keys"][0]["grade"]) == (2, "error")
    assert "`alsek fsck` tells" in found["evicted keys"][0]["advice"]


def test_a_long_way_to_redis_is_a_warning(ask: Any, proxy: Proxy) -> None:
    proxy.delay(0.01)

    code, found = ask(proxy.url)

    assert (code, found["latency"][0]["grade"]) == (1, "warning")
    assert "nearer together" in found["latency"][0]["advice"]


def test_a_wrong_clock_is_a_warning(ask: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + 90)

    code, found = ask(redis_url)

    assert (code, found["clock"][0]["grade"]) == (1, "warning")
    assert re.search(r"are (89|90)\.\d s apart", found["clock"][0]["found"])


def test_a_user_who_may_only_look_is_told_what_he_may_not(ask: Any, server: Server, redis_client: redis.Redis) -> None:
    redis_client.acl_setuser("viewer", enabled=True, passwords=["+geheim"], commands=["+@all", "-@write"], keys=["*"])
    try:
        code, found = ask(server.url.replace("redis://", "redis://viewer:geheim@"))
    finally:
        redis_client.acl_deluser("viewer")

    assert code == 1
    assert "user viewer may not use HSET, ZADD, DEL" in found["permissions"][0]["found"]


def test_queues_that_a_user_may_not_see_are_no_danger(ask: Any, server: Server, redis_client: redis.Redis) -> None:
    redis_client.acl_setuser(
        "limited", enabled=True, passwords=["+geheim"], commands=["+@all", "-hlen"], keys=["*"], channels=["*"]
    )
    try:
        code, found = ask(server.url.replace("redis://", "redis://limited:geheim@"))
    finally:
        redis_client.acl_deluser("limited")

    assert (code, found["queues"][0]["grade"]) == (1, "warning")
    assert "'hlen'" in found["queues"][0]["found"]
    assert found["permissions"][0]["grade"] == "ok"


def test_asking_for_permissions_changes_nothing(ask: Any, redis_url: str, redis_client: redis.Redis) -> None:
    ask(redis_url)

    assert redis_client.keys("*") == []


def test_queues_that_nobody_serves_are_paused_or_hold_dead_letters_are_named(ask: Any, redis_url: str) -> None:
    broker = Broker(RedisBackend(redis_url, namespace="shop"))
    for queue in ("lonely", "paused", "deadly"):
        broker.submit(Message("send", queue=queue))
    inspector = Inspector(broker)
    inspector.pause("paused", "the mail server is down")
    inspector.revoke(inspector.messages("deadly", "ready").messages[0].uuid)

    code, found = ask(redis_url, "--namespace", "shop")

    told = [one["found"] for one in found["queues"]]
    assert code == 1
    assert "no worker listens to lonely, and messages wait there" in told
    assert "paused is paused: the mail server is down" in told
    assert "deadly has 1 dead letter" in told
    assert not any("no worker listens to deadly" in one for one in told)


def test_people_get_a_table(capsys: pytest.CaptureFixture[str], redis_url: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--url", redis_url], prog_name="alsek")

    text = capsys.readouterr().out
    assert not end.value.code
    assert "what to do" in text
    assert "maxmemory-policy is noeviction" in text


def worker(**facts: Any) -> WorkerInfo:
    usual = {
        "id": "w1", "host": "h1", "pid": 7, "state": "running", "queues": ("mail",), "narrowed": {}, "tasks": ("send",),
        "mechanisms": ("thread",), "slots": 8, "busy": 0, "processes": 1, "running": (), "started": 0,
        "last_beat": 100_000, "version": "1.0", "python": "3.11",
    }  # fmt: skip
    return WorkerInfo(**usual | facts)


@pytest.mark.parametrize(
    ("facts", "now_ms", "grade", "found"),
    [
        ({}, 101_000, "ok", "1 worker with 8 slots, all of this release"),
        ({"version": "0.9"}, 101_000, "warning", "workers of Alsek 0.9 beside 1.0 here"),
        ({}, 160_000, "warning", "worker w1 on h1 has been silent for 60 s"),
    ],
)
def test_workers_that_are_old_or_silent_are_named(facts: dict[str, Any], now_ms: int, grade: str, found: str) -> None:
    [finding] = _workers([worker(**facts)], now_ms, "1.0")

    assert (finding.grade, finding.found) == (grade, found)
