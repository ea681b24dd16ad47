"""One module per question; `ALL` is the order in which they are asked."""

from harness.scenario import Scenario
from scenarios import (
    backlog,
    crash,
    drain,
    enqueue,
    idle,
    inspector,
    io,
    latency,
    observed,
    process_pool,
    redis_cost,
    roundtrip,
    schedules,
)

ALL: tuple[Scenario, ...] = (
    enqueue.SCENARIO,
    drain.ONE,
    drain.LARGE,
    drain.TWO,
    drain.RESULTS,
    latency.SCENARIO,
    roundtrip.SCENARIO,
    process_pool.SCENARIO,
    io.SCENARIO,
    idle.SCENARIO,
    redis_cost.SCENARIO,
    backlog.SCENARIO,
    inspector.SCENARIO,
    observed.SCENARIO,
    crash.DEFAULT,
    crash.RECOMMENDED,
    crash.CHILD,
    schedules.SCENARIO,
)
