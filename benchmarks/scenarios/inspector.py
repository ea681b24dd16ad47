"""How long does an operator wait for a look at a million messages in 50 queues?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, percentile
from harness.session import MeasurementError, Session

QUEUES = 50


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Fill the queues once, then ask each question many times over one connection."""
    with Session(contender, records=1_000) as session:
        answer = session.ask("look", settings.looked_at, QUEUES)
    if answer["messages"] < settings.looked_at:
        raise MeasurementError(f"only {answer['messages']:,} messages are there")
    found: Measurement = {"messages": answer["messages"]}
    for name, times in answer["ms"].items():
        found[name] = percentile(times, 0.50)
        found[f"{name}_p95"] = percentile(times, 0.95)
    found["slowest"] = max(found[name] for name in answer["ms"])
    return found


SCENARIO = Scenario(
    name="inspector",
    question=__doc__ or "",
    columns=(
        Column("messages", "messages"),
        Column("overview", "overview ms", 2),
        Column("overview_p95", "p95", 2),
        Column("first_page", "first page ms", 2),
        Column("later_page", "later page ms", 2),
        Column("delayed", "delayed ms", 2),
        Column("dead", "dead letters ms", 2),
        Column("of_no_task", "by task ms", 2),
        Column("message", "message ms", 2),
        Column("explain", "explain ms", 2),
        Column("hour", "an hour ms", 2),
        Column("slowest", "slowest ms", 2),
    ),
    measure=measure,
    plot="slowest",
    more_is_better=False,
    ours_only=True,
    once=True,
)
