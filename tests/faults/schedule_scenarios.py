"""A scheduler fires all that was missed and stops: what the sweep crashes at every command."""

from __future__ import annotations

from alsek.core.broker import Broker
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.triggers import IntervalTrigger
from alsek.storage.backends.redis import RedisBackend
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from harness.eventually import eventually

#: Schedules, the partitions they lie in, and the instants of each; all of them have passed.
SCHEDULES, PARTITIONS, INSTANTS = 3, 2, 4
BEGAN_MS_AGO, EVERY_MS = 10_000, 1_000


def broker_at(url: str) -> Broker:
    return Broker(RedisBackend(url, partitions=PARTITIONS))


def names() -> list[str]:
    return [f"s{i}" for i in range(SCHEDULES)]


def fill(url: str, now_ms: int) -> None:
    """Make schedules whose instants have all passed."""
    broker = broker_at(url)
    store = ScheduleStore(broker)
    start, later = now_ms - BEGAN_MS_AGO, now_ms + BEGAN_MS_AGO
    length = (INSTANTS - 1) * EVERY_MS
    trigger = IntervalTrigger(milliseconds=EVERY_MS, start=later, end=later + length)
    for name in names():
        made = store.create(name, name, trigger, policy=FirePolicy("all"), queue="q", paused=True)
        definition: bytes = broker.redis.links.command("HGET", broker.keys.schedule(name), "d")
        for future, past in ((later, start), (later + length, start + length)):
            definition = definition.replace(str(future).encode(), str(past).encode())
        broker.redis.links.execute([store.verbs.put(name, made.version, "due", "a", start, {"d": definition})])
    broker.backend.close()


def fire_all(url: str, journal: str, direct: str) -> None:
    """Run a scheduler until all of them have ended; looks at them past the proxy."""
    with Scheduler(broker_at(url), settings=Settings(lease_ms=500)):
        wait_until_ended(direct)


def wait_until_ended(direct: str) -> None:
    store = ScheduleStore(broker_at(direct))
    eventually(lambda: store.counts().ended == SCHEDULES, 30, what=lambda: str(list(store)), interval=0.01)
    store.broker.backend.close()
