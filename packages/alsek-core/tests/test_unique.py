"""Unique messages: the same call again gives the message that is there, whoever calls, and however many at a time."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message, StatusTracker, task
from alsek.core.status.types import TaskStatus
from alsek.exceptions import MessageAlreadyExistsError, ValidationError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.verbs import Interest
from alsek.tools.fsck import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alsek.core.task import Task

HOUR = 3_600_000


@pytest.fixture(params=[1, 4])
def broker(redis_url: str, namespace: str, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker of the test alone, on one partition and on several."""
    broker = Broker(RedisBackend(redis_url, namespace=namespace, partitions=request.param))
    yield broker
    assert audit(broker.redis).ok
    broker.redis.close()


def make(broker: Broker, **settings: Any) -> Task:
    @task(broker, queue="sync", **settings)
    def sync(account: int, mode: str = "quick", *, deep: bool = False) -> str:
        return f"{account} {mode} {deep}"

    return sync


def claim(broker: Broker) -> list[Message]:
    """Claim all that is ready."""
    found = []
    for partition in range(broker.keys.partitions):
        token = f"w.1-{time.monotonic_ns()}"
        (reply,) = broker.redis.links.execute([broker.verbs.claim(partition, [Interest("sync")], token, "w.1", 50)])
        hand = broker.verbs.read_claim(reply, [Interest("sync")])
        found += [broker.message_of(one, token, time.monotonic() + 30) for one in hand.messages]
    return found


def waiting(broker: Broker) -> int:
    keys = broker.keys
    return sum(broker.redis.conn.zcard(keys.ready("sync", p)) for p in range(keys.partitions))


def test_the_same_call_gives_the_message_that_is_there(broker: Broker) -> None:
    sync = make(broker, unique_for=HOUR)

    first = sync.generate(args=(7,))
    same = [sync.delay(7, "quick"), sync.delay(account=7), sync.delay(7, mode="quick", deep=False), sync.delay(7)]
    others = [sync.delay(8), sync.delay(7, "slow"), sync.delay(7, deep=True), sync.delay("7")]

    assert first.duplicate_of is None
    assert {(again.uuid, again.duplicate_of) for again in same} == {(first.uuid, first.uuid)}
    assert all(other.duplicate_of is None for other in others)
    assert waiting(broker) == 5
    assert broker.find(same[0].uuid) is not None


def test_two_tasks_and_two_namespaces_do_not_meet(broker: Broker) -> None:
    @task(broker, queue="sync", unique_for=HOUR)
    def other(account: int) -> None: ...

    sync = make(broker, unique_for=HOUR)
    twin = Broker(RedisBackend(broker.redis.conn, namespace=f"{broker.redis.namespace}-2"))

    made = [sync.delay(1), other.delay(1), make(twin, unique_for=HOUR).delay(1)]

    assert [message.duplicate_of for message in made] == [None] * 3


@pytest.mark.parametrize("how", ["for the task", "for the call"])
def test_a_key_says_what_is_the_same(broker: Broker, how: str) -> None:
    if how == "for the task":
        sync = make(broker, unique_for=HOUR, unique_key=lambda account, **_: f"account {account}")
        calls: list[Callable[..., Message]] = [sync.delay] * 3
    else:
        sync = make(broker)
        calls = [sync.options(unique_for=HOUR, unique_key=f"account {n}").delay for n in (1, 1, 2)]

    one, again, two = (call(n, deep=deep) for call, n, deep in zip(calls, (1, 1, 2), (False, True, False), strict=True))

    assert (again.duplicate_of, two.duplicate_of) == (one.uuid, None)


def test_a_call_may_decline_to_be_unique(broker: Broker) -> None:
    sync = make(broker, unique_for=HOUR)

    made = [sync.delay(1), sync.options(unique_for=0).delay(1), sync.generate(args=(1,), unique_for=0)]

    assert len({message.uuid for message in made}) == 3


def end(broker: Broker, how: str, message: Message) -> None:
    """End the only message, or let its window pass."""
    if how == "succeeds":
        broker.ack(claim(broker)[0])
    elif how == "fails":
        broker.fail(claim(broker)[0])
    elif how == "is revoked":
        broker.revoke(message)
    elif how == "is removed":
        broker.remove(message)
    elif how == "is tried again":
        broker.retry(claim(broker)[0], delay_ms=HOUR)
    elif how == "runs":
        claim(broker)


@pytest.mark.parametrize(
    ("how", "window", "free"),
    [
        ("waits", 1, False), ("runs", 1, False), ("is tried again", 1, False), ("succeeds", 1, True),
        ("succeeds", HOUR, False), ("fails", HOUR, True), ("is revoked", HOUR, True), ("is removed", HOUR, True),
    ],
)  # fmt: skip
def test_how_long_a_key_is_held(broker: Broker, how: str, window: int, free: bool) -> None:
    sync = make(broker, unique_for=window)
    first = sync.delay(1)
    time.sleep(0.002)  # a window of one ms is over

    end(broker, how, first)
    second = sync.delay(1)

    assert second.duplicate_of == (None if free else first.uuid)
    # Nothing that waits or runs vanishes by itself, and nothing that has ended stays.
    ttls = {name: broker.redis.conn.pttl(name) for name in broker.redis.conn.scan_iter("*:u:*")}
    assert len(ttls) == 1
    ended = how == "succeeds" and not free
    assert [ttl > 0 for ttl in ttls.values()] == [ended]


def test_a_replayed_message_is_unique_again(broker: Broker) -> None:
    sync = make(broker, unique_for=HOUR)
    first = sync.delay(1)
    broker.fail(claim(broker)[0])

    broker.replay(first)

    assert sync.delay(1).duplicate_of == first.uuid


def test_many_at_a_time_and_many_callers_leave_one(broker: Broker) -> None:
    sync = make(broker, unique_for=HOUR)

    with ThreadPoolExecutor(8) as pool:
        one_by_one = list(pool.map(sync.delay, [3] * 40))
        in_bulk = pool.map(lambda _: sync.generate_many({"args": (n % 5,)} for n in range(1_200)), range(4))
        bulk = [message for messages in in_bulk for message in messages]

    async def at_once() -> list[Message]:
        return await asyncio.gather(*[sync.adelay(n % 5) for n in range(50)])

    several = asyncio.run(at_once())
    assert waiting(broker) == 5
    assert len({message.uuid for message in one_by_one}) == 1
    assert {message.uuid for message in [*bulk, *one_by_one, *several]} == {message.uuid for message in claim(broker)}
    assert sum(message.duplicate_of is None for message in [*one_by_one, *bulk, *several]) == 5


def test_many_with_keys_of_their_own(broker: Broker) -> None:
    sync = make(broker)

    made = sync.generate_many(
        [{"args": (1,), "unique_key": "a"}, {"args": (2,), "unique_key": "a"}, {"args": (3,), "unique_for": 0}],
        unique_for=HOUR,
    )

    assert [message.duplicate_of for message in made] == [None, made[0].uuid, None]
    with pytest.raises(ValidationError, match="for all calls at once"):
        sync.generate_many([{"args": (1,), "unique_for": HOUR}])
    assert waiting(broker) == 2


class OwnTracker(StatusTracker):
    """It is told of each status."""

    def set(self, message: Message, status: TaskStatus, details: Any | None = None) -> None:
        super().set(message, status, details)


@pytest.mark.parametrize("kind", [StatusTracker, OwnTracker])
def test_statuses_and_hooks_are_those_of_the_one_message(broker: Broker, kind: type[StatusTracker]) -> None:
    tracker = kind(broker.backend)
    submitted: list[str] = []

    class Telling(type(make(broker))):  # type: ignore[misc]  # Task
        def on_submit(self, message: Message) -> None:
            submitted.append(message.uuid)

    sync = make(broker, unique_for=HOUR, status_tracker=tracker, base_task=Telling)

    first, again = sync.delay(1), sync.delay(1)
    asyncio.run(sync.adelay(1))
    sync.generate_many([{"args": (1,)}])

    assert tracker.get(again).status is TaskStatus.SUBMITTED
    assert len(list(broker.redis.conn.scan_iter("*status:*"))) == 1
    assert submitted == [first.uuid]


def test_an_own_uuid_is_kept(redis_url: str, namespace: str) -> None:
    broker = Broker(RedisBackend(redis_url, namespace=namespace))
    sync = make(broker, unique_for=HOUR)

    assert sync.generate(args=(1,), uuid="mine").uuid == "mine"
    assert sync.generate(args=(1,), uuid="yours").duplicate_of == "mine"
    with pytest.raises(MessageAlreadyExistsError):
        sync.generate(args=(2,), uuid="mine")
    scattered = make(Broker(RedisBackend(redis_url, namespace=namespace, partitions=64)), unique_for=HOUR)
    with pytest.raises(ValidationError, match="leave uuid= out"):
        for n in range(20):  # one of them leads elsewhere, but for one in 10^36 runs
            scattered.generate(args=(n,), uuid="mine")


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (lambda sync: sync.options(unique_for=-1).delay(1), "unique_for"),
        (lambda sync: sync.options(unique_for="1h").delay(1), "unique_for"),
        (lambda sync: sync.options(unique_key="a").delay(1), "needs unique_for"),
        (lambda sync: sync.options(unique_for=HOUR, unique_key="").delay(1), "has to be a text"),
        (lambda sync: sync.options(unique_for=HOUR, unique_key=7).delay(1), "has to be a text"),
        (lambda sync: sync.generate(args=(1,), unique_for=HOUR, submit=False), "kept back"),
        (lambda sync: sync.defer().generate(args=(1,), unique_for=HOUR), "kept back"),
        (lambda sync: asyncio.run(sync.agenerate((1,), unique_for=HOUR, submit=False)), "kept back"),
        (lambda sync: make(sync.broker, unique_key=str), "needs unique_for"),
        (lambda sync: make(sync.broker, unique_for=0.5), "unique_for"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_nothing_is_enqueued(
    broker: Broker, wrong: Callable[[Task], object], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        wrong(make(broker))

    assert waiting(broker) == 0


def test_a_key_whose_message_is_gone_holds_nobody_up(broker: Broker) -> None:
    sync = make(broker, unique_for=1)
    lost = sync.delay(1)
    time.sleep(0.002)

    broker.redis.conn.delete(broker.keys.record(lost.uuid))

    found = audit(broker.redis).findings
    assert "stays_for_ever" in {finding.kind for finding in found}
    assert sync.delay(1).duplicate_of is None
    broker.redis.conn.zrem(broker.keys.ready("sync", broker.keys.partition(lost.uuid)), lost.uuid)
