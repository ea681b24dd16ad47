"""The schedule store on a real server: what it takes and refuses, and who may change what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message, task
from alsek.core.schedules import FirePolicy, Schedule, ScheduleStore
from alsek.core.triggers import CronTrigger, DateTrigger, IntervalTrigger
from alsek.exceptions import (
    ScheduleConflictError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    SchedulingError,
    SerializationError,
    UnknownTaskError,
    ValidationError,
    WrongArgumentsError,
)
from alsek.storage.backends.redis import RedisBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

HOUR = IntervalTrigger(hours=1)


@pytest.fixture(params=[1, 3], ids=["one partition", "three partitions"])
def broker(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Broker]:
    backend = RedisBackend(redis_url, partitions=request.param)
    yield Broker(backend)
    backend.close()


@pytest.fixture
def add(broker: Broker) -> Any:
    @task(broker, queue="maths", timeout=5_000)
    def add(a: int, b: int = 0) -> int:
        return a + b

    return add


@pytest.fixture
def store(broker: Broker, add: Any) -> ScheduleStore:
    return ScheduleStore(broker, [add])


def test_a_schedule_is_read_as_it_was_made(store: ScheduleStore, add: Any) -> None:
    policy = FirePolicy(misfire="all", grace_ms=60_000, overlap="skip")
    trigger = CronTrigger("*/5 9-17 * * mon-fri", "Europe/Vienna")

    made = store.create(
        "sums", add, trigger, policy=policy, args=(1, 2), queue="fast", priority=3, delay=50, result_ttl=None,
        metadata={"who": "me"}, ttl=9_000, timeout=700,
    )  # fmt: skip

    assert store.get("sums") == made
    assert (made.task, made.queue, made.args, made.kwargs) == ("add", "fast", (1, 2), {})
    assert (made.priority, made.delay, made.timeout, made.ttl) == (3, 50, 700, 9_000)
    assert (made.trigger, made.policy, made.metadata) == (trigger, policy, {"who": "me"})
    assert (made.state, made.version, made.owner, made.fired) == ("active", 1, "user", 0)
    assert made.next_ms == trigger.fire_after(made.anchor_ms)
    assert made.data()["trigger"]["expression"] == "*/5 9-17 * * mon-fri"


def test_a_task_may_be_given_by_name(store: ScheduleStore, broker: Broker) -> None:
    known = store.create("known", "add", HOUR, args=(1,))
    alone = ScheduleStore(broker).create("alone", "elsewhere", HOUR, args=(1,), queue="far")

    assert (known.queue, known.timeout) == ("maths", 5_000)
    assert (alone.task, alone.queue) == ("elsewhere", "far")


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda s: s.create("x", "nobody", HOUR), UnknownTaskError, "there is no task 'nobody'; known are add"),
    (lambda s: s.create("x", 3, HOUR), ValidationError, "is a task, or its name"),
    (lambda s: s.create("x", "add", HOUR), WrongArgumentsError, "missing a required argument: 'a'"),
    (lambda s: s.create("x", "add", HOUR, args=(object(),)), SerializationError, "args[0]"),
    (lambda s: s.create("x", "add", HOUR, args=(1,), priority=-1), ValidationError, "priority"),
    (lambda s: s.create("x", "add", HOUR, args=(1,), ttl=0), ValidationError, "ttl"),
    (lambda s: s.create("x", "add", HOUR, args=(1,), colour=1), ValidationError, "not colour"),
    (lambda s: s.create("a b", "add", HOUR, args=(1,)), ValidationError, "schedule id 'a b'"),
    (lambda s: s.create("x:y", "add", HOUR, args=(1,)), ValidationError, "schedule id 'x:y'"),
    (lambda s: s.create("x", "add", "hourly", args=(1,)), ValidationError, "get_next_fire_time"),
    (lambda s: s.create("x", "add", DateTrigger("2020-01-01"), args=(1,)), ValidationError, "no instant left"),
    (
        lambda s: s.create("x", "add", CronTrigger("* * * * *", end="2020-01-01"), args=(1,)),
        ValidationError,
        "no instant left",
    ),
    (lambda s: s.create("x", "add", HOUR, policy=FirePolicy("never"), args=(1,)), ValidationError, "misfire policy"),  # type: ignore[arg-type]  # that is the point
    (lambda s: FirePolicy(overlap="none"), ValidationError, "overlap policy"),  # type: ignore[arg-type]  # that is the point
    (lambda s: FirePolicy(grace_ms=-1), ValidationError, "grace"),
    (lambda s: s.get("x"), ScheduleNotFoundError, "there is no schedule x"),
    (lambda s: s.delete("x"), ScheduleNotFoundError, "there is no schedule x"),
    (lambda s: s.pause("x"), ScheduleNotFoundError, "there is no schedule x"),
    (lambda s: s.fire("x"), ScheduleNotFoundError, "there is no schedule x"),
    (lambda s: s.update("x", 1), ScheduleNotFoundError, "there is no schedule x"),
    (lambda s: s.page(0), ValidationError, "limit"),
    (lambda s: s.page(10, "nonsense"), ValidationError, "no cursor"),
]


@pytest.mark.parametrize(("act", "kind", "reason"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_input_is_refused_with_the_reason_and_leaves_nothing(
    store: ScheduleStore, act: Any, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind) as refusal:
        act(store)

    assert reason in str(refusal.value)
    assert store.counts().total == 0


def test_a_name_is_taken_once(store: ScheduleStore) -> None:
    store.create("one", "add", HOUR, args=(1,))

    with pytest.raises(ScheduleExistsError, match="there is a schedule one already"):
        store.create("one", "add", HOUR, args=(2,))
    assert store.get("one").args == (1,)


def test_an_update_changes_what_it_names(store: ScheduleStore) -> None:
    made = store.create("one", "add", HOUR, args=(1, 2), priority=4, metadata={"a": 1})

    changed = store.update("one", made.version, args=(5, 6))

    assert (changed.args, changed.version) == ((5, 6), 2)
    assert (changed.priority, changed.metadata, changed.trigger) == (4, {"a": 1}, HOUR)
    assert (changed.next_ms, changed.first_uuid) == (made.next_ms, made.first_uuid)


def test_an_update_by_name_keeps_what_only_the_task_knows(store: ScheduleStore, broker: Broker) -> None:
    made = store.create("one", "add", HOUR, args=(1, 2), timeout=123)

    changed = ScheduleStore(broker).update("one", made.version, policy=FirePolicy(misfire="skip"))

    assert (changed.policy.misfire, changed.args, changed.timeout, changed.queue) == ("skip", (1, 2), 123, "maths")


def test_a_new_trigger_begins_now(store: ScheduleStore) -> None:
    made = store.create("one", "add", HOUR, args=(1,))

    changed = store.update("one", made.version, trigger=IntervalTrigger(minutes=1))

    assert changed.next_ms == changed.anchor_ms + 60_000
    assert changed.anchor_ms >= made.anchor_ms


def test_who_read_an_older_version_changes_nothing(store: ScheduleStore) -> None:
    made = store.create("one", "add", HOUR, args=(1,))
    store.update("one", made.version, args=(2,))

    for act in (
        lambda: store.update("one", made.version, args=(3,)),
        lambda: store.pause("one", made.version),
        lambda: store.delete("one", made.version),
    ):
        with pytest.raises(ScheduleConflictError) as conflict:
            act()
        assert conflict.value.version == 2
    assert store.get("one").args == (2,)


def test_of_many_editors_each_change_builds_on_the_last(store: ScheduleStore) -> None:
    store.create("one", "add", HOUR, args=(0,))

    def count_up(_: int) -> None:
        while True:
            read = store.get("one")
            assert read.args is not None
            try:
                store.update("one", read.version, args=(read.args[0] + 1,))
            except ScheduleConflictError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(40)))

    assert store.get("one").args == (40,)


def test_a_paused_schedule_has_no_next_fire_until_it_goes_on(store: ScheduleStore) -> None:
    made = store.create("one", "add", HOUR, args=(1,))

    paused = store.pause("one")
    again = store.pause("one")
    resumed = store.resume("one")

    assert (paused.state, paused.next_ms) == ("paused", None)
    assert again.version == paused.version
    assert (resumed.state, resumed.next_ms) == ("active", made.next_ms)
    assert store.create("two", "add", HOUR, args=(1,), paused=True).state == "paused"


def test_a_message_can_be_fired_by_hand(store: ScheduleStore, broker: Broker) -> None:
    made = store.create("one", "add", HOUR, args=(1, 2), priority=7, paused=True)

    uuid = store.fire("one")

    message = broker.find(uuid)
    assert message is not None
    assert (message.task_name, message.args, message.queue, message.priority) == ("add", (1, 2), "maths", 7)
    assert message.progenitor_uuid == made.first_uuid
    assert store.get("one").fired == 1
    assert store.fire("one") != uuid
    assert broker.keys.partition(uuid) == broker.keys.partition("one")


def test_a_preview_shows_the_next_fires_in_the_zone_of_the_trigger(store: ScheduleStore) -> None:
    store.create("one", "add", CronTrigger("30 2 * * *", "Europe/Vienna"), args=(1,), paused=True)

    shown = store.preview("one", 400)

    assert len(shown) == 400
    assert {(moment.hour, moment.minute) for moment in shown} == {(2, 30), (3, 0)}


def test_schedules_are_listed_page_by_page_and_counted_by_state(store: ScheduleStore, broker: Broker) -> None:
    names = [f"s{i:02}" for i in range(25)]
    for name in names:
        store.create(name, "add", HOUR, args=(1,), paused=name < "s05")

    found: list[Schedule] = []
    page = store.page(10)
    while True:
        found += page.schedules
        if page.cursor is None:
            break
        page = store.page(10, page.cursor)

    assert sorted(one.id for one in found) == names == sorted(one.id for one in store)
    counts = store.counts()
    assert (counts.active, counts.paused, counts.broken, counts.ended, counts.total) == (20, 5, 0, 0, 25)
    for name in names:
        store.delete(name)
    assert store.counts().total == 0


def test_a_broken_schedule_is_shown_with_the_reason_and_can_be_tried_again(store: ScheduleStore) -> None:
    made = store.create("one", "add", HOUR, args=(1,))

    assert store.mark_broken("one", made.version, "its task\nis gone")
    assert not store.mark_broken("one", made.version, "too late")

    broken = store.get("one")
    assert (broken.state, broken.reason, broken.next_ms) == ("broken", "its task is gone", None)
    assert store.counts().broken == 1
    assert (store.resume("one").state, store.get("one").reason) == ("active", None)


@pytest.mark.parametrize(
    "damage",
    [{"d": "{"}, {"d": '{"format": 1}'}, {"d": '{"format": 99}'}, {"b": b"\x07"}, {"b": ""}, {"v": "x", "d": "[]"}],
    ids=str,
)
def test_what_cannot_be_read_is_shown_as_broken_and_hides_nothing(
    store: ScheduleStore, broker: Broker, redis_client: redis.Redis, damage: dict[str, Any]
) -> None:
    store.create("a", "add", HOUR, args=(1,))
    store.create("b", "add", HOUR, args=(1,))
    redis_client.hset(broker.keys.schedule("a"), mapping=damage)

    shown = {one.id: one.state for one in store}

    assert shown == {"a": "broken", "b": "active"}
    assert store.get("a").reason
    store.delete("a")
    assert [one.id for one in store] == ["b"]


def test_nobody_leads_before_a_scheduler_runs(store: ScheduleStore) -> None:
    assert store.leader() is None


# -- what code owns --------------------------------------------------------------------------------------------------


def register(store: ScheduleStore, made: Any, trigger: Any = HOUR, **call: Any) -> tuple[Schedule, bool]:
    return store.register("one", made, trigger, FirePolicy(), "my_app.tasks", call)


def test_code_registers_a_schedule_once(store: ScheduleStore, add: Any) -> None:
    first, begun = register(store, add, args=(1,))
    second, again = register(store, add, args=(1,))

    assert (begun, again) == (True, False)
    assert second == first
    assert (first.owner, first.origin, first.version) == ("code", "my_app.tasks", 1)


def test_a_changed_definition_updates_and_a_pause_outlives_it(store: ScheduleStore, add: Any) -> None:
    made, _ = register(store, add, args=(1,))
    store.pause("one")

    changed, begun = register(store, add, args=(2,))
    quicker, anew = register(store, add, IntervalTrigger(minutes=1), args=(2,))

    assert (changed.args, changed.state, begun) == ((2,), "paused", False)
    assert (quicker.state, anew) == ("paused", True)
    assert quicker.first_uuid == made.first_uuid


def test_code_does_not_take_over_what_was_made_at_run_time(store: ScheduleStore, add: Any) -> None:
    store.create("one", "add", HOUR, args=(1,))

    with pytest.raises(SchedulingError, match="made at run time"):
        register(store, add, args=(1,))


def test_callbacks_do_not_make_a_definition_differ(store: ScheduleStore, add: Any) -> None:
    def chain() -> Message:
        return add.generate(args=(1,), submit=False, callback=add.generate(args=(2,), submit=False))  # type: ignore[no-any-return]  # a fixture

    first, _ = register(store, add, args=(1,), callback=chain())
    second, again = register(store, add, args=(1,), callback=chain())

    assert not again
    assert second.version == first.version
