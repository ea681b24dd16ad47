"""How near to the ideal do 2,000 waits of 50 ms come at concurrency 100?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings
from harness.session import MeasurementError, Session
from harness.tallies import ENDS, STARTS

NAP_S = 0.05
CONCURRENCY = 100
TASKS = 2_000


def measure(contender: Contender, settings: Settings) -> Measurement:
    """One worker process; from the first start to the last end."""
    tasks = min(TASKS, 10 * settings.n)
    concurrency = 1 if contender.limit else CONCURRENCY
    if concurrency == 1:
        tasks = tasks // 10
    ideal = tasks * NAP_S / concurrency
    with Session(contender, concurrency=concurrency) as session:
        session.ask("enqueue_bulk", tasks, f"nap:{NAP_S}")
        session.work()
        tally = session.tally
        tally.wait(lambda: tally.records() >= 2 * tasks, settings.stall_s)
        starts, ends = tally.rows(STARTS), tally.rows(ENDS)
        if not len(ends):
            raise MeasurementError(f"no task ended:\n{session.complaint()}")
    seconds = (ends[-1, 1] - starts[0, 1]) / 1e9
    distinct = len(set(ends[:, 0].tolist()))
    return {
        "n": tasks,
        "ratio": seconds / ideal,
        "seconds": seconds,
        "concurrency": concurrency,
        "lost": tasks - distinct,
        "repeated": len(starts) - len(set(starts[:, 0].tolist())),
    }


SCENARIO = Scenario(
    name="io",
    question=__doc__ or "",
    columns=(
        Column("ratio", "ratio to ideal", 3),
        Column("seconds", "seconds", 2),
        Column("concurrency", "concurrency"),
        Column("exact", "exact"),
    ),
    measure=measure,
    plot="ratio",
    more_is_better=False,
)
