"""What does a worker cost that has nothing to do?"""

from harness.contender import Contender
from harness.processes import Footprint, Worker
from harness.scenario import Column, Measurement, Scenario, Settings
from harness.session import Session
from scenarios.latency import warm_up

#: After the first task: imports, caches and back-off come to rest.
SETTLE_S = 5


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Count commands, CPU and memory in a window in which nothing is submitted."""
    with Session(contender) as session:
        warm_up(session, settings)
        workers = session.workers
        session.tally.wait(lambda: False, stall_s=SETTLE_S)
        before, cpu_before = session.server.read(), _cpu_s(_footprints(workers))
        session.tally.wait(lambda: False, stall_s=settings.window_s)
        cost = session.server.read().since(before)
        prints = _footprints(workers)
    minutes = cost.at / 60
    return {
        "commands": cost.commands / cost.at,
        "reads": cost.reads / cost.at,
        "cpu": (_cpu_s(prints) - cpu_before) / minutes,
        "redis_cpu": cost.cpu_s / minutes,
        "rss": max(each.rss_mb for each in prints),
        "rss_all": sum(each.rss_mb for each in prints),
        "processes": len(prints),
        "each": [[each.command, round(each.rss_mb, 1), round(each.uss_mb, 1)] for each in prints],
    }


def _footprints(workers: list[Worker]) -> list[Footprint]:
    return [each for worker in workers for each in worker.footprints()]


def _cpu_s(prints: list[Footprint]) -> float:
    return sum(each.cpu_s for each in prints)


SCENARIO = Scenario(
    name="idle",
    question=__doc__ or "",
    columns=(
        Column("commands", "Redis commands/s", 2),
        Column("reads", "socket reads/s", 2),
        Column("cpu", "worker CPU s/min", 3),
        Column("redis_cpu", "Redis CPU s/min", 3),
        Column("rss", "RSS MB, largest process", 1),
        Column("rss_all", "RSS MB, all", 1),
        Column("processes", "processes"),
    ),
    measure=measure,
    plot="cpu",
    more_is_better=False,
    once=True,
)
