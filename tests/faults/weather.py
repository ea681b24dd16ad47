"""What the tests of bad weather share: producers that go on through it, and pools that see Redis through a proxy."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import redis

from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.ids import new_uuid
from alsek.core.task import Task
from alsek.exceptions import AlsekError, BackendUnavailableError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.scripts import Code
from faults.arena import KINDS, MECHANISMS, PROGRAMS, QUEUES, Arena
from harness.processes import Process, alsek

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.message import Message
    from harness.journal import Event

#: Ways to enqueue, each with code of its own on the way to Redis.
WAYS: Final = ("generate", "generate_many", "agenerate", "submit_many")

#: Those that know the ids of their messages before they ask: for weather in which some calls are never answered.
ACCOUNTABLE: Final = ("generate", "agenerate", "submit_many")

#: What `everysec` may lose on a slow disk, seconds before a kill (`guarantees.md` 2.2).
EVERYSEC_LOSS_S: Final = 3.0


def pool_at(arena: Arena, url: str, command: str, *options: str) -> Process:
    """Start a pool that reaches Redis at `url`, and wait until it is online."""
    argv = alsek(command, "storm_tasks", *options)
    pool = arena.processes.start(argv, name=command, env={"ALSEK_REDIS_URL": url}, cwd=PROGRAMS)
    pool.wait_for_line("Worker pool online.", 30)
    return pool


def task_of(kind: str, broker: Broker) -> Task:
    """One of the tasks that the pools run, as a producer without the code has it."""

    def plain(*_args: Any, **_kwargs: Any) -> None:
        """Runs elsewhere."""

    async def coroutine(*_args: Any, **_kwargs: Any) -> None:
        """Runs elsewhere."""

    return Task(
        coroutine if kind == "loop" else plain,
        broker,
        name=f"in_{kind}",
        queue=QUEUES[kind],
        mechanism=MECHANISMS[kind],  # type: ignore[arg-type]
        backoff=ConstantBackoff(10, floor=0, zero_override=False),
    )


@dataclass(frozen=True, slots=True)
class Restart:
    """One death of a server.

    Attributes:
        killed: Monotonic ns.
        ready: When it answered again, monotonic ns.
        healed_s: Seconds until work of every kind was started again.
    """

    killed: int
    ready: int
    healed_s: float


class Producer:
    """A thread that enqueues work in every way there is, and writes down what it was told.

    Args:
        arena: Its journal, and the server at which is looked how much waits.
        url: Where it enqueues; the arena's server when empty.
        number: Tells producers apart, for their dice.
        total: Ends by itself after so many messages; `None`: when it is stopped.
        ways: See `WAYS`.
        kinds: Of tasks.
        most_open: Pauses while more than that is under way.
        revokes: Whether some messages are revoked again.
    """

    def __init__(
        self,
        arena: Arena,
        url: str = "",
        *,
        number: int = 0,
        total: int | None = None,
        ways: Sequence[str] = WAYS,
        kinds: Sequence[str] = KINDS,
        most_open: int = 150,
        revokes: bool = False,
    ) -> None:
        self.kind_of: dict[str, str] = {}
        self.errors: list[str] = []
        self.submitted = 0
        #: Messages that were told to be revoked before they were started.
        self.revoked = 0
        self._arena = arena
        self._broker = Broker(RedisBackend(url or arena.server.url))
        self._tasks = {kind: task_of(kind, self._broker) for kind in kinds}
        self._dice = random.Random(f"{arena.seed}/{number}")
        self._total = total
        known = {
            "generate": self._generate,
            "generate_many": self._generate_many,
            "agenerate": self._agenerate,
            "submit_many": self._submit_many,
        }
        self._ways = {name: known[name] for name in ways}
        self._most_open = most_open
        self._revokes = revokes
        self._enough = threading.Event()
        self._look = arena.server.client()
        self._thread = threading.Thread(target=self._run, name=f"producer-{number}", daemon=True)

    def start(self) -> Producer:
        """Begin."""
        self._thread.start()
        return self

    def stop(self, timeout: float = 60.0) -> None:
        """End after the call under way; raises if it hangs or something unexpected was raised."""
        self._enough.set()
        self.join(timeout)

    def join(self, timeout: float = 60.0) -> None:
        """Wait until everything is enqueued."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"the producer hangs after {self.submitted} messages"
        self._look.close()
        self._broker.redis.close()
        assert not self.errors, self.errors[:5]

    def _run(self) -> None:
        journal = self._arena.journal
        while not self._enough.is_set() and (self._total is None or self.submitted < self._total):
            if self._waits() > self._most_open:
                self._enough.wait(0.02)
                continue
            kind, way = self._dice.choice(list(self._tasks)), self._dice.choice(list(self._ways))
            try:
                messages = self._ways[way](kind)
                if self._revokes and self._dice.random() < 0.5:
                    self._revoke(self._tasks[kind], self._dice.choice(messages))
            except BackendUnavailableError:
                continue  # written down as unknown
            except BaseException as error:
                self.errors.append(f"{way}: {error!r}")
                journal.write("NOTE", "producer", op="error", error=repr(error))

    def _kwargs(self, kind: str) -> dict[str, Any]:
        return {"how": "await" if kind == "loop" else "sleep", "seconds": round(self._dice.uniform(0, 0.01), 4)}

    def _generate(self, kind: str) -> list[Message]:
        uuid = new_uuid()
        delay = self._dice.choice([None, None, 50, 300])
        self.kind_of[uuid] = kind
        with self._arena.journal.calling("submit", uuid, unknown=(BackendUnavailableError,)):
            message = self._tasks[kind].generate(kwargs=self._kwargs(kind), uuid=uuid, delay=delay)
        self.submitted += 1
        return [message]

    def _agenerate(self, kind: str) -> list[Message]:
        async def burst() -> list[Message]:
            return await asyncio.gather(*(one() for _ in range(10)))

        async def one() -> Message:
            uuid = new_uuid()
            self.kind_of[uuid] = kind
            with self._arena.journal.calling("submit", uuid, unknown=(BackendUnavailableError,)):
                return await self._tasks[kind].agenerate(kwargs=self._kwargs(kind), uuid=uuid)

        messages = asyncio.run(burst())
        self.submitted += len(messages)
        return messages

    def _generate_many(self, kind: str) -> list[Message]:
        messages = self._tasks[kind].generate_many([{"kwargs": self._kwargs(kind)} for _ in range(20)])
        return self._note(kind, messages)

    def _submit_many(self, kind: str) -> list[Message]:
        messages = self._tasks[kind].generate_many([{"kwargs": self._kwargs(kind)} for _ in range(20)], submit=False)
        journal = self._arena.journal
        for message in messages:
            self.kind_of[message.uuid] = kind
            journal.call("submit", message.uuid)
        try:
            self._broker.submit_many(messages)
        except AlsekError as error:
            for message in messages:
                journal.unknown("submit", message.uuid, error=repr(error))
            raise
        for message in messages:
            journal.ok("submit", message.uuid)
        self.submitted += len(messages)
        return messages

    def _note(self, kind: str, messages: list[Message]) -> list[Message]:
        # Their uuids are not known before: a call that fails here must not have stored anything for good.
        for message in messages:
            self.kind_of[message.uuid] = kind
            self._arena.journal.call("submit", message.uuid)
            self._arena.journal.ok("submit", message.uuid)
        self.submitted += len(messages)
        return messages

    def _revoke(self, task: Task, message: Message) -> None:
        # A thread or a process that is interrupted would have to be replaced, which is another test's subject.
        code = self._broker.revoke(message, skip_if_running=task.mechanism != "async")
        self._arena.journal.write("NOTE", message.uuid, op="revoked" if code == Code.DONE else "not revoked in time")
        self.revoked += code == Code.DONE

    def _waits(self) -> int:
        tag = self._arena.broker.keys.tag(0)
        try:
            return sum(self._look.zcard(f"{tag}{letter}:{queue}") for letter in "rdl" for queue in QUEUES.values())
        except redis.RedisError:
            return 0


@dataclass(slots=True)
class Starts:
    """When what ran, out of a journal."""

    times: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, events: list[Event]) -> Starts:
        """Read them."""
        starts = cls()
        for event in events:
            if event.kind == "START":
                starts.times.setdefault(event.uuid, []).append(event.t)
        return starts

    def first_after(self, t: int, kind: str, kind_of: dict[str, str]) -> float:
        """Seconds from `t` until something of this kind was started."""
        later = [time for uuid, times in self.times.items() if kind_of.get(uuid) == kind for time in times if time > t]
        return (min(later) - t) / 1e9 if later else float("inf")

    def repeated(self) -> dict[str, list[int]]:
        """What was started more than once."""
        return {uuid: times for uuid, times in self.times.items() if len(times) > 1}
