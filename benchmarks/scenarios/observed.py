"""What do metrics, registry and timelines cost of the throughput?"""

import threading
import urllib.request
from contextlib import contextmanager, suppress

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, drained, percentile
from harness.server import free_port
from harness.session import Session

#: Drains with and without, one after the other, within one measurement.
PAIRS = 3

#: Prometheus asks every 15 s by default; here somebody asks all the time.
SCRAPE_S = 1.0


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Drain with everything on and scraped each second, and with nothing; which is first changes from pair to pair."""
    told: list[Measurement] = []
    bare: list[Measurement] = []
    for pair in range(PAIRS):
        for observed in (True, False) if pair % 2 else (False, True):
            (told if observed else bare).append(_drain(contender, settings, observed=observed))
    ratios = [one["rate"] / other["rate"] for one, other in zip(told, bare, strict=True)]
    return {
        "n": settings.large,
        "rate": percentile([one["rate"] for one in told], 0.5),
        "bare_rate": percentile([one["rate"] for one in bare], 0.5),
        "cost": 100 * (1 - percentile(ratios, 0.5)),
        "redis_us": percentile([one["redis_us"] for one in told], 0.5),
        "bare_redis_us": percentile([one["redis_us"] for one in bare], 0.5),
        "lost": sum(one["lost"] for one in told + bare),
        "repeated": sum(one["repeated"] for one in told + bare),
    }


def _drain(contender: Contender, settings: Settings, *, observed: bool) -> Measurement:
    n, port = settings.large, free_port()
    env = {"BENCH_METRICS": f"127.0.0.1:{port}"} if observed else {"BENCH_BARE": "1"}
    with Session(contender, records=4 * n + 10_000, env=env) as session:
        session.ask("enqueue_bulk", n)
        with _scraped(port if observed else None):
            return drained(session, n, settings)


@contextmanager
def _scraped(port: int | None):  # type: ignore[no-untyped-def]
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(SCRAPE_S):
            with suppress(OSError):  # the pool is not up yet
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()

    if port is not None:
        threading.Thread(target=scrape, daemon=True).start()
    try:
        yield
    finally:
        over.set()


SCENARIO = Scenario(
    name="observed",
    question=__doc__ or "",
    columns=(
        Column("rate", "tasks/s, everything told"),
        Column("bare_rate", "tasks/s, nothing told"),
        Column("cost", "cost %", 1),
        Column("exact", "exact"),
        Column("redis_us", "Redis us/task", 1),
        Column("bare_redis_us", "nothing told", 1),
    ),
    measure=measure,
    plot="cost",
    more_is_better=False,
    ours_only=True,
)
