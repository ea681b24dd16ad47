"""Users with the rights of one role each: every role can do its real work, and nothing else."""

from __future__ import annotations

import asyncio
import re
import threading
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.concurrency import ThreadLock
from alsek.core.consumer import Consumer
from alsek.core.message import Message
from alsek.core.schedules import ScheduleStore
from alsek.core.settlement import Failed, Succeeded
from alsek.core.status.standard import StatusTracker
from alsek.core.status.types import TaskStatus
from alsek.core.task import task
from alsek.core.triggers import IntervalTrigger
from alsek.exceptions import AlsekError, BackendAuthenticationError
from alsek.storage import keys
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.backends.redis.script_commands import commands_of, script_names
from alsek.storage.result import ResultStore
from alsek.tools.access import ROLES, lines
from alsek.tools.checkup import check_up
from alsek.tools.fsck import audit
from alsek.tools.inspector import Inspector
from harness.processes import alsek
from harness.server import Server
from installations.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.journal import Journal
    from harness.processes import Processes

#: A password with what an address and a shell would have to escape.
SECRET = "p@ss/w:rd %41#é"

#: How a server says that a user may not.
REFUSED = r"(?i)no permissions|ACL failure|not allowed from script"

OTHERS_KEYS = ("other:name", "{other:0}:m:1", "alsekx:name", "name")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an ACL file, written by `alsek acl`; the default user may only look after the test."""
    path = tmp_path_factory.mktemp("acl") / "users.acl"
    users = lines(ROLES, "alsek", "aclfile", "alsek-", dict.fromkeys(ROLES, SECRET))
    path.write_text("\n".join(["user default on nopass ~* &* +@all", *users]) + "\n")
    with Server(config={"aclfile": str(path)}) as server:
        yield server


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(SECRET + "\n")
    return str(path)


@pytest.fixture
def url_of(guarded: Server, password_file: str) -> Iterator[Callable[[str], str]]:
    """Gives a role's address; nothing that was tried in between may have been denied."""
    guarded.flush()
    with guarded.client(decode_responses=True) as admin:
        admin.acl_log_reset()
        yield lambda role: f"redis://alsek-{role}@127.0.0.1:{guarded.port}/0?password_file={password_file}"
        denied = [(entry["username"], entry["reason"], entry["object"]) for entry in admin.acl_log()]
        assert denied == []


def test_a_producer_enqueues_waits_follows_locks_and_keeps_values(url_of: Callable[[str], str]) -> None:
    backend = RedisBackend(url_of("producer"))
    worker = Consumer(Broker(RedisBackend(url_of("worker"))), ["q"])
    store, tracker = ResultStore(backend), StatusTracker(backend)

    @task(Broker(backend), queue="q", result_store=store, status_tracker=tracker)
    def double(number: int) -> int:
        return 2 * number

    for submit in (
        lambda: double.generate(args=(1,)),
        lambda: asyncio.run(double.agenerate(args=(1,))),
        lambda: double.generate(args=(1,), delay=1),
    ):
        message = submit()
        heard: list[TaskStatus] = []
        listening = threading.Thread(target=lambda m=message, h=heard: h.extend(_statuses(tracker, m)))
        listening.start()
        while not (claimed := worker.exchange((), 1).messages):
            worker.sleep()
        worker.exchange([Succeeded(claimed[0], store.wire(claimed[0], 2))], 0)
        assert store.get(message, timeout=60_000) == 2
        listening.join(20)
        assert heard[-1] is TaskStatus.SUCCEEDED
    doomed = double.generate(args=(1,))
    assert Broker(backend).revoke(doomed)
    Broker(backend).remove(double.generate(args=(1,)))

    first, second = ThreadLock("lock", backend, ttl=60_000), ThreadLock("lock", backend, ttl=60_000)
    assert first.acquire()
    waiting = threading.Thread(target=lambda: second.acquire(wait=20) and second.release())
    waiting.start()
    assert first.release()
    waiting.join(20)

    backend.set("name", "value")
    backend.announce("told", '"x"', "alsek:channel", 1_000)
    assert backend.get("name") == "value"
    assert list(backend.scan("name")) == ["name"]
    backend.priority_add("ids", "id", 1)
    assert backend.priority_get("ids") == "id"
    backend.priority_remove("ids", "id")
    backend.delete("name")
    asyncio.run(_use(AsyncRedisBackend(url_of("producer"))))
    worker.close()
    backend.close()


def test_a_real_worker_runs_with_the_users_name_and_password_file_in_its_environment(
    url_of: Callable[[str], str],
    guarded: Server,
    password_file: str,
    processes: Processes,
    journal: Journal,
) -> None:
    plain = f"redis://127.0.0.1:{guarded.port}/0"
    producer = Stage(url_of("producer"), 1, processes, journal)
    looking = Inspector(Broker(RedisBackend(url_of("exporter"))))
    worker = Stage(
        url_of("worker"), 1, processes, journal,
        ALSEK_REDIS_URL=plain, ALSEK_REDIS_USERNAME="alsek-worker", ALSEK_REDIS_PASSWORD_FILE=password_file,
    )  # fmt: skip
    pool = worker.pool("worker", "--log-level", "DEBUG")

    for _ in range(20):
        producer.submit()
        producer.submit("drift", "drift")
    doomed = producer.submit("drift", "drift", seconds=60.0)
    worker.ended(40)
    assert producer.broker.revoke(doomed)
    pool.wait_for_line("message.dropped", 20)

    assert [queue.running for queue in looking.queues()] == [0, 0]
    assert len(looking.workers()) == 1
    assert {info.name for info in looking.tasks()} == {"wander", "add", "drift"}
    assert pool.terminate() == 0
    assert SECRET not in pool.log
    assert "NOPERM" not in pool.log
    for one in (producer, worker):
        one.close()
    looking.close()


def test_a_scheduler_makes_fires_and_ends_schedules(url_of: Callable[[str], str]) -> None:
    broker = Broker(RedisBackend(url_of("scheduler")))

    @task(broker, queue="q")
    def tick() -> None: ...

    store = ScheduleStore(broker, [tick])
    store.create("tick", tick, IntervalTrigger(seconds=3_600))
    uuid = store.fire("tick")
    store.resume(store.pause("tick").id)
    reader = ScheduleStore(Broker(RedisBackend(url_of("exporter"))), [])

    assert Inspector(broker).message(uuid).queue == "q"
    assert reader.counts().total == 1
    assert [schedule.id for schedule in reader.page().schedules] == ["tick"]
    store.delete("tick")


def test_the_http_service_and_operators_do_whatever_a_page_offers(url_of: Callable[[str], str]) -> None:
    broker = Broker(RedisBackend(url_of("api")))
    consumer = Consumer(Broker(RedisBackend(url_of("worker"))), ["q"])
    inspector = Inspector(broker)
    message = Message("t", queue="q", delay=3_600_000)
    broker.submit(message)

    inspector.pause("q", "for a test")
    inspector.resume("q")
    inspector.reprioritize(message.uuid, 3)
    inspector.run_now(message.uuid)
    (claimed,) = consumer.exchange((), 1).messages
    consumer.exchange([Failed(claimed, "failed", b"")], 0)
    assert [info.uuid for info in inspector.messages("q", "dead").messages] == [message.uuid]
    inspector.replay(message.uuid)
    (claimed,) = consumer.exchange((), 1).messages
    consumer.exchange([Failed(claimed, "failed", b"")], 0)
    inspector.purge(message.uuid)
    consumer.close()
    inspector.close()


def test_an_exporter_reads_everything_there_is_to_see(url_of: Callable[[str], str]) -> None:
    broker = Broker(RedisBackend(url_of("producer")))
    messages = [Message("t", queue="q"), Message("t", queue="q", delay=60_000)]
    broker.submit_many(messages)
    backend = RedisBackend(url_of("exporter"))
    inspector = Inspector(Broker(backend))

    assert [(queue.ready, queue.delayed) for queue in inspector.queues()] == [(1, 1)]
    assert inspector.message(messages[0].uuid).state == "ready"
    assert inspector.explain(messages[1].uuid)
    assert inspector.now_ms() > 0
    assert audit(backend).ok
    assert backend.server_info()["tcp_port"]
    inspector.close()


@pytest.mark.parametrize("role", ["worker", "api"])
def test_those_who_run_and_operate_find_everything_well(url_of: Callable[[str], str], role: str) -> None:
    inspector = Inspector(Broker(RedisBackend(url_of(role))))

    findings = {finding.check: finding for finding in check_up(inspector, "0")}

    assert {finding.check for finding in findings.values() if finding.grade != "ok"} == set(), findings
    assert f"user alsek-{role} may read and write" in findings["permissions"].found
    inspector.close()


@pytest.mark.parametrize("role", ["producer", "scheduler", "exporter"])
def test_those_who_see_less_find_no_error(guarded: Server, password_file: str, role: str) -> None:
    url = f"redis://alsek-{role}@127.0.0.1:{guarded.port}/0?password_file={password_file}"
    inspector = Inspector(Broker(RedisBackend(url)))

    findings = list(check_up(inspector, "0"))

    assert len(findings) > 8
    assert [finding for finding in findings if finding.grade == "error"] == []
    inspector.close()


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_do_more(guarded: Server, password_file: str, role: str) -> None:
    backend = RedisBackend(f"redis://alsek-{role}@127.0.0.1:{guarded.port}/0?password_file={password_file}")
    link = backend.links

    for command in (
        ("KEYS", "*"), ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "save", ""),
        ("ACL", "LIST"), ("ACL", "WHOAMI"), ("SHUTDOWN", "NOSAVE"), ("DEBUG", "SLEEP", "0"), ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"), ("MONITOR",), ("SCRIPT", "FLUSH"), ("FUNCTION", "LIST"), ("SAVE",),
        ("REPLICAOF", "127.0.0.1", "1"), ("MODULE", "LIST"), ("SLAVEOF", "NO", "ONE"),
        *(("GET", key) for key in OTHERS_KEYS),
        *(("SET", key, "x") for key in OTHERS_KEYS),
        *(("EVAL", f"return redis.call('GET', '{key}')", "0") for key in OTHERS_KEYS),
        ("PUBLISH", "foreign", "x"), ("SUBSCRIBE", "foreign"),
    ):  # fmt: skip
        with pytest.raises(AlsekError, match=REFUSED):
            link.command(*command)
    backend.close()


@pytest.mark.parametrize(
    ("role", "command"),
    [
        ("producer", ("GET", "{alsek:0}:api:secret")),
        ("worker", ("HGETALL", "{alsek:0}:api:used")),
        ("worker", ("SET", "{alsek:0}:schedules:lock", "x")),
        ("producer", ("SET", "{alsek:0}:s:tick", "x")),
        ("producer", ("ZADD", "{alsek:registry}:workers", "1", "x")),
        ("scheduler", ("GET", "{alsek:0}:api:secret")),
        ("exporter", ("GET", "{alsek:0}:api:secret")),
        ("exporter", ("SET", "{alsek:0}:m:1", "x")),
        ("exporter", ("DEL", "{alsek:0}:m:1")),
        ("exporter", ("PUBLISH", "alsek:worker:1", "revoke 1")),
        ("exporter", ("EVAL", "return 1", "0")),
        ("exporter", ("GET", "alsek:lock:name")),
    ],
)
def test_a_role_may_not_touch_what_belongs_to_another(
    guarded: Server, password_file: str, role: str, command: tuple[str, ...]
) -> None:
    backend = RedisBackend(f"redis://alsek-{role}@127.0.0.1:{guarded.port}/0?password_file={password_file}")

    with pytest.raises(BackendAuthenticationError):
        backend.links.command(*command)
    backend.close()


def test_a_script_may_do_what_its_caller_may_and_no_more(guarded: Server, password_file: str) -> None:
    # Roles that run scripts may run any: on their own keys, by their own commands.
    backend = RedisBackend(f"redis://alsek-producer@127.0.0.1:{guarded.port}/0?password_file={password_file}")

    assert backend.links.command("EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", "{alsek:0}:m:1") == b"OK"
    with pytest.raises(AlsekError, match=REFUSED):
        backend.links.command("EVAL", "return redis.call('CONFIG', 'GET', '*')", "0")
    with pytest.raises(AlsekError, match=REFUSED):
        backend.links.command("EVAL", "return redis.call('GET', '{alsek:0}:api:secret')", "0")


def test_a_wrong_password_ends_a_worker_at_once_in_one_line(
    guarded: Server, tmp_path: Path, processes: Processes, journal: Journal
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("n0t-it")
    stage = Stage(f"redis://127.0.0.1:{guarded.port}/0", 1, processes, journal)
    environment = {
        "ALSEK_REDIS_URL": stage.url,
        "ALSEK_REDIS_USERNAME": "alsek-exporter",
        "ALSEK_REDIS_PASSWORD_FILE": str(wrong),
    }

    looking = processes.start(alsek("queues"), name="queues", env=environment)

    assert looking.wait() != 0
    assert len(looking.log.strip().splitlines()) == 1
    assert "credentials" in looking.log
    assert "n0t-it" not in looking.log


def test_every_script_is_within_the_rights_of_somebody_and_calls_by_name() -> None:
    runs = {name: {role.name for role in ROLES.values() if name in role.scripts} for name in script_names()}

    assert not [name for name, roles in runs.items() if not roles]
    for role in ROLES.values():
        for name in role.scripts:
            assert commands_of(name) <= set(role.all_commands), (role.name, name)


def test_every_kind_of_key_is_somebodys() -> None:
    """A kind of key that `alsek.storage.keys` tells of has to be one that `alsek.tools.access` gives out."""
    partitions, registry = (keys.__doc__ or "").split("Who works here")
    told = {
        name for row in re.findall(r"^\| (`.*?) \|", partitions, re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }

    for name in told - {"suffix after the tag"}:
        key = "{alsek:0}:" + re.sub("<.*?>|…", "x", name)
        assert any(fnmatchcase(key, pattern.lstrip("~")) for pattern in ROLES["api"].patterns("alsek")), name
    assert "{<namespace>:registry}" in registry
    assert len(told) > 15


def test_lines_suit_redis_cli_and_acl_files(server: Server) -> None:
    commands = lines(ROLES, "alsek", "setuser", "alsek-", {})
    with server.client(decode_responses=True) as client:
        for line in commands:
            assert client.execute_command(*line.split()) == "OK"
        known = client.acl_users()
        for role in ROLES:
            client.acl_deluser(f"alsek-{role}")

    assert {f"alsek-{role}" for role in ROLES} < set(known)
    assert all(re.search(r" >PASSWORD ", line) for line in commands)


def test_the_command_hashes_passwords_and_names_roles(processes: Processes, password_file: str) -> None:
    digest = f"#{sha256(SECRET.encode()).hexdigest()}"
    asked = {
        ("acl", "worker", "--password-file", password_file): (0, ["ACL SETUSER alsek-worker reset on", digest]),
        ("acl", "--format", "aclfile", "--password-file", f"api={password_file}"): (0, ["user alsek-api on", digest]),
        ("acl", "exporter", "--json", "--namespace", "mine"): (0, ['"alsek-exporter"', "%R~{mine:*}:m:*"]),
        ("acl", "nobody"): (2, ["there is no role 'nobody', only producer, worker"]),
        ("acl", "--password-file", "nobody=x"): (2, ["there is no role 'nobody'"]),
        ("acl", "--password-file", "/no/such/file"): (2, ["the password file '/no/such/file' cannot be read"]),
    }
    started = {words: processes.start(alsek(*words), name="acl") for words in asked}

    for words, (code, texts) in asked.items():
        assert started[words].wait() == code, started[words].log
        assert all(text in started[words].log for text in texts), started[words].log
        assert SECRET not in started[words].log


def _statuses(tracker: StatusTracker, message: Message) -> list[TaskStatus]:
    return [update.status for update in tracker.listen_to_updates(message)]


async def _use(backend: AsyncRedisBackend) -> Any:
    async with backend.listening("alsek:channel") as events:
        await anext(events)
        await backend.set("name", "value")
        await backend.announce("told", '"x"', "alsek:channel", 1_000)
        await anext(events)
    assert [name async for name in backend.scan("name")] == ["name"]
    await backend.delete("name")
    await backend.close()
