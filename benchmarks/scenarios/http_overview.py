"""How long does the first page of the dashboard take when a million messages wait in 50 queues?"""

import asyncio

from harness import service
from harness.contender import Contender
from harness.http_load import enqueueing, hammer
from harness.scenario import Column, Measurement, Scenario, Settings, percentile
from harness.session import MeasurementError, Session

QUEUES = 50
IN_A_REQUEST = 4_000
PAGES = 50
WAITING = 1_000_000


def measure(contender: Contender, settings: Settings) -> Measurement:
    """The messages come in by HTTP; then one reader asks for one page after the other."""
    n = min(WAITING, settings.n * QUEUES)
    in_a_request = min(IN_A_REQUEST, n // QUEUES)
    with Session(contender) as session:
        target = service.start(session, key=False)
        requests = [
            enqueueing(target, [{"task": "add", "args": [1, 2], "queue": f"queue-{at % QUEUES}"}] * in_a_request)
            for at in range(n // in_a_request)
        ]
        filled = asyncio.run(hammer(target, iter(requests), 2))
        before = session.server.read()
        pages = asyncio.run(hammer(target, iter([target.request("GET", "/")] * PAGES), 1, keep=True))
        cost = session.server.read().since(before)
    if set(filled.statuses) != {200} or set(pages.statuses) != {200} or b"queue-" not in pages.bodies[-1]:
        raise MeasurementError(f"statuses: {dict(filled.statuses)}, {dict(pages.statuses)}")
    return {
        "n": n,
        "p50": 1000 * percentile(pages.took_s, 0.50),
        "p95": 1000 * percentile(pages.took_s, 0.95),
        "first": 1000 * pages.took_s[0],
        "commands": cost.commands / PAGES,
        "kb": len(pages.bodies[-1]) / 1024,
    }


SCENARIO = Scenario(
    name="http_overview",
    question=__doc__ or "",
    columns=(
        Column("p50", "p50 ms", 1),
        Column("p95", "p95 ms", 1),
        Column("first", "first one ms", 1),
        Column("n", "messages waiting"),
        Column("commands", "Redis commands/page"),
        Column("kb", "page kB"),
    ),
    measure=measure,
    plot="p50",
    more_is_better=False,
    invited_only=True,
    once=True,
)
