"""Schedulers in one process on a real server: what is fired, by whom, and what is not."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

from alsek import Broker, Message, task
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.schedules.template import fire_uuid
from alsek.core.triggers import CronTrigger, DateTrigger, IntervalTrigger
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.exposition import Exposition
from alsek.tools.fsck import audit
from alsek.tools.probes import Address, Probes, ProbeServer
from alsek_scheduler.metrics import SchedulerMetrics
from alsek_scheduler.settings import DEFAULT_LEASE_MS, Settings
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from alsek_scheduler.service import Scheduler
    from harness.server import Server

    Start = Callable[..., Scheduler]

#: What may take a while on a busy machine, seconds.
PATIENCE_S = 30.0


def waiting(broker: Broker, queue: str = "q") -> set[str]:
    """Ids of all messages that wait in a queue."""
    found: set[str] = set()
    for partition in range(broker.keys.partitions):
        key = broker.keys.ready(queue, partition)
        found.update(name.decode() for name in broker.redis.links.command("ZRANGE", key, 0, -1))
    return found


def fired(store: ScheduleStore, schedule_id: str, at_least: int) -> None:
    eventually(lambda: store.get(schedule_id).fired >= at_least, PATIENCE_S, what=lambda: str(store.get(schedule_id)))


def test_each_instant_becomes_exactly_one_message(store: ScheduleStore, broker: Broker, start: Start) -> None:
    made = store.create("pulse", "work", IntervalTrigger(milliseconds=50), policy=FirePolicy("all"), queue="q")
    start()
    start()

    fired(store, "pulse", 20)
    shown = store.pause("pulse")

    instants = [made.next_ms + 50 * i for i in range(shown.fired)]  # type: ignore[operator]  # it has a next fire
    expected = {made.first_uuid, *(fire_uuid(broker.keys, "pulse", instant) for instant in instants[1:])}
    assert waiting(broker) == expected
    assert shown.missed == 0
    assert audit(broker.redis).findings == []


def test_messages_carry_what_the_schedule_says(store: ScheduleStore, broker: Broker, start: Start) -> None:
    after = Message("next", queue="q", args=(9,))
    made = store.create(
        "rich", "work", IntervalTrigger(milliseconds=30), args=(1, "ü"), kwargs={"k": [1]}, queue="q", priority=5,
        metadata={"m": 1}, timeout=123, callback=after,
    )  # fmt: skip
    start()

    fired(store, "rich", 2)
    store.pause("rich")

    found = [message for uuid in sorted(waiting(broker)) if (message := broker.find(uuid)) is not None]
    first, second = found[0], found[1]
    assert first.uuid == made.first_uuid
    for message in (first, second):
        assert (message.task_name, message.args, message.kwargs, message.priority) == ("work", (1, "ü"), {"k": [1]}, 5)
        assert (message.metadata, message.timeout) == ({"m": 1}, 123)
        assert message.callback_message_data is not None
        assert broker.keys.partition(message.callback_message_data["uuid"]) == broker.keys.partition(message.uuid)
    assert first.callback_message_data["uuid"] != second.callback_message_data["uuid"]  # type: ignore[index]  # asserted
    assert (first.progenitor_uuid, second.progenitor_uuid) == (None, first.uuid)


def test_one_leads_and_the_next_takes_over_when_it_stops(store: ScheduleStore, start: Start) -> None:
    store.create("pulse", "work", IntervalTrigger(milliseconds=50), queue="q")
    first = start()
    eventually(lambda: first.epoch == 1, PATIENCE_S)
    second = start()
    eventually(lambda: second.is_ready()[0], PATIENCE_S)
    assert second.epoch is None

    first.stop()

    eventually(lambda: second.epoch == 2, PATIENCE_S)
    fired(store, "pulse", store.get("pulse").fired + 3)
    leader = store.leader()
    assert leader is not None
    assert (leader.identity, leader.epoch) == (second.settings.identity, 2)


def test_a_schedule_that_is_made_while_the_leader_sleeps_is_fired_in_time(store: ScheduleStore, start: Start) -> None:
    leader = start()
    eventually(lambda: leader.epoch is not None, PATIENCE_S)

    store.create("late", "work", IntervalTrigger(milliseconds=200), queue="q")

    fired(store, "late", 1)
    shown = store.get("late")
    assert shown.missed == 0


def test_a_date_fires_once_and_ends(store: ScheduleStore, broker: Broker, start: Start) -> None:
    store.create("once", "work", DateTrigger(datetime.now().astimezone() + timedelta(milliseconds=300)), queue="q")
    start()

    eventually(lambda: store.get("once").state == "ended", PATIENCE_S)

    assert (store.get("once").fired, len(waiting(broker))) == (1, 1)


class Stubborn:
    """A trigger that fails."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        if previous is None:
            return now + timedelta(milliseconds=20)
        raise OSError("the almanac is lost")


def test_a_broken_schedule_says_why_and_the_others_go_on(store: ScheduleStore, broker: Broker, start: Start) -> None:
    @task(broker, queue="q", trigger=Stubborn())
    def stubborn() -> None: ...

    stubborn.register(store)  # type: ignore[attr-defined]  # it is a TriggerTask
    store.create("well", "work", IntervalTrigger(milliseconds=50), queue="q")
    scheduler = start(stubborn)

    fired(store, "well", 3)
    eventually(lambda: store.get("stubborn").state == "broken", PATIENCE_S)

    assert store.get("stubborn").reason == "OSError: the almanac is lost"
    assert store.get("stubborn").fired == 0
    assert scheduler.is_live()[0]


def test_of_a_damaged_queue_only_its_own_schedules_are_broken(
    store: ScheduleStore, broker: Broker, start: Start, redis_client: redis.Redis
) -> None:
    index = broker.keys.dead("damaged", broker.keys.partition("ill"))
    redis_client.set(index, "no index")
    for name, queue in (("ill", "damaged"), ("well", "q")):
        store.create(name, "work", IntervalTrigger(milliseconds=50), queue=queue)
    start()

    fired(store, "well", 3)
    shown = eventually(lambda: one if (one := store.get("ill")).state == "broken" else None, PATIENCE_S)

    assert shown is not None
    assert "queue damaged cannot take messages" in (shown.reason or "")
    assert shown.fired == 0
    redis_client.delete(index)
    store.resume("ill")
    fired(store, "ill", 1)


def test_more_than_one_look_can_tell_of_are_fired_once_each(store: ScheduleStore, broker: Broker, start: Start) -> None:
    instant = datetime.now(UTC) + timedelta(milliseconds=200)
    made = [store.create(f"at{i}", "work", DateTrigger(instant), queue="q").first_uuid for i in range(330)]
    scheduler = start()

    eventually(lambda: scheduler.ledger.fires >= len(made), PATIENCE_S)

    assert waiting(broker) == set(made)
    assert scheduler.ledger.fires == len(made) == store.counts().ended


def test_a_trigger_that_is_known_to_its_program_only_needs_it(
    store: ScheduleStore, broker: Broker, start: Start
) -> None:
    @task(broker, queue="q", trigger=Stubborn())
    def stubborn() -> None: ...

    stubborn.register(store)  # type: ignore[attr-defined]  # it is a TriggerTask
    start()

    eventually(lambda: store.get("stubborn").state == "broken", PATIENCE_S)
    assert "known to its program only" in str(store.get("stubborn").reason)


def test_a_schedule_whose_task_left_the_package_is_broken(store: ScheduleStore, broker: Broker, start: Start) -> None:
    @task(broker, queue="q")
    def leaver() -> None: ...

    made = ScheduleStore(broker, [leaver]).create("orphan", leaver, IntervalTrigger(milliseconds=50))
    assert made.origin == __name__

    start(package=__name__)

    eventually(lambda: store.get("orphan").state == "broken", PATIENCE_S)
    assert store.get("orphan").reason == f"there is no task leaver in {__name__} any more"


def test_a_schedule_whose_task_no_worker_knows_is_broken(store: ScheduleStore, broker: Broker, start: Start) -> None:
    store.create("strange", "nobody_knows", IntervalTrigger(milliseconds=50), queue="q")
    start()
    fired(store, "strange", 1)

    def bury() -> bool:
        for uuid in waiting(broker):
            message = broker.find(uuid)
            if message is not None:
                broker.fail(message, reason="unknown_task")
        return store.get("strange").state == "broken"

    eventually(bury, PATIENCE_S)
    assert store.get("strange").reason == "no worker knows its task nobody_knows"


def test_a_scan_registers_what_code_defines_and_deletes_what_it_does_not_any_more(
    store: ScheduleStore, broker: Broker, start: Start
) -> None:
    @task(broker, queue="q", trigger=IntervalTrigger(hours=1))
    def stays() -> None: ...

    @task(broker, queue="q", trigger=IntervalTrigger(hours=1))
    def goes() -> None: ...

    goes.register(store)  # type: ignore[attr-defined]  # it is a TriggerTask
    store.create("made_by_hand", "stays", IntervalTrigger(hours=1), queue="q")

    start(stays, package=__name__)

    eventually(lambda: {one.id for one in store} == {"stays", "made_by_hand"}, PATIENCE_S)
    assert store.get("stays").owner == "code"


def test_skip_and_queue_one_hold_while_a_message_waits(store: ScheduleStore, broker: Broker, start: Start) -> None:
    quick = IntervalTrigger(milliseconds=50)
    store.create("skip", "work", quick, policy=FirePolicy("all", overlap="skip"), queue="a")
    store.create("queue", "work", quick, policy=FirePolicy("all", overlap="queue_one"), queue="b")
    start()

    eventually(lambda: store.get("skip").dropped >= 5 and store.get("queue").dropped >= 5, PATIENCE_S)

    assert (store.get("skip").fired, len(waiting(broker, "a"))) == (1, 1)
    queued = store.get("queue")
    assert (queued.fired, len(waiting(broker, "b"))) == (1, 1)
    assert queued.waiting_ms is not None

    (uuid,) = waiting(broker, "b")
    message = broker.find(uuid)
    assert message is not None
    broker.remove(message)
    fired(store, "queue", 2)


def test_a_damaged_partition_does_not_stop_the_others(
    redis_url: str, redis_client: redis.Redis, start_at: Callable[[int], Scheduler]
) -> None:
    store = ScheduleStore(Broker(RedisBackend(redis_url, partitions=3)))
    names = {store.keys.partition(name): name for name in map(str, range(20))}
    for name in names.values():
        store.create(name, "work", IntervalTrigger(milliseconds=50), queue="q")
    due = f"{store.keys.tag(0)}schedules:due"
    redis_client.rename(due, "kept")
    redis_client.set(due, "no index")

    scheduler = start_at(3)
    fired(store, names[1], 3)
    fired(store, names[2], 3)

    assert store.get(names[0]).fired == 0
    assert scheduler.is_live()[0]
    redis_client.rename("kept", due)
    fired(store, names[0], 1)
    store.broker.backend.close()


class Slow:
    """A trigger that takes as long as the test wants."""

    def __init__(self) -> None:
        self.asked, self.answer = Event(), Event()

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        if previous is None:
            return now + timedelta(milliseconds=20)
        self.asked.set()
        self.answer.wait(PATIENCE_S)
        return None


def test_a_slow_tick_does_not_cost_the_lead(store: ScheduleStore, broker: Broker, start: Start) -> None:
    trigger = Slow()

    @task(broker, queue="q", trigger=trigger)
    def slow() -> None: ...

    slow.register(store)  # type: ignore[attr-defined]  # it is a TriggerTask
    leader = start(slow, lease_ms=1_000)
    assert trigger.asked.wait(PATIENCE_S)
    heard = leader._election.heard_at

    # More than two leases pass while the ticker hangs in somebody's code.
    eventually(lambda: leader._election.heard_at > heard + 2.5, PATIENCE_S)
    standing = eventually(store.leader, PATIENCE_S)
    trigger.answer.set()

    assert standing is not None
    assert standing.identity == leader.settings.identity
    eventually(lambda: store.get("slow").state == "ended", PATIENCE_S)
    assert store.get("slow").fired == 1


def test_a_leader_without_redis_stops_and_goes_on_when_it_is_back(
    store: ScheduleStore, start: Start, server: Server
) -> None:
    store.create("pulse", "work", IntervalTrigger(milliseconds=50), policy=FirePolicy("all"), queue="q")
    scheduler = start(lease_ms=1_000)
    fired(store, "pulse", 3)

    server.kill()
    eventually(lambda: scheduler.epoch is None, PATIENCE_S)
    assert scheduler.is_live()[0]
    server.start()

    eventually(lambda: scheduler.epoch is not None, PATIENCE_S)
    before = store.get("pulse").fired
    fired(store, "pulse", before + 3)


def commands(client: redis.Redis) -> int:
    """All commands so far, with those inside of scripts."""
    stats: dict[str, dict[str, int]] = client.info("commandstats")  # type: ignore[assignment]  # a sync client
    return sum(one["calls"] for name, one in stats.items() if name != "cmdstat_info")


def test_a_standby_asks_redis_less_than_once_a_second(
    store: ScheduleStore, start: Start, redis_client: redis.Redis
) -> None:
    lead = store.verbs.lead("somebody", 4_000, 0)
    store.broker.redis.links.execute([lead])
    idle = start()
    eventually(lambda: idle._election.heard_at, PATIENCE_S)
    # From here on it says nothing until the lease that it saw should have ended; the lead is kept meanwhile.
    before = commands(redis_client)
    store.broker.redis.links.execute([store.verbs.lead("somebody", 60_000, 0)])
    keeping, heard = commands(redis_client) - before, idle._election.heard_at

    eventually(lambda: idle._election.heard_at > heard, PATIENCE_S)

    looking = commands(redis_client) - before - keeping
    rarest_s = (DEFAULT_LEASE_MS - Settings().renew_ms) / 1000
    print(f"a standby looks once in {rarest_s:g} s at most, with {looking} commands: {looking / rarest_s:.2f}/s")
    assert idle.epoch is None
    assert 0 < looking <= rarest_s


def test_of_many_changes_at_once_a_leader_looks_at_few(
    store: ScheduleStore, start: Start, redis_client: redis.Redis
) -> None:
    leader = start()
    eventually(lambda: leader.epoch is not None, PATIENCE_S)
    made = store.create("s", "work", IntervalTrigger(hours=1), queue="q")
    fields = store.broker.redis.links.command("HMGET", store.keys.schedule("s"), "d", "b")
    far, changes = made.next_ms, 500
    told = dict(zip(("d", "b"), fields, strict=True))

    before = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]  # type: ignore[index]  # a sync client
    for _ in store.broker.redis.links.stream(
        [store.verbs.put(f"s{i}", 0, "made", "a", far, told) for i in range(changes)]
    ):
        pass
    store.create("last", "work", IntervalTrigger(milliseconds=50), queue="q")
    fired(store, "last", 1)

    # Each change by itself would have cost a look at the partitions and one at the counts.
    asked = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] - before  # type: ignore[index]  # a sync client
    assert asked - changes < changes


def test_metrics_and_probes_tell_how_a_scheduler_is(store: ScheduleStore, start: Start) -> None:
    store.create("pulse", "work", IntervalTrigger(milliseconds=50), queue="q")
    store.create("rest", "work", CronTrigger("0 3 * * *"), queue="q", paused=True)
    scheduler = start()
    fired(store, "pulse", 3)
    probes = Probes(live={"ticker": scheduler.is_live}, ready={"redis": scheduler.is_ready})

    with ProbeServer(Address(0, "127.0.0.1"), probes, Exposition("scheduler", SchedulerMetrics(scheduler))) as served:
        ready: dict[str, Any] = json.loads(urllib.request.urlopen(f"{served.url}/readyz").read())
        live: dict[str, Any] = json.loads(urllib.request.urlopen(f"{served.url}/livez").read())
        text = urllib.request.urlopen(f"{served.url}/metrics").read().decode()

    assert (ready["status"], live["status"]) == ("ok", "ok")
    assert "leading" in ready["checks"]["redis"]["reason"]
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["alsek_scheduler_is_leader"]) == 1
    assert float(values["alsek_scheduler_epoch"]) == 1
    assert float(values["alsek_scheduler_fires_total"]) >= 3
    assert float(values["alsek_scheduler_fire_lag_seconds_count"]) >= 3
    assert 'alsek_scheduler_misfires_total{policy="once"}' in values
    assert float(values['alsek_schedules{state="paused"}']) == 1
