"""How long from submit to the result in the caller's hands when the worker is idle?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, percentile
from harness.session import Session
from scenarios.latency import warm_up


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Submit and wait, one after the other, each peer with its own way of waiting."""
    n = min(settings.samples, contender.limit or settings.samples)
    with Session(contender, results=True) as session:
        warm_up(session, settings)
        answer = session.ask("roundtrip", n)
    times = answer["ms"]
    return {
        "n": n,
        "p50": percentile(times, 0.50),
        "p95": percentile(times, 0.95),
        "p99": percentile(times, 0.99),
        "right": f"{answer['right']:,}/{n:,}",
        "wrong": n - answer["right"],
    }


SCENARIO = Scenario(
    name="roundtrip",
    question=__doc__ or "",
    columns=(
        Column("p50", "p50 ms", 2),
        Column("p95", "p95 ms", 2),
        Column("p99", "p99 ms", 2),
        Column("right", "results right"),
    ),
    measure=measure,
    plot="p50",
    more_is_better=False,
)
