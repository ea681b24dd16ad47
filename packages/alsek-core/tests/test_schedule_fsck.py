"""The audit of schedules: silent about sound ones, and it names every planted damage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker
from alsek.core.schedules import ScheduleStore
from alsek.core.triggers import IntervalTrigger
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.fsck import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

HOUR = IntervalTrigger(hours=1)
KEY, DUE = "{alsek:0}:s:active", "{alsek:0}:schedules:due"


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    backend = RedisBackend(redis_url)
    store = ScheduleStore(Broker(backend))
    for name in ("active", "broken", "paused", "second"):
        store.create(name, "work", HOUR, paused=name == "paused")
    store.mark_broken("broken", 1, "for a reason")
    yield store.broker
    backend.close()


def test_sound_schedules_are_counted_and_nothing_is_found(broker: Broker) -> None:
    report = audit(broker.redis)

    assert report.findings == []
    assert report.checked["schedules"] == 4


DAMAGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "an index names nothing": (lambda c: c.zadd(DUE, {"ghost": 1}), "schedule_without_record"),
    "a list names nothing": (lambda c: c.sadd("{alsek:0}:schedules:paused", "ghost"), "schedule_without_record"),
    "its hash is gone": (lambda c: c.delete(KEY), "schedule_without_record"),
    "it is not due": (lambda c: c.zrem(DUE, "active"), "schedule_in_no_index"),
    "it is not listed": (lambda c: c.zrem("{alsek:0}:schedules", "active"), "schedule_in_no_index"),
    "paused, and due": (lambda c: c.zadd(DUE, {"paused": 1}), "schedule_in_wrong_index"),
    "no definition": (lambda c: c.hdel(KEY, "d"), "schedule_unreadable"),
    "a strange state": (lambda c: c.hset(KEY, "s", "?"), "schedule_unreadable"),
    "it will vanish": (lambda c: c.pexpire(KEY, 60_000), "schedule_with_ttl"),
    "a text instead": (lambda c: (c.delete(KEY), c.set(KEY, "x")), "wrong_type"),
    "a text instead of an index": (lambda c: (c.delete(DUE), c.set(DUE, "x")), "wrong_type"),
    "in an unknown partition": (lambda c: c.copy(KEY, "{alsek:7}:s:active"), "unknown_partition"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_planted_damage_is_named(broker: Broker, redis_client: redis.Redis, damage: str) -> None:
    plant, kind = DAMAGES[damage]
    plant(redis_client)

    found = audit(broker.redis).findings

    assert kind in {finding.kind for finding in found}
    assert all(finding.what_to_do for finding in found)
