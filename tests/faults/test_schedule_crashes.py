"""S2: a scheduler dies, or loses an answer, before and after each of its commands; nothing is fired twice or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek.core.ids import made_at
from alsek.core.schedules import ScheduleStore
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from faults import schedule_scenarios as scenarios
from faults.ends import assert_sound
from harness.crashpoint import CrashPoint, sweep
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from pathlib import Path

    from harness.server import Server


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_scheduler_that_crashes_at_any_command_fires_each_instant_once(
    server: Server, tmp_path: Path, seed: int
) -> None:
    client = server.client()

    def prepare() -> None:
        seconds, micros = client.time()  # type: ignore[misc]  # a sync client
        scenarios.fill(server.url, int(seconds) * 1000 + int(micros) // 1000)

    def recover(_: CrashPoint) -> None:
        with Scheduler(scenarios.broker_at(server.url), settings=Settings(lease_ms=500)):
            scenarios.wait_until_ended(server.url)

    def check(_: CrashPoint) -> None:
        broker = scenarios.broker_at(server.url)
        store = ScheduleStore(broker)
        for name in scenarios.names():
            shown = store.get(name)
            # The count is kept in the step that fires: it would tell of a second fire that found its message there.
            assert (shown.fired, shown.missed, shown.state) == (scenarios.INSTANTS, 0, "ended"), shown
            first = made_at(shown.first_uuid or "")
            assert first is not None
        waiting: dict[str, list[int]] = {}
        for partition in range(broker.keys.partitions):
            for raw in broker.redis.links.command("ZRANGE", broker.keys.ready("q", partition), 0, -1):
                message = broker.find(raw.decode())
                assert message is not None
                waiting.setdefault(message.task_name, []).append(message.created_at)
        assert {name: len(set(instants)) for name, instants in waiting.items()} == dict.fromkeys(
            scenarios.names(), scenarios.INSTANTS
        ), waiting
        assert all(len(instants) == scenarios.INSTANTS for instants in waiting.values()), waiting
        assert_sound(broker)
        broker.backend.close()

    report = sweep(
        "faults.schedule_scenarios:fire_all",
        server=server,
        directory=tmp_path,
        prepare=prepare,
        recover=recover,
        check=check,
        arguments={"direct": server.url},
        modules=["alsek_scheduler.service"],
        sample=chaos_size(12, 10_000),
        seed=seed,
        timeout=60,
    )
    print(
        f"S2 commands={len(report.commands)} runs={report.runs}: {', '.join(sorted(set(report.commands)))}", flush=True
    )
    client.close()
