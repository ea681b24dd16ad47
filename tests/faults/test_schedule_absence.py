"""S3: nobody led for three hours; what becomes of the missed instants is compared with a calendar."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.schedules.policy import MOST_CAUGHT_UP, ON_TIME_MS
from alsek.core.triggers import CronTrigger, IntervalTrigger, Trigger
from alsek.storage.backends.redis import RedisBackend
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from faults.ends import assert_sound
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from harness.server import Server

HOURS_3_MS = 3 * 3_600_000


def triggers(dice: random.Random, count: int) -> list[tuple[Trigger, int, int]]:
    """Triggers, each with the period and the phase of its instants (ms), which is all that the calendar knows."""
    found: list[tuple[Trigger, int, int]] = []
    for _ in range(count):
        minutes = dice.choice((1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30))
        if dice.random() < 0.5:
            found.append(
                (CronTrigger(f"*/{minutes} * * * *", dice.choice(("UTC", "Europe/Vienna"))), minutes * 60_000, 0)
            )
        else:
            every, phase = dice.choice((10, 30, 45, 90, 600)) * 1_000, dice.randrange(10_000)
            found.append((IntervalTrigger(milliseconds=every, start=phase), every, phase))
    return found


@pytest.mark.chaos
@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_after_three_hours_without_a_leader_policies_decide(server: Server, seed: int, misfire: str) -> None:
    dice = random.Random(f"{seed}{misfire}")
    broker = Broker(RedisBackend(server.url, partitions=2))
    store = ScheduleStore(broker)
    made = triggers(dice, chaos_size(20, 200))
    graces = [dice.choice((60_000, 3_600_000, 2 * HOURS_3_MS)) for _ in made]
    seconds, _ = broker.redis.links.command("TIME")
    gone_ms = int(seconds) * 1000 - HOURS_3_MS
    due: dict[str, int] = {}
    for i, ((trigger, every, phase), grace) in enumerate(zip(made, graces, strict=True)):
        name = f"s{i}"
        policy = FirePolicy(misfire, grace)  # type: ignore[arg-type]  # one of the three
        one = store.create(name, name, trigger, policy=policy, queue="q", paused=True)
        due[name] = gone_ms + (phase - gone_ms) % every
        broker.redis.links.execute([store.verbs.put(name, one.version, "due", "a", due[name], {})])

    with Scheduler(broker, settings=Settings(lease_ms=5_000)) as scheduler:
        eventually(lambda: all(one.next_ms > due[one.id] for one in store if one.next_ms), 60, interval=0.02)
        eventually(lambda: scheduler.epoch is not None, 30)
        shown = {one.id: store.pause(one.id) for one in list(store)}

    fired: dict[str, list[int]] = {name: [] for name in due}
    for partition in range(2):
        for raw in broker.redis.links.command("ZRANGE", broker.keys.ready("q", partition), 0, -1):
            message = broker.find(raw.decode())
            assert message is not None
            fired[message.task_name].append(message.created_at)
    total = 0
    for (name, first), (_, every, _), grace in zip(due.items(), made, graces, strict=True):
        instants = sorted(fired[name])
        total += len(instants)
        # The moment of the decision lies between the last instant that was fired or passed over, and the next.
        watermark = int(broker.redis.links.command("HGET", broker.keys.schedule(name), "l"))
        calendar = list(range(first, watermark + 1, every))
        lateness = ON_TIME_MS if misfire == "skip" else max(grace, ON_TIME_MS)
        most = MOST_CAUGHT_UP if misfire == "all" else 1
        assert instants == calendar[len(calendar) - len(instants) :], name
        assert len(instants) <= most + shown[name].fired
        young = [one for one in calendar if one > watermark - lateness + every]
        assert len(instants) >= min(most, len(young)), (name, instants, young[-3:])
        assert not [one for one in instants[: -shown[name].fired or None] if one < watermark - lateness - every]
    assert_sound(broker)
    print(f"S3 {misfire}: {len(made)} schedules, {total} messages for three hours as the calendar says", flush=True)
    broker.backend.close()
