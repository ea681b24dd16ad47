"""The audit: silent about a sound system, also about a busy one, and it names every planted damage."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.verbs import Interest, StoredResult
from alsek.tools.fsck import Report, audit
from model.redis_dump import redis_dump

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from harness.server import Server

TAG = "{alsek:0}:"


@pytest.fixture
def client(model_server: Server) -> Iterator[Redis]:
    client = model_server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def broker(model_server: Server, client: Redis) -> Broker:
    return Broker(RedisBackend(model_server.url))


@pytest.fixture
def ids(broker: Broker) -> dict[str, str]:
    """Uuids of one message in each state, by name; `second` and `third` are ready too, in another queue."""
    names = ("done", "leased", "dead", "revoked", "ready", "delayed")
    made = {
        name: Message("add", queue="q", uuid=f"{number}-{name}", delay=60_000 * (name == "delayed"))
        for number, name in enumerate(names)
    }
    made |= {name: Message("add", queue="other", uuid=name) for name in ("second", "third")}
    for message in made.values():
        broker.submit(message, kept_status_ms=50_000)
    done, leased, dead = claim(broker, "q", "w.0-1", 3)
    broker.ack(done, result=StoredResult(f"results:{done.uuid}", "1", 60_000, "kids:progenitor"))
    broker.fail(dead)
    broker.revoke(made["revoked"])
    assert leased.uuid == made["leased"].uuid
    return {name: message.uuid for name, message in made.items()}


def claim(broker: Broker, queue: str, token: str, want: int) -> list[Message]:
    interests = [Interest(queue)]
    call = broker.verbs.claim(0, interests, token, token.partition("-")[0], want)
    hand = broker.verbs.read_claim(broker.redis.links.execute([call])[0], interests)
    return [broker.message_of(claimed, token, 0.0) for claimed in hand.messages]


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def test_a_sound_system_has_no_findings(broker: Broker, ids: dict[str, str]) -> None:
    report = audit(broker.redis)

    assert report.findings == []
    assert report.ok
    assert report.complete
    assert report.checked == {
        "records": 8, "ready": 3, "delayed": 1, "leases": 1, "dead letters": 2, "queues": 2, "wake markers": 2,
        "status": 8, "result": 1, "index of results": 1, "receipt of a claim": 1, "count of a quarter of an hour": 2,
    }  # fmt: skip


def test_an_empty_system_is_sound(broker: Broker) -> None:
    assert audit(broker.redis).ok


def test_an_audit_changes_nothing(broker: Broker, client: Redis, ids: dict[str, str]) -> None:
    client.delete(f"{TAG}m:{ids['ready']}")
    before = redis_dump(client, TAG)

    audit(broker.redis)

    assert redis_dump(client, TAG) == before


DAMAGES: dict[str, tuple[Any, set[str]]] = {
    "a deleted record": (lambda c, ids: c.delete(f"{TAG}m:{ids['ready']}"), {"no_record", "stays_for_ever"}),
    "a deleted record of a leased message": (
        lambda c, ids: c.delete(f"{TAG}m:{ids['leased']}"),
        {"lease_without_record", "stays_for_ever"},
    ),
    "a record of another type": (
        lambda c, ids: (c.delete(f"{TAG}m:{ids['ready']}"), c.set(f"{TAG}m:{ids['ready']}", "junk")),
        {"wrong_type"},
    ),
    "an unknown state": (lambda c, ids: c.hset(f"{TAG}m:{ids['ready']}", "s", "?"), {"unknown_state"}),
    "a record without a state": (lambda c, ids: c.hdel(f"{TAG}m:{ids['ready']}", "s"), {"unknown_state"}),
    "an expiry on a waiting message": (lambda c, ids: c.expire(f"{TAG}m:{ids['ready']}", 900), {"live_with_ttl"}),
    "an expiry on a dead letter": (lambda c, ids: c.expire(f"{TAG}m:{ids['dead']}", 900), {"live_with_ttl"}),
    "a message taken out of its index": (lambda c, ids: c.zrem(f"{TAG}r:q", ids["ready"]), {"in_no_index"}),
    "a dead letter taken out of its index": (lambda c, ids: c.zrem(f"{TAG}x:q", ids["dead"]), {"in_no_index"}),
    "a message in two indexes": (lambda c, ids: c.zadd(f"{TAG}d:q", {ids["ready"]: 1}), {"in_several_indexes"}),
    "a message in two queues": (lambda c, ids: c.zadd(f"{TAG}r:other", {ids["ready"]: 1}), {"in_several_indexes"}),
    "a message in the wrong index": (
        lambda c, ids: (c.zrem(f"{TAG}d:q", ids["delayed"]), c.zadd(f"{TAG}r:q", {ids["delayed"]: 1})),
        {"wrong_index"},
    ),
    "a message in the wrong queue": (
        lambda c, ids: (c.zrem(f"{TAG}r:q", ids["ready"]), c.zadd(f"{TAG}r:other", {ids["ready"]: 1})),
        {"wrong_queue"},
    ),
    "a lease without a token": (lambda c, ids: c.hdel(f"{TAG}m:{ids['leased']}", "t"), {"lease_without_token"}),
    "a lease without a fence": (lambda c, ids: c.hdel(f"{TAG}m:{ids['leased']}", "f"), {"lease_without_fence"}),
    "a record without a task": (lambda c, ids: c.hdel(f"{TAG}m:{ids['ready']}", "T"), {"no_task"}),
    "a record without a body": (lambda c, ids: c.hdel(f"{TAG}m:{ids['ready']}", "b"), {"no_body"}),
    "a body of no version": (lambda c, ids: c.hset(f"{TAG}m:{ids['ready']}", "b", b""), {"unreadable_body"}),
    "a broken body": (lambda c, ids: c.hset(f"{TAG}m:{ids['ready']}", "b", b"\x01\x82"), {"unreadable_body"}),
    "a number that is none": (lambda c, ids: c.hset(f"{TAG}m:{ids['ready']}", "d", "x"), {"unreadable_number"}),
    "a receipt that stays": (lambda c, ids: c.persist(f"{TAG}m:{ids['done']}"), {"ended_without_ttl"}),
    "an ended message in an index": (lambda c, ids: c.zadd(f"{TAG}r:q", {ids["done"]: 1}), {"ended_in_index"}),
    "a result that stays": (lambda c, ids: c.persist(f"{TAG}results:{ids['done']}"), {"stays_for_ever"}),
    "a last status that stays": (lambda c, ids: c.persist(f"{TAG}status:q:add:{ids['dead']}"), {"stays_for_ever"}),
    "a status that nobody will end": (
        lambda c, ids: c.set(f"{TAG}status:q:add:{ids['done']}", '{"status": "RUNNING", "details": null}'),
        {"stays_for_ever"},
    ),
    "a receipt of a claim that stays": (lambda c, ids: c.persist(f"{TAG}c:w.0"), {"stays_for_ever"}),
    "two wake markers": (lambda c, ids: c.rpush(f"{TAG}w:q", "1", "1"), {"several_wake_markers"}),
    "a wake list of another type": (
        lambda c, ids: (c.delete(f"{TAG}w:q"), c.set(f"{TAG}w:q", "1")),
        {"wrong_type"},
    ),
    "an index of another type": (
        lambda c, ids: (c.delete(f"{TAG}r:other"), c.set(f"{TAG}r:other", "1")),
        {"wrong_type", "in_no_index"},
    ),
    "a queue that is not listed": (lambda c, ids: c.srem(f"{TAG}queues", "other"), {"unknown_queue"}),
    "a message of another partition": (
        lambda c, ids: (
            c.hset(f"{{alsek:3}}:m:{ids['ready']}", mapping=c.hgetall(f"{TAG}m:{ids['ready']}")),
            c.zadd("{alsek:3}:r:q", {ids["ready"]: 1}),
            c.sadd("{alsek:3}:queues", "q"),
        ),
        {"unknown_partition"},
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_planted_damage_is_named(broker: Broker, client: Redis, ids: dict[str, str], damage: str) -> None:
    plant, expected = DAMAGES[damage]
    plant(client, ids)

    report = audit(broker.redis)

    assert kinds(report) == expected, report.findings
    assert all(finding.text and finding.what_to_do for finding in report.findings)


def test_a_message_of_a_newer_release_is_no_finding(broker: Broker, client: Redis, ids: dict[str, str]) -> None:
    client.hset(f"{TAG}m:{ids['ready']}", "b", b"\x02future")

    report = audit(broker.redis)

    assert (report.findings, report.newer) == ([], 1)


def test_a_status_that_a_tracker_keeps_for_ever_is_no_finding(broker: Broker, client: Redis) -> None:
    message = Message("add", queue="q")
    broker.submit(message, kept_status_ms=0)
    broker.fail(message)

    assert audit(broker.redis).ok


def test_a_uuid_in_the_wrong_partition_is_named(model_server: Server, client: Redis) -> None:
    one, four = (Broker(RedisBackend(model_server.url, partitions=count)) for count in (1, 4))
    for number in range(20):
        four.submit(Message("add", queue="q", uuid=f"four-{number}"))
    assert audit(four.redis).ok
    for number in range(8):
        one.submit(Message("add", queue="q", uuid=f"one-{number}"))

    assert kinds(audit(four.redis)) == {"wrong_partition"}


def test_other_namespaces_are_none_of_its_business(model_server: Server, client: Redis) -> None:
    ours, theirs = (Broker(RedisBackend(model_server.url, namespace=name)) for name in ("a", "a2"))
    message = Message("add", queue="q")
    theirs.submit(message)
    client.delete("{a2:0}:m:" + message.uuid)

    assert audit(ours.redis).checked == {}


def test_an_audit_gives_up_after_too_many_findings(broker: Broker, client: Redis) -> None:
    broker.submit_many([Message("add", queue="q") for _ in range(30)])
    client.delete(*client.keys(f"{TAG}m:*"))

    report = audit(broker.redis, limit=7)

    assert (len(report.findings), report.complete) == (7, False)


def test_an_audit_tells_how_far_it_is(broker: Broker) -> None:
    broker.submit_many([Message("add", queue="q") for _ in range(450)])
    told: list[int] = []

    audit(broker.redis, progress=lambda report: told.append(sum(report.checked.values())))

    assert len(told) > 5
    assert told == sorted(told)


@pytest.mark.chaos
def test_a_busy_system_gives_no_false_findings(broker: Broker, model_server: Server) -> None:
    """Messages are submitted, run, retried, failed and replayed all the time while it is audited."""
    over = threading.Event()
    turns = 0

    def work(number: int) -> None:
        nonlocal turns
        mine = Broker(RedisBackend(model_server.url))
        turn = 0
        while not over.is_set():
            turn += 1
            mine.submit_many(Message("add", queue=f"q{n % 3}", delay=n % 2 * 5) for n in range(20))
            for message in claim(mine, f"q{turn % 3}", f"w{number}.0-{turn}", 20):
                step = hash(message.uuid) % 5
                if step == 0:
                    mine.retry(message, delay_ms=3)
                elif step == 1:
                    mine.fail(message)
                    mine.replay(message)
                elif step == 2:
                    mine.release(message)
                else:
                    mine.ack(message, result=StoredResult(f"results:{message.uuid}", "1", 500))
            turns += 1

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(2)]
    for worker in workers:
        worker.start()
    try:
        reports = [audit(broker.redis) for _ in range(4)]
    finally:
        over.set()
        for worker in workers:
            worker.join(20)

    assert [report.findings for report in reports] == [[]] * 4
    assert all(report.checked.get("records", 0) for report in reports[1:])
    assert turns > 3
