"""How long from submit to start when the worker is idle?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, percentile, sized
from harness.session import MeasurementError, Session

#: Idle time between two submits; not a multiple of anybody's polling interval.
GAP_MS = 17

#: A number no measurement looks at.
UNUSED = 10**9


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Submit one task at a time to one idle worker process; both ends read CLOCK_MONOTONIC."""
    n = sized(contender, settings.samples)
    with Session(contender) as session:
        warm_up(session, settings)
        submitted = session.ask("latency", n, GAP_MS)["submitted"]
        tally = session.tally
        tally.wait(lambda: tally.distinct(below=n) >= n, settings.stall_s)
        started: dict[int, int] = {}
        for number, at in tally.rows():
            if number < n:
                started.setdefault(int(number), int(at))
    times = [(started[i] - at) / 1e6 for i, at in enumerate(submitted) if i in started]
    if not times:
        raise MeasurementError("no task started")
    return {
        "n": n,
        "p50": percentile(times, 0.50),
        "p95": percentile(times, 0.95),
        "p99": percentile(times, 0.99),
        "max": max(times),
        "lost": n - len(times),
        "repeated": 0,
    }


def warm_up(session: Session, settings: Settings) -> None:
    """Start a worker and see one task through, so that it is known to be idle."""
    session.work()
    session.ask("enqueue_single", 1, "mark", UNUSED)
    if not session.expect(1, settings.stall_s):
        raise MeasurementError(f"the worker did not come up:\n{session.complaint()}")


SCENARIO = Scenario(
    name="latency",
    question=__doc__ or "",
    columns=(
        Column("p50", "p50 ms", 2),
        Column("p95", "p95 ms", 2),
        Column("p99", "p99 ms", 2),
        Column("max", "max ms", 1),
        Column("exact", "exact"),
    ),
    measure=measure,
    plot="p50",
    more_is_better=False,
)
