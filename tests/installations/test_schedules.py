"""Schedules on a cluster and behind Sentinels: fired exactly once, and again after a fail-over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.triggers import IntervalTrigger
from alsek.exceptions import AlsekError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.slots import slot_of
from alsek.tools.fsck import audit
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from harness.eventually import eventually
from harness.sentinel import Sentinels

if TYPE_CHECKING:
    from harness.cluster import Cluster

PARTITIONS = 6
PATIENCE_S = 60.0


def store_at(url: str, partitions: int) -> ScheduleStore:
    return ScheduleStore(Broker(RedisBackend(url, partitions=partitions)))


def scheduler_at(url: str, partitions: int) -> Scheduler:
    return Scheduler(Broker(RedisBackend(url, partitions=partitions)), settings=Settings(lease_ms=2_000))


def fired(store: ScheduleStore) -> list[int]:
    try:
        return [one.fired for one in store]
    except AlsekError:
        return [0]


def instants(store: ScheduleStore) -> dict[str, list[int]]:
    """The instants of all messages that wait, by their task."""
    found: dict[str, list[int]] = {}
    for partition in range(store.keys.partitions):
        for raw in store.broker.redis.links.command("ZRANGE", store.keys.ready("q", partition), 0, -1):
            message = store.broker.find(raw.decode())
            assert message is not None
            found.setdefault(message.task_name, []).append(message.created_at)
    return found


def test_on_a_cluster_schedules_spread_over_the_primaries_and_fire_once(cluster: Cluster) -> None:
    store = store_at(cluster.url, PARTITIONS)
    for i in range(12):
        trigger = IntervalTrigger(milliseconds=100)
        store.create(f"s{i}", f"s{i}", trigger, policy=FirePolicy("all"), queue="q")
    first, second = scheduler_at(cluster.url, PARTITIONS), scheduler_at(cluster.url, PARTITIONS)

    with second:
        with first:
            eventually(lambda: min(fired(store)) >= 3, PATIENCE_S, what=lambda: str(list(store)))
        eventually(lambda: second.epoch is not None, PATIENCE_S)
        goal = min(fired(store)) + 3
        eventually(lambda: min(fired(store)) >= goal, PATIENCE_S, what=lambda: str(list(store)))
        shown = {one.id: store.pause(one.id) for one in list(store)}

    found = instants(store)
    for name, one in shown.items():
        assert len(found[name]) == len(set(found[name])) == one.fired
        assert one.missed == 0
        assert max(found[name]) - min(found[name]) == 100 * (one.fired - 1)
    homes = {store.keys.partition(name) for name in shown}
    assert len({cluster.serving(slot_of(store.keys.tag(home))).port for home in homes}) == len(cluster.nodes)
    assert audit(store.broker.redis).findings == []
    store.broker.backend.close()


@pytest.mark.timeout(400)
def test_behind_sentinels_schedules_go_on_after_a_fail_over() -> None:
    with Sentinels(password="of-servers", sentinel_password="of-sentinels") as installation:
        store = store_at(installation.url, 1)
        store.create("pulse", "pulse", IntervalTrigger(milliseconds=100), policy=FirePolicy("all"), queue="q")
        with scheduler_at(installation.url, 1) as scheduler:
            eventually(lambda: min(fired(store)) >= 3, PATIENCE_S)
            installation.fail_over()
            before = eventually(lambda: min(fired(store)), PATIENCE_S)
            eventually(lambda: min(fired(store)) >= before + 5, PATIENCE_S)
            assert scheduler.is_live()[0]
            shown = store.pause("pulse")
        found = instants(store)["pulse"]
        # What the primary acknowledged and had not passed on is lost with it, and so fired by the new one.
        assert len(found) == len(set(found))
        assert shown.fired == len(found)
        store.broker.backend.close()
