"""How much later than Redis does the service tell 500 listeners of 200 messages that finish each second?"""

import asyncio
import json
import time

from harness import service
from harness.contender import Contender
from harness.http_load import Target, Witness, connect, enqueueing, listen
from harness.scenario import Column, Measurement, Scenario, Settings, percentile
from harness.session import Session

A_SECOND = 200
LISTENERS = 500
IN_A_REQUEST = 20
DELAY_MS = 1000 * LISTENERS // A_SECOND
#: What has not been heard by then is lost, seconds.
PATIENCE_S = 20


class Show:
    """The messages, who listens to them, and when the end of each was heard."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.uuids: list[str] = []
        self.in_redis: dict[str, float] = {}
        self.by_stream: dict[str, float] = {}
        self.open = 0
        self.most = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, redis_port: int, seconds: float) -> None:
        """Enqueue at a steady pace, follow each message from the beginning, and wait for all ends."""
        loop = asyncio.get_running_loop()
        witness, _ = await loop.create_connection(
            lambda: Witness("channel:bench:mark:*", self._witness), "127.0.0.1", redis_port
        )
        connection = await connect(self.target)
        began = loop.time()
        for turn in range(int(seconds * A_SECOND / IN_A_REQUEST)):
            await asyncio.sleep(began + turn * IN_A_REQUEST / A_SECOND - loop.time())
            first = turn * IN_A_REQUEST
            spread = 1000 // A_SECOND
            messages = [
                {"task": "mark", "args": [first + n], "queue": "bench", "delay_ms": DELAY_MS + n * spread}
                for n in range(IN_A_REQUEST)
            ]
            _, body = await connection.ask(enqueueing(self.target, messages))
            for outcome in json.loads(body)["outcomes"]:
                task = asyncio.create_task(self._follow(outcome["uuid"]))
                self._tasks.add(task)
        connection.close()
        await asyncio.wait(self._tasks, timeout=PATIENCE_S)
        witness.abort()

    async def _follow(self, uuid: str) -> None:
        self.uuids.append(uuid)
        self.open += 1
        self.most = max(self.most, self.open)

        def heard(state: str) -> None:
            if state == "succeeded":
                self.by_stream[uuid] = time.perf_counter()

        await (await listen(self.target, uuid, heard))
        self.open -= 1

    def _witness(self, channel: str, payload: bytes) -> None:
        if b"SUCCEEDED" in payload:
            self.in_redis[channel.rpartition(":")[2]] = time.perf_counter()


def measure(contender: Contender, settings: Settings) -> Measurement:
    """A pool runs the messages; a subscriber of Redis itself is the reference."""
    with Session(contender) as session:
        target = service.start(session)
        service.beside(session, contender, "async")
        show = Show(target)
        asyncio.run(show.run(session.server.port, settings.window_s / 2))
    added = [1000 * (at - show.in_redis[uuid]) for uuid, at in show.by_stream.items() if uuid in show.in_redis]
    return {
        "n": len(show.uuids),
        "lost": len(show.uuids) - len(show.by_stream),
        "repeated": 0,
        "listeners": show.most,
        "p50": percentile(added, 0.50),
        "p99": percentile(added, 0.99),
        "worst": max(added),
    }


SCENARIO = Scenario(
    name="http_events",
    question=__doc__ or "",
    columns=(
        Column("p99", "added p99 ms", 1),
        Column("p50", "added p50 ms", 1),
        Column("worst", "worst ms", 1),
        Column("listeners", "listeners"),
        Column("exact", "heard"),
    ),
    measure=measure,
    plot="p99",
    more_is_better=False,
    invited_only=True,
)
