"""How much Redis memory does a waiting message take, and how much Redis CPU its whole life?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, drained, sized
from harness.session import Session


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Memory with `add(1, 2)` waiting; CPU from a bulk submit to the last acknowledgement."""
    n = sized(contender, settings.n)
    with Session(contender) as session:
        # One message first: queues, scripts and connections are not per message.
        session.ask("enqueue_bulk", 1, "add")
        before = session.server.read()
        session.ask("enqueue_bulk", n, "add")
        memory = session.server.read().since(before).memory
    with Session(contender, records=4 * n + 10_000) as session:
        before = session.server.read()
        session.ask("enqueue_bulk", n)
        submitted = session.server.read().since(before)
        found = drained(session, n, settings)
    return found | {
        "bytes": memory / n,
        "submit_us": submitted.cpu_s * 1e6 / n,
        "drain_us": found["redis_us"],
        "life_us": submitted.cpu_s * 1e6 / n + found["redis_us"],
        "life_commands": submitted.commands / n + found["commands"],
    }


SCENARIO = Scenario(
    name="redis_cost",
    question=__doc__ or "",
    columns=(
        Column("bytes", "bytes/waiting add(1, 2)"),
        Column("life_us", "Redis us/message, whole life", 1),
        Column("submit_us", "of it submit (bulk)", 1),
        Column("drain_us", "of it run", 1),
        Column("life_commands", "commands/message", 2),
        Column("exact", "exact"),
    ),
    measure=measure,
    plot="life_us",
    more_is_better=False,
)
