"""How fast can one producer process submit: one by one, 50 in flight, in bulk?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, sized
from harness.session import Session

IN_FLIGHT = 50


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Submit no-op tasks to an empty server; no worker runs."""
    n = sized(contender, settings.n)
    found: Measurement = {"n": n}
    for way, command, arguments in (
        ("single", "enqueue_single", (max(n // 4, 200),)),
        ("in_flight", "enqueue_inflight", (n, IN_FLIGHT)),
        ("bulk", "enqueue_bulk", (n,)),
    ):
        if way in contender.lacks:
            continue
        with Session(contender) as session:
            before = session.server.read()
            answer = session.ask(command, *arguments)
            cost = session.server.read().since(before)
        found[way] = answer["calls"] / answer["seconds"]
        found[f"{way}_redis_us"] = cost.cpu_s * 1e6 / answer["calls"]
        found[f"{way}_commands"] = cost.commands / answer["calls"]
        found["how"] = answer.get("how", "")
    return found


SCENARIO = Scenario(
    name="enqueue",
    question=__doc__ or "",
    columns=(
        Column("single", "single/s"),
        Column("in_flight", "50 in flight/s"),
        Column("bulk", "bulk/s"),
        Column("how", "bulk by"),
        Column("single_redis_us", "Redis us/task single", 1),
        Column("bulk_redis_us", "Redis us/task bulk", 1),
        Column("single_commands", "commands/task single", 2),
        Column("bulk_commands", "commands/task bulk", 2),
    ),
    measure=measure,
    plot="single",
)
