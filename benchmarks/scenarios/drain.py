"""How fast do workers run no-op tasks that already wait?"""

import numpy as np

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, drained, sized
from harness.session import Session

_COLUMNS = (
    Column("rate", "tasks/s"),
    Column("rate_with_boot", "tasks/s incl. boot"),
    Column("exact", "exact"),
    Column("redis_us", "Redis us/task", 1),
    Column("commands", "commands/task", 2),
    Column("reads", "socket reads/task", 3),
)


def measure_one(contender: Contender, settings: Settings) -> Measurement:
    """One worker process."""
    return _drain(contender, sized(contender, settings.n), settings)


def measure_large(contender: Contender, settings: Settings) -> Measurement:
    """One worker process, ten times as many tasks."""
    return _drain(contender, sized(contender, settings.large), settings)


def measure_two(contender: Contender, settings: Settings) -> Measurement:
    """Two worker processes; the rate while both run leaves out the later one's boot."""
    n = sized(contender, settings.large if contender.large else settings.n)
    with Session(contender, records=4 * n + 10_000) as session:
        session.ask("enqueue_bulk", n)
        found = drained(session, n, settings, processes=2)
        found["rate_both"] = _rate_of_both(session.tally.lanes())
        return found


def measure_results(contender: Contender, settings: Settings) -> Measurement:
    """One worker process, every result stored and read back afterwards."""
    n = sized(contender, settings.n)
    with Session(contender, results=True, records=4 * n + 10_000) as session:
        with session.converse("results", n) as producer:
            producer.answer()
            found = drained(session, n, settings)
            producer.go_on()
            answer = producer.answer()
        found["right"] = f"{answer['right']:,}/{n:,}"
        found["wrong"] = n - answer["right"]
        found["fetch_rate"] = n / answer["seconds"]
        return found


def _drain(contender: Contender, n: int, settings: Settings) -> Measurement:
    with Session(contender, records=4 * n + 10_000) as session:
        session.ask("enqueue_bulk", n)
        return drained(session, n, settings)


def _rate_of_both(lanes: list[np.ndarray]) -> float | None:
    """Give the rate while all worker processes were at work."""
    if len(lanes) < 2:
        return None
    first = max(lane[:, 1].min() for lane in lanes)
    last = min(lane[:, 1].max() for lane in lanes)
    if last <= first:
        return None
    inside = sum(int(((lane[:, 1] >= first) & (lane[:, 1] <= last)).sum()) for lane in lanes)
    return inside / ((last - first) / 1e9)


ONE = Scenario("drain", "How fast does one worker process run waiting no-op tasks?",
               _COLUMNS, measure_one, plot="rate")  # fmt: skip
LARGE = Scenario("drain_large", "And ten times as many of them?",
                 _COLUMNS, measure_large, plot="rate", large_only=True)  # fmt: skip
TWO = Scenario(
    "drain_two",
    "How fast do two worker processes run them?",
    (_COLUMNS[0], Column("rate_both", "tasks/s while both run"), *_COLUMNS[1:]),
    measure_two,
    plot="rate",
)
RESULTS = Scenario(
    "drain_results",
    "How fast does one worker process run them when every result is stored?",
    (*_COLUMNS[:3], Column("right", "results right"), Column("fetch_rate", "results read/s"), *_COLUMNS[3:]),
    measure_results,
    plot="rate",
)
