"""`alsek schedules ...` as people and programs use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alsek import Broker, task
from alsek.cli.cli import app
from alsek.core.schedules import ScheduleStore
from alsek.core.triggers import CronTrigger, IntervalTrigger
from alsek.storage.backends.redis import RedisBackend
from harness.server import free_port

ALSEK = str(Path(sys.executable).with_name("alsek"))


@pytest.fixture
def store(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ScheduleStore:
    monkeypatch.setenv("ALSEK_REDIS_URL", redis_url)
    return ScheduleStore(Broker(RedisBackend(redis_url)))


def run(*args: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["schedules", *args])
    return done.exit_code, done.stdout, done.stderr


def test_a_preview_of_an_expression_needs_no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSEK_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")

    code, out, _ = run("preview", "30 2 * * *", "--tz", "Europe/Vienna", "--from", "2026-03-28", "-n", "3")
    as_json = run("preview", "@daily", "-n", "2", "--from", "2026-01-01", "--json")[1]

    assert code == 0
    assert out.splitlines() == [
        "Sat 2026-03-28 02:30:00 CET (+0100)",
        "Sun 2026-03-29 03:00:00 CEST (+0200)",
        "Mon 2026-03-30 02:30:00 CEST (+0200)",
    ]
    assert json.loads(as_json) == {"fires": ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"]}


def test_a_schedule_is_made_shown_fired_paused_and_deleted(store: ScheduleStore) -> None:
    made = run(
        "create", "nightly", "--task", "clean_up", "--queue", "ops", "--cron", "0 3 * * *", "--tz", "Europe/Vienna",
        "--args", '["logs"]', "--kwargs", '{"days": 3}', "--misfire", "all", "--grace", "2h", "--overlap", "skip",
    )  # fmt: skip
    shown = store.get("nightly")

    assert made[0] == 0
    assert made[1].startswith("Made schedule nightly; it fires at ")
    assert (shown.task, shown.queue, shown.args, shown.kwargs) == ("clean_up", "ops", ("logs",), {"days": 3})
    assert (shown.trigger, shown.policy.grace_ms) == (CronTrigger("0 3 * * *", "Europe/Vienna"), 7_200_000)

    uuid = json.loads(run("fire", "nightly", "--json")[1])["uuid"]
    assert store.broker.find(uuid) is not None
    table = run("list")[1]
    assert "nightly" in table
    assert "Nobody leads" in table
    assert json.loads(run("list", "--json")[1])["schedules"][0]["id"] == "nightly"
    assert "all, up to 2h late" in run("show", "nightly")[1]
    assert json.loads(run("show", "nightly", "--json")[1])["fired"] == 1
    assert len(run("preview", "nightly", "-n", "4")[1].splitlines()) == 4
    assert run("pause", "nightly")[1] == "Paused schedule nightly.\n"
    assert json.loads(run("pause", "nightly", "--json")[1])["state"] == "paused"
    assert run("list", "--state", "active")[1].startswith("There are no schedules.")
    assert run("resume", "nightly")[1].startswith("Resumed schedule nightly; it fires at ")
    assert json.loads(run("resume", "nightly", "--json")[1])["next_ms"] == store.get("nightly").next_ms
    assert "say --yes" in run("delete", "nightly")[2]
    assert store.counts().total == 1
    assert json.loads(run("delete", "nightly", "--yes", "--json")[1]) == {"deleted": "nightly"}
    assert store.counts().total == 0


def test_broken_schedules_are_listed_with_the_reason(store: ScheduleStore) -> None:
    store.create("poor", "work", IntervalTrigger(hours=1))
    store.mark_broken("poor", 1, "its task is gone")

    assert "poor is broken: its task is gone" in run("list")[1]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["create", "x", "--task", "t"], "exactly one of --cron, --every and --at"),
        (["create", "x", "--task", "t", "--every", "5m", "--at", "2030-01-01"], "exactly one of"),
        (["create", "x", "--task", "t", "--every", "5x"], "a span is written like"),
        (["create", "x", "--task", "t", "--every", "0s"], "1 ms at least"),
        (["create", "x", "--task", "t", "--cron", "0 0 30 2 *"], "never matches"),
        (["create", "x", "--task", "t", "--cron", "@daily", "--tz", "Mars/Olympus"], "no time zone"),
        (["create", "x", "--task", "t", "--cron", "@daily", "--start", "2030-02-02", "--end", "2030-01-01"],
            "before the start"),
        (["create", "x", "--task", "t", "--at", "2020-01-01"], "no instant left"),
        (["create", "x", "--task", "t", "--cron", "@daily", "--args", "{"], "--args is no JSON"),
        (["create", "x", "--task", "t", "--cron", "@daily", "--args", "{}"], "has to be a JSON list"),
        (["create", "a b", "--task", "t", "--cron", "@daily"], "schedule id"),
        (["show", "x"], "there is no schedule x"),
        (["delete", "x"], "there is no schedule x"),
        (["preview", "61 * * * *"], "out of range"),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_ends_in_one_line_and_code_2(redis_url: str, args: list[str], reason: str) -> None:
    done = subprocess.run(
        [ALSEK, "schedules", *args], capture_output=True, text=True, check=False,
        env={"ALSEK_REDIS_URL": redis_url, "PATH": ""},
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr


def test_a_task_that_no_worker_has_told_of_is_refused_where_some_have(store: ScheduleStore) -> None:
    from alsek.storage.backends.redis.registry import Registry

    @task(store.broker, queue="garden")
    def water() -> None: ...

    described = json.dumps({
        "queue": "garden", "mechanism": "thread", "timeout": 5_000, "max_retries": 3, "doc": "", "parameters": {},
        "keeps_results": False,
    }).encode()  # fmt: skip
    Registry(store.broker.redis).beat("w", 60_000, b"{}", b"{}", {"water": described})

    refused = CliRunner().invoke(app, ["schedules", "create", "x", "--task", "wather", "--every", "1h"])
    assert "no worker has told of a task 'wather', but of water" in str(refused.stderr)
    assert run("create", "x", "--task", "water", "--every", "1h")[0] == 0
    assert (store.get("x").queue, store.get("x").timeout) == ("garden", 5_000)
