"""How fast does a pool of persistent processes run no-op tasks, with one child and with two?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, drained, sized
from harness.session import Session

#: A process pool is slower than a thread pool by its pipe: fewer tasks will do.
SHARE = 4


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Drain with one child process, then with two."""
    n = sized(contender, max(settings.n // SHARE, 500))
    found: Measurement = {"lost": 0, "repeated": 0, "n": 2 * n}
    for children in (1, 2):
        with Session(contender, concurrency=children, records=4 * n + 10_000) as session:
            session.ask("enqueue_bulk", n)
            part = drained(session, n, settings)
        found[f"rate_{children}"] = part["rate"]
        found[f"redis_us_{children}"] = part["redis_us"]
        found["lost"] += part["lost"]
        found["repeated"] += part["repeated"]
    return found


SCENARIO = Scenario(
    name="process_pool",
    question=__doc__ or "",
    columns=(
        Column("rate_1", "tasks/s, 1 child"),
        Column("rate_2", "tasks/s, 2 children"),
        Column("exact", "exact"),
        Column("redis_us_1", "Redis us/task, 1 child", 1),
    ),
    measure=measure,
    plot="rate_1",
    invited_only=True,
)
