"""`TriggerTask`: upstream's face, on durable schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from apscheduler.triggers.date import DateTrigger as TheirDate
from apscheduler.triggers.interval import IntervalTrigger as TheirInterval

from alsek import Broker, Message, task
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.status.standard import StatusTracker
from alsek.core.status.types import TaskStatus
from alsek.core.task import TriggerTask
from alsek.core.triggers import IntervalTrigger
from alsek.exceptions import SchedulingError, ValidationError
from alsek.storage.result import ResultStore
from alsek_scheduler.candidate import candidates
from harness.eventually import eventually
from harness.processes import python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.processes import Processes

PATIENCE_S = 30.0

pytestmark = pytest.mark.usefixtures("no_candidates")


@pytest.fixture
def tick(broker: Broker) -> Iterator[Any]:
    tracker = StatusTracker(broker.backend)

    @task(broker, queue="q", trigger=IntervalTrigger(milliseconds=50), status_tracker=tracker)
    def tick() -> str:
        return "tock"

    yield tick
    candidates.stop()


def test_nothing_runs_and_nothing_is_stored_before_generate(tick: Any, store: ScheduleStore) -> None:
    assert isinstance(tick, TriggerTask)
    assert not tick.generated
    assert not tick.scheduler.running
    assert store.counts().total == 0


def test_generate_schedules_and_fires_in_its_own_process(tick: Any, store: ScheduleStore, broker: Broker) -> None:
    first = tick.generate()

    assert tick.generated
    assert tick.scheduler.running
    assert tick.status_tracker.get(first).status == TaskStatus.SUBMITTED
    eventually(lambda: store.get("tick").fired >= 3, PATIENCE_S)
    found = broker.find(first.uuid)
    assert found is not None
    assert found.task_name == "tick"
    assert store.get("tick").owner == "code"


def test_generate_twice_is_refused_until_it_is_cleared(tick: Any) -> None:
    tick.generate()

    with pytest.raises(SchedulingError, match="scheduled already"):
        tick.generate()
    tick.clear()
    assert not tick.generated
    tick.generate()
    assert tick.generated


def test_clear_without_a_schedule_is_an_attribute_error(tick: Any) -> None:
    with pytest.raises(AttributeError, match="not scheduled"):
        tick.clear()


def test_pause_holds_and_resume_goes_on(tick: Any, store: ScheduleStore) -> None:
    tick.generate()
    assert tick.scheduler.state == 1

    tick.pause()
    assert tick.scheduler.state == 2
    assert store.get("tick").state == "paused"
    assert tick.generated
    before = store.get("tick").fired
    tick.resume()

    assert tick.scheduler.state == 1
    eventually(lambda: store.get("tick").fired > before, PATIENCE_S)


def test_shutdown_ends_the_thread_and_leaves_the_schedule(tick: Any, store: ScheduleStore) -> None:
    tick.generate()
    eventually(lambda: store.leader() is not None, PATIENCE_S)

    tick.shutdown()

    assert not tick.scheduler.running
    assert tick.scheduler.state == 0
    assert store.leader() is None
    assert store.get("tick").state == "active"


def test_after_a_date_has_fired_a_task_can_be_scheduled_again(broker: Broker, store: ScheduleStore) -> None:
    @task(broker, queue="q", trigger=TheirDate())
    def once() -> None: ...

    once.generate()

    eventually(lambda: not once.generated, PATIENCE_S)  # type: ignore[attr-defined]  # a TriggerTask
    assert store.get("once").fired == 1


def test_results_of_all_firings_are_reached_from_the_first_message(broker: Broker, store: ScheduleStore) -> None:
    results = ResultStore(broker.backend)

    @task(broker, queue="q", trigger=TheirInterval(seconds=1), result_store=results)
    def tick() -> str:
        return "tock"

    first = tick.generate()
    eventually(lambda: store.get("tick").fired >= 2, PATIENCE_S)
    tick.shutdown()  # type: ignore[attr-defined]  # a TriggerTask
    for partition in range(broker.keys.partitions):
        for name in broker.redis.links.command("ZRANGE", broker.keys.ready("q", partition), 0, -1):
            message = broker.find(name.decode())
            assert message is not None
            results.set(message, message.uuid)

    found = results.get(first, descendants=True)

    assert len(found) >= 2
    assert first.uuid in found


def test_a_message_can_be_made_without_scheduling(tick: Any, store: ScheduleStore) -> None:
    kept = tick.generate(submit=False)
    deferred = tick.defer().generate()

    assert isinstance(kept, Message)
    assert isinstance(deferred, Message)
    assert store.counts().total == 0


def test_in_a_worker_nothing_is_started(tick: Any, store: ScheduleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSEK_WORKER_POOL", "true")

    tick.generate()

    assert tick.generated
    assert not tick.scheduler.running


def test_external_leaves_the_firing_to_services(
    tick: Any, store: ScheduleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALSEK_SCHEDULER", "external")

    tick.generate()

    assert store.get("tick").state == "active"
    assert not tick.scheduler.running


def test_without_the_scheduler_it_says_what_to_install(tick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alsek.core.triggering.candidates", lambda: None)

    with pytest.raises(SchedulingError, match="alsek-scheduler"):
        tick.generate()


def test_the_hook_on_submit_runs_once_for_each_message(broker: Broker, store: ScheduleStore) -> None:
    heard: list[str] = []

    class Loud(TriggerTask):
        def on_submit(self, message: Message) -> None:
            heard.append(message.uuid)

    @task(broker, queue="q", trigger=IntervalTrigger(milliseconds=50), base_task=Loud)
    def loud() -> None: ...

    first = loud.generate()
    eventually(lambda: len(heard) >= 3, PATIENCE_S)
    loud.pause()  # type: ignore[attr-defined]  # a TriggerTask
    eventually(lambda: len(heard) == store.get("loud").fired, PATIENCE_S)

    assert heard[0] == first.uuid
    assert len(heard) == len(set(heard))


def test_a_policy_travels_with_the_trigger(broker: Broker, store: ScheduleStore) -> None:
    policy = FirePolicy(misfire="all", overlap="skip")

    @task(broker, queue="q", trigger=IntervalTrigger(hours=1), policy=policy)
    def hourly() -> None: ...

    hourly.generate(priority=3)

    assert (store.get("hourly").policy, store.get("hourly").priority) == (policy, 3)


def test_what_is_no_trigger_is_refused_at_definition(broker: Broker) -> None:
    with pytest.raises(ValidationError, match="get_next_fire_time"):
        task(broker, trigger="hourly")(lambda: None)
    with pytest.raises(ValueError, match="a policy goes with a trigger"):
        task(broker, policy=FirePolicy())
    with pytest.raises(SchedulingError, match="parameters"):
        task(broker, trigger=IntervalTrigger(seconds=1))(lambda a: a)


PROGRAM = """
import sys
from alsek import Broker, task
from alsek.core.triggers import IntervalTrigger
from alsek.core.schedules import ScheduleStore
from alsek.storage.backends.redis import RedisBackend

broker = Broker(RedisBackend(sys.argv[1], partitions=int(sys.argv[2])))

@task(broker, queue="q", trigger=IntervalTrigger(milliseconds=100))
def lonely() -> None: ...

lonely.generate()
print("scheduled", flush=True)
while ScheduleStore(broker).get("lonely").fired < 3:
    pass
print("fired", flush=True)
"""


def test_a_lone_program_fires_its_triggers_and_hands_the_lead_over_when_it_ends(
    broker: Broker, store: ScheduleStore, redis_url: str, processes: Processes
) -> None:
    program = processes.start(python("-c", PROGRAM, redis_url, str(broker.keys.partitions)))

    program.wait_for_line("fired", 60)
    assert program.wait(60) == 0

    assert store.leader() is None
    assert store.get("lonely").fired >= 3
