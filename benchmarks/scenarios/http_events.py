"""How much later than Redis does the service tell 500 listeners of 200 messages that finish each second?"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

from harness import service
from harness.contender import Contender
from harness.http_load import Connection, Target, Witness, connect, enqueueing, listen
from harness.scenario import Column, Measurement, Scenario, Settings, percentile
from harness.session import Session

A_SECOND = 200
LISTENERS = 500
IN_A_REQUEST = 20
DELAY_MS = 1000 * LISTENERS // A_SECOND
#: Of standing listeners: how long after the first message was enqueued the first one finishes, to open all streams in.
STANDING_MS = 15_000
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
        self._connection: Connection

    async def run(self, redis_port: int, seconds: float) -> None:
        """Enqueue at a steady pace, follow each message from the beginning, and wait for all ends."""
        await self._witnessed(redis_port, self._roll(seconds))

    async def stand(self, redis_port: int) -> None:
        """Open all streams, and then have the messages end at a steady pace."""
        await self._witnessed(redis_port, self._enqueue(0, LISTENERS, STANDING_MS))

    async def _witnessed(self, redis_port: int, work: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        witness, _ = await loop.create_connection(
            lambda: Witness("channel:bench:mark:*", self._witness), "127.0.0.1", redis_port
        )
        self._connection = await connect(self.target)
        await work
        self._connection.close()
        await asyncio.wait(self._tasks, timeout=PATIENCE_S)
        witness.abort()

    async def _roll(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for turn in range(int(seconds * A_SECOND / IN_A_REQUEST)):
            await asyncio.sleep(began + turn * IN_A_REQUEST / A_SECOND - loop.time())
            await self._enqueue(turn * IN_A_REQUEST, IN_A_REQUEST, DELAY_MS)

    async def _enqueue(self, first: int, count: int, delay_ms: int) -> None:
        spread = 1000 // A_SECOND
        messages = [
            {"task": "mark", "args": [first + n], "queue": "bench", "delay_ms": delay_ms + n * spread}
            for n in range(count)
        ]
        _, body = await self._connection.ask(enqueueing(self.target, messages))
        for outcome in json.loads(body)["outcomes"]:
            task = asyncio.create_task(self._follow(outcome["uuid"]))
            self._tasks.add(task)
            if count > IN_A_REQUEST:
                await asyncio.sleep(0.5 * STANDING_MS / 1000 / count)

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
    return _measure(contender, lambda show, port: show.run(port, settings.window_s / 2))


def measure_standing(contender: Contender, _: Settings) -> Measurement:
    """The same, with all streams open before the first message ends."""
    return _measure(contender, lambda show, port: show.stand(port))


def _measure(contender: Contender, play: Callable[[Show, int], Coroutine[Any, Any, None]]) -> Measurement:
    with Session(contender) as session:
        target = service.start(session)
        service.beside(session, contender, "async")
        show = Show(target)
        asyncio.run(play(show, session.server.port))
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


COLUMNS = (
    Column("p99", "added p99 ms", 1),
    Column("p50", "added p50 ms", 1),
    Column("worst", "worst ms", 1),
    Column("listeners", "listeners"),
    Column("exact", "heard"),
)

SCENARIO = Scenario(
    name="http_events",
    question=__doc__ or "",
    columns=COLUMNS,
    measure=measure,
    plot="p99",
    more_is_better=False,
    invited_only=True,
)

STANDING = Scenario(
    name="http_standing",
    question="The same, when all 500 listen before the first message finishes?",
    columns=COLUMNS,
    measure=measure_standing,
    plot="p99",
    more_is_better=False,
    invited_only=True,
)
