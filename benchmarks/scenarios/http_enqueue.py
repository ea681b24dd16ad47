"""How many single messages a second does one service process take over HTTP, beside a bare endpoint?"""

import asyncio
import json

from harness import service
from harness.contender import Contender
from harness.http_load import Target, hammer
from harness.scenario import Column, Measurement, Scenario, Settings, percentile
from harness.session import MeasurementError, Session

CONNECTIONS = 16


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Sixteen kept-alive connections, each with one request at a time; no worker runs."""
    n = max(settings.n // 2, 500)
    with Session(contender) as session:
        target = service.start(session, key=contender.ours)
        asyncio.run(hammer(target, iter(_requests(target, 500)), CONNECTIONS))
        before, used_s = session.server.read(), service.cpu_s(session)
        answers = asyncio.run(hammer(target, iter(_requests(target, n)), CONNECTIONS))
        cost, used_s = session.server.read().since(before), service.cpu_s(session) - used_s
    if set(answers.statuses) != {202}:
        raise MeasurementError(f"statuses: {dict(answers.statuses)}")
    return {
        "n": n,
        "rate": n / answers.seconds,
        "p50": 1000 * percentile(answers.took_s, 0.50),
        "p99": 1000 * percentile(answers.took_s, 0.99),
        "cpu_us": used_s * 1e6 / n,
        "redis_us": cost.cpu_s * 1e6 / n,
    }


def _requests(target: Target, n: int) -> list[bytes]:
    return [
        target.request("POST", "/v1/messages", json.dumps({"task": "add", "args": [number, 1]}).encode())
        for number in range(n)
    ]


SCENARIO = Scenario(
    name="http_enqueue",
    question=__doc__ or "",
    columns=(
        Column("rate", "requests/s"),
        Column("p50", "p50 ms", 2),
        Column("p99", "p99 ms", 2),
        Column("cpu_us", "CPU us/request"),
        Column("redis_us", "Redis us/request", 1),
    ),
    measure=measure,
    plot="rate",
    invited_only=True,
)
