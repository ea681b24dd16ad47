"""How many messages a second does one service process take over HTTP in bulk?"""

import asyncio

from harness import service
from harness.contender import Contender
from harness.http_load import enqueueing, hammer
from harness.scenario import Column, Measurement, Scenario, Settings
from harness.session import MeasurementError, Session

IN_A_REQUEST = 1_000
CONNECTIONS = 4


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Requests of 1,000 messages over four connections; no worker runs."""
    requests = max(settings.large // IN_A_REQUEST, 5)
    messages = [{"task": "add", "args": [number, 1], "queue": "bench"} for number in range(IN_A_REQUEST)]
    with Session(contender) as session:
        target = service.start(session)
        request = enqueueing(target, messages)
        asyncio.run(hammer(target, iter([request] * CONNECTIONS), CONNECTIONS))
        used_s = service.cpu_s(session)
        answers = asyncio.run(hammer(target, iter([request] * requests), CONNECTIONS))
        used_s = service.cpu_s(session) - used_s
    if set(answers.statuses) != {200}:
        raise MeasurementError(f"statuses: {dict(answers.statuses)}")
    n = requests * IN_A_REQUEST
    return {
        "n": n,
        "rate": n / answers.seconds,
        "cpu_us": used_s * 1e6 / n,
        "slowest": 1000 * max(answers.took_s),
    }


SCENARIO = Scenario(
    name="http_batch",
    question=__doc__ or "",
    columns=(
        Column("rate", "messages/s"),
        Column("cpu_us", "CPU us/message", 1),
        Column("slowest", "slowest request ms"),
    ),
    measure=measure,
    plot="rate",
    invited_only=True,
)
