"""Does the memory of the service stay flat under ten minutes of everything?"""

import asyncio
import json
import time
from itertools import count

import numpy

from harness import service
from harness.contender import Contender
from harness.http_load import Target, connect, listen
from harness.scenario import Column, Measurement, Scenario, Settings
from harness.session import MeasurementError, Session

#: Ten times the window of the idle scenario: ten minutes by default.
WINDOWS = 10
#: Turns a second: in each one message, one stream that follows it, a long poll, two looks and a mistake.
A_SECOND = 20
WARM_SHARE = 0.2
SAMPLE_S = 2.0


def measure(contender: Contender, settings: Settings) -> Measurement:
    """The slope is fitted to the samples after the first fifth."""
    seconds = settings.window_s * WINDOWS
    with Session(contender) as session:
        target = service.start(session)
        service.beside(session, contender, "async")
        samples: list[tuple[float, float]] = []
        turns, errors = asyncio.run(_soak(session, target, seconds, samples))
    if errors:
        raise MeasurementError(f"{errors} requests were answered by a 5xx")
    late = numpy.array([each for each in samples if each[0] >= WARM_SHARE * seconds])
    slope = float(numpy.polyfit(late[:, 0], late[:, 1], 1)[0]) if len(late) > 1 else 0.0
    return {
        "n": turns,
        "begin": float(late[0, 1]),
        "end": float(late[-1, 1]),
        "slope": slope * 60,
        "growth": 100 * (float(late[-1, 1]) / float(late[0, 1]) - 1),
        "seconds": seconds,
    }


async def _soak(
    session: Session, target: Target, seconds: float, samples: list[tuple[float, float]]
) -> tuple[int, int]:
    began, errors, tasks = time.monotonic(), 0, set()
    numbers = count()

    async def turn(number: int) -> None:
        nonlocal errors
        connection = await connect(target)
        body = json.dumps({"task": "double", "args": [number], "queue": "bench"}).encode()
        status, answer = await connection.ask(target.request("POST", "/v1/messages", body))
        if status == 202:
            uuid = json.loads(answer)["uuid"]
            await (await listen(target, uuid, lambda _: None))
            for path in (f"/{uuid}/result?wait=10", f"/{uuid}", f"/never-{number}", "?queue=bench&limit=5"):
                status, _ = await connection.ask(target.request("GET", f"/v1/messages{path}"))
                errors += status >= 500
        errors += status >= 500
        connection.close()

    async with asyncio.timeout(2 * seconds + 60):
        while (now := time.monotonic() - began) < seconds:
            if not samples or now - samples[-1][0] >= SAMPLE_S:
                used = await asyncio.to_thread(session.workers[0].footprints)
                samples.append((now, max(each.uss_mb for each in used)))
            number = next(numbers)
            task = asyncio.create_task(turn(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(max(0.0, began + number / A_SECOND - time.monotonic()))
        await asyncio.gather(*tasks)
    return next(numbers), errors


SCENARIO = Scenario(
    name="http_soak",
    question=__doc__ or "",
    columns=(
        Column("growth", "growth %", 2),
        Column("begin", "MB after the first fifth", 1),
        Column("end", "MB at the end", 1),
        Column("slope", "MB/minute", 3),
        Column("n", "turns"),
    ),
    measure=measure,
    plot="growth",
    more_is_better=False,
    invited_only=True,
    once=True,
)
