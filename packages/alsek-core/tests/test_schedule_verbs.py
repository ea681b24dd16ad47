"""The scripts of schedules, one by one, on a real server."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.schedules.template import Template, fire_uuid
from alsek.core.triggers import IntervalTrigger
from alsek.exceptions import ScheduleNotFoundError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.schedules import Due, Fired, Firing, ScheduleVerbs
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

SECOND = IntervalTrigger(seconds=1)


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    backend = RedisBackend(redis_url)
    yield Broker(backend)
    backend.close()


@pytest.fixture
def store(broker: Broker) -> ScheduleStore:
    return ScheduleStore(broker)


class Leader:
    """Speaks the verbs as a leader does, and makes time pass by moving schedules into the past."""

    def __init__(self, broker: Broker, client: redis.Redis, identity: str = "me", epoch: int = 1) -> None:
        self.broker, self.client = broker, client
        self.identity, self.epoch = identity, epoch
        self.store = ScheduleStore(broker)
        self.verbs: ScheduleVerbs = self.store.verbs

    def run(self, call: Any) -> Any:
        return self.broker.redis.links.execute([call])[0]

    def make_due(self, schedule_id: str, ago_ms: int = 10) -> int:
        """Let a schedule be due since a moment; gives that instant."""
        seconds, micros = self.client.time()  # type: ignore[misc]  # a sync client
        instant = int(seconds) * 1000 + int(micros) // 1000 - ago_ms
        self.client.hset(self.broker.keys.schedule(schedule_id), "n", instant)
        self.client.zadd("{alsek:0}:schedules:due", {schedule_id: instant})
        return instant

    def due(self) -> list[Due]:
        return self.verbs.read_due(self.run(self.verbs.due(0, self.epoch, self.identity))).due

    def firing(
        self, one: Due, instants: list[int], next_ms: int | None, overlap: str = "allow", **other: Any
    ) -> Firing:
        template = Template(self.broker.keys, one.id, self.body(one.id), self.broker.backend.serializer)
        messages = [
            (instant, *template.message(instant, one.first_uuid, first=one.fired == 0 and i == 0))
            for i, instant in enumerate(instants)
        ]
        made = Firing(
            one.id, one.version, one.next_ms, next_ms, instants[-1] if instants else None, 0, overlap, "q", "work",
            "", "", 0, 0, messages,
        )  # fmt: skip
        return made._replace(**other)

    def fire(self, *firings: Firing) -> tuple[bool, list[tuple[int, list[str]]]]:
        leads, _, codes = self.verbs.read_fire(self.run(self.verbs.fire(0, self.epoch, self.identity, firings)))
        return leads, codes

    def body(self, schedule_id: str) -> bytes:
        body: bytes = self.client.hget(self.broker.keys.schedule(schedule_id), "b")  # type: ignore[assignment]  # sync
        return body

    def waiting(self) -> list[str]:
        return [name.decode() for name in self.client.zrange("{alsek:0}:r:q", 0, -1)]  # type: ignore[union-attr]  # sync


@pytest.fixture
def leader(broker: Broker, redis_client: redis.Redis, store: ScheduleStore) -> Leader:
    store.create("one", "work", SECOND, queue="q")
    return Leader(broker, redis_client)


def test_a_due_schedule_is_fired_and_advanced_in_one_step(leader: Leader) -> None:
    instant = leader.make_due("one")
    (one,) = leader.due()

    assert leader.fire(leader.firing(one, [instant], instant + 1_000)) == (True, [(1, [one.first_uuid])])

    shown = leader.store.get("one")
    assert (shown.next_ms, shown.last_ms, shown.last_uuid, shown.fired) == (instant + 1_000, instant, one.first_uuid, 1)
    assert shown.last_fire is not None
    assert shown.next_fire == shown.last_fire + timedelta(seconds=1)
    assert leader.waiting() == [one.first_uuid]
    message = leader.broker.find(one.first_uuid)
    assert message is not None
    assert message.progenitor_uuid is None


def test_a_repeated_tick_fires_nothing_again(leader: Leader) -> None:
    instant = leader.make_due("one")
    (one,) = leader.due()
    firing = leader.firing(one, [instant], instant + 1_000)

    leader.fire(firing)

    assert leader.fire(firing) == (True, [(Fired.CHANGED, [])])
    assert len(leader.waiting()) == 1


def test_the_id_of_a_message_follows_from_schedule_and_instant(leader: Leader) -> None:
    first = leader.make_due("one", 20)
    (one,) = leader.due()
    leader.fire(leader.firing(one, [first, first + 5], first + 10))

    second = fire_uuid(leader.broker.keys, "one", first + 5)

    assert set(leader.waiting()) == {one.first_uuid, second}
    message = leader.broker.find(second)
    assert message is not None
    assert (message.progenitor_uuid, message.created_at) == (one.first_uuid, first + 5)


def test_the_instant_that_the_first_message_was_named_after_gets_its_own(leader: Leader, store: ScheduleStore) -> None:
    named_after = store.create("soon", "work", IntervalTrigger(milliseconds=50), queue="q").next_ms
    assert named_after is not None
    sooner = leader.make_due("soon")
    (one,) = leader.due()
    leader.fire(leader.firing(one, [sooner], named_after))

    (again,) = eventually(leader.due, 10)
    leader.fire(leader.firing(again, [named_after], None))

    assert one.first_uuid == fire_uuid(leader.broker.keys, "soon", named_after)
    assert (len(leader.waiting()), store.get("soon").fired) == (2, 2)
    message = leader.broker.find(str(store.get("soon").last_uuid))
    assert message is not None
    assert (message.progenitor_uuid, message.created_at) == (one.first_uuid, named_after)


def test_an_older_leader_is_refused_in_every_partition_it_comes_to(leader: Leader, broker: Broker) -> None:
    instant = leader.make_due("one")
    (one,) = leader.due()
    newer = Leader(broker, leader.client, "you", epoch=2)

    newer.due()

    assert leader.fire(leader.firing(one, [instant], instant + 1_000)) == (False, [])
    assert not leader.verbs.read_due(leader.run(leader.verbs.due(0, 1, "me"))).leads
    assert leader.waiting() == []
    assert newer.fire(newer.firing(one, [instant], instant + 1_000))[1][0][0] == 1


def test_two_who_say_the_same_epoch_are_told_apart(leader: Leader, broker: Broker) -> None:
    leader.due()

    assert not leader.verbs.read_due(leader.run(leader.verbs.due(0, 1, "you"))).leads


def test_nothing_is_fired_before_its_time(leader: Leader) -> None:
    (instant,) = [leader.make_due("one", ago_ms=-60_000)]
    early = Due("one", 1, instant, None, None, leader.store.get("one").first_uuid or "", 0, 0)

    hand = leader.verbs.read_due(leader.run(leader.verbs.due(0, 1, "me")))
    assert hand.due == []
    assert hand.wait_ms is not None
    assert 0 < hand.wait_ms <= 60_000
    assert leader.fire(leader.firing(early, [instant], instant + 1_000)) == (True, [(Fired.NOT_DUE, [])])
    assert leader.waiting() == []


@pytest.mark.parametrize("change", ["update", "pause", "delete", "fire"])
def test_a_schedule_that_changed_meanwhile_is_left_alone(leader: Leader, change: str) -> None:
    instant = leader.make_due("one")
    (one,) = leader.due()
    firing = leader.firing(one, [instant], instant + 1_000)

    match change:
        case "update":
            leader.store.update("one", 1, queue="q2")
        case "pause":
            leader.store.pause("one")
        case "delete":
            leader.store.delete("one")
        case "fire":
            leader.fire(firing)

    assert leader.fire(firing)[1][0][0] == (-1 if change == "delete" else -2)
    assert len(leader.waiting()) == (1 if change == "fire" else 0)


def test_a_change_never_sets_the_next_fire_before_one_that_has_been(leader: Leader) -> None:
    instant = leader.make_due("one")
    (one,) = leader.due()
    leader.fire(leader.firing(one, [instant], instant + 1_000))

    call = leader.verbs.put("one", 1, "mark", "a", instant, {})

    assert leader.verbs.read_put(leader.run(call)).code == -3


def test_a_schedule_made_anew_never_begins_with_what_its_forerunner_may_have_fired(leader: Leader) -> None:
    instant = leader.make_due("one")
    (one,) = leader.due()
    leader.fire(leader.firing(one, [instant], instant + 1_000))
    leader.store.delete("one")

    call = leader.verbs.put("one", 0, "mark", "a", instant, {}, ahead=True)

    assert leader.verbs.read_put(leader.run(call)).code == -3
    with pytest.raises(ScheduleNotFoundError):
        leader.store.get("one")


def test_a_change_whose_answer_was_lost_is_recognised(leader: Leader) -> None:
    call = leader.verbs.put("one", 1, "mark", "p", None, {})

    assert leader.verbs.read_put(leader.run(call)).code == 1
    assert leader.verbs.read_put(leader.run(call)).code == -2
    assert leader.verbs.read_put(leader.run(call.repeated())).code == 2
    assert leader.run(leader.verbs.delete("one", 2)) == 1
    assert leader.run(leader.verbs.delete("one", 2)) == -1
    assert leader.run(leader.verbs.delete("one", 2).repeated()) == 2


def test_skip_drops_a_fire_while_the_last_one_is_still_there(leader: Leader) -> None:
    instant = leader.make_due("one", 20)
    (one,) = leader.due()
    leader.fire(leader.firing(one, [instant], instant + 1, "skip"))
    (again,) = leader.due()

    assert leader.fire(leader.firing(again, [instant + 1], instant + 2, "skip")) == (True, [(1, [])])
    assert (leader.store.get("one").dropped, leader.store.get("one").fired) == (1, 1)

    message = leader.broker.find(one.first_uuid)
    assert message is not None
    leader.broker.remove(message)
    (third,) = leader.due()
    assert len(leader.fire(leader.firing(third, [instant + 2], instant + 3, "skip"))[1][0][1]) == 1


def test_queue_one_keeps_one_fire_until_the_last_one_has_ended(leader: Leader) -> None:
    instant = leader.make_due("one", 20)
    (one,) = leader.due()
    far = instant + 3_600_000
    leader.fire(leader.firing(one, [instant, instant + 1, instant + 2], far, "queue_one"))

    shown = leader.store.get("one")
    assert (shown.fired, shown.waiting_ms, shown.dropped, shown.next_ms) == (1, instant + 1, 1, far)
    leader.client.zadd("{alsek:0}:schedules:due", {"one": 0})
    assert leader.due() == []  # its forerunner is still there

    message = leader.broker.find(one.first_uuid)
    assert message is not None
    leader.broker.remove(message)
    leader.client.zadd("{alsek:0}:schedules:due", {"one": 0})
    (waiting,) = leader.due()
    firing = leader.firing(waiting, [instant + 1], far, "queue_one", handled_ms=None)
    assert len(leader.fire(firing)[1][0][1]) == 1
    assert leader.fire(firing) == (True, [(1, [])])

    shown = leader.store.get("one")
    assert (shown.fired, shown.waiting_ms, shown.next_ms) == (2, None, far)
    assert leader.client.zscore("{alsek:0}:schedules:due", "one") == far


def test_a_schedule_without_a_next_fire_ends(leader: Leader) -> None:
    instant = leader.make_due("one")
    (one,) = leader.due()

    leader.fire(leader.firing(one, [instant], None))

    assert (leader.store.get("one").state, leader.store.counts().ended) == ("ended", 1)
    assert leader.due() == []


def test_one_corrupt_schedule_does_not_stop_the_others(leader: Leader, store: ScheduleStore) -> None:
    store.create("two", "work", SECOND, queue="q")
    leader.make_due("one")
    leader.make_due("two")
    leader.client.delete(leader.broker.keys.schedule("one"))
    leader.client.set(leader.broker.keys.schedule("one"), "a text")

    assert [one.id for one in leader.due()] == ["two"]


@pytest.mark.parametrize("index", ["ready", "delayed", "leases", "dead", "wake"])
def test_one_damaged_queue_does_not_stop_the_schedules_of_others(
    index: str, leader: Leader, store: ScheduleStore
) -> None:
    store.create("two", "work", SECOND, queue="damaged")
    leader.client.set(getattr(leader.broker.keys, index)("damaged", 0), "a text")
    instants = {name: leader.make_due(name) for name in ("one", "two")}
    firings = [
        leader.firing(one, [instants[one.id]], None, queue="damaged" if one.id == "two" else "q")
        for one in leader.due()
    ]

    _, outcomes = leader.fire(*firings)

    codes = {firing.id: code for firing, (code, _) in zip(firings, outcomes, strict=True)}
    assert codes == {"one": Fired.ADVANCED, "two": Fired.QUEUE_DAMAGED}
    assert (store.get("two").fired, store.get("two").next_ms) == (0, instants["two"])
    assert [one.id for one in leader.due()] == ["two"]


def test_a_look_may_pass_over_the_first(leader: Leader, store: ScheduleStore) -> None:
    store.create("two", "work", SECOND, queue="q")
    leader.make_due("one", 20)
    leader.make_due("two", 10)

    reply = leader.run(leader.verbs.due(0, leader.epoch, leader.identity, 1))

    assert [one.id for one in leader.verbs.read_due(reply).due] == ["two"]


def test_the_lead_is_taken_kept_and_given_back(leader: Leader) -> None:
    verbs = leader.verbs

    assert leader.run(verbs.lead("me", 10_000, 0)) == [1, 1]
    assert leader.run(verbs.lead("me", 10_000, 0)) == [2, 1]
    refused, left_ms = leader.run(verbs.lead("you", 10_000, 0))
    assert (refused, 0 < left_ms <= 10_000) == (0, True)
    found = leader.store.leader()
    assert found is not None
    assert (found.identity, found.epoch) == ("me", 1)
    assert leader.run(verbs.resign("you")) == 0
    assert leader.run(verbs.resign("me")) == 1
    assert leader.run(verbs.lead("you", 10_000, 0)) == [1, 2]


def test_an_epoch_grows_beyond_what_a_partition_has_seen(leader: Leader) -> None:
    assert leader.run(leader.verbs.lead("me", 10_000, 41)) == [1, 42]
    assert leader.run(leader.verbs.lead("me", 10_000, 41)) == [2, 42]
    assert leader.run(leader.verbs.lead("me", 10_000, 50)) == [1, 51]


def test_overlap_policies_have_their_letters() -> None:
    for overlap in ("allow", "skip", "queue_one"):
        assert FirePolicy(overlap=overlap).overlap == overlap  # type: ignore[arg-type]  # a text of the table
