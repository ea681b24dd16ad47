"""The place where storms happen: a server, pools of `storm_tasks`, a journal, and the judge at the end."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.storage.backends.redis import RedisBackend
from faults.ends import assert_sound, ended
from harness.checker import Verdict, check
from harness.eventually import eventually
from harness.journal import Event, read_journal
from harness.processes import Process, alsek
from harness.procfs import Found, descendants

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from harness.journal import Journal
    from harness.processes import Processes
    from harness.server import Server

PROGRAMS = Path(__file__).with_name("programs")

#: Queue, mechanism and program of each kind of task.
QUEUES = {"thread": "threads", "process": "processes", "loop": "loops"}
MECHANISMS = {"thread": "thread", "process": "process", "loop": "async"}
POOLS = {"thread": "thread-pool", "process": "process-pool", "loop": "async-pool"}
KINDS = tuple(QUEUES)

#: Of retries: at once.
SOON = ConstantBackoff(10, floor=0, zero_override=False).settings


class Arena:
    """What every storm needs.

    Args:
        processes: Starts the pools.
        journal: Announced to them.
        server: Their Redis.
        seed: Of all dice.
    """

    def __init__(self, processes: Processes, journal: Journal, server: Server, seed: int) -> None:
        self.processes = processes
        self.journal = journal
        self.server = server
        self.seed = seed
        self.dice = random.Random(seed)
        self.spread(1)
        self.tail = Tail(journal.directory)

    def spread(self, partitions: int) -> None:
        """Spread all messages over so many partitions; before anything else."""
        self._env = {"ALSEK_REDIS_URL": self.server.url, "STORM_PARTITIONS": str(partitions)}
        self.broker = Broker(RedisBackend(self.server.url, partitions=partitions), receipt_ms=86_400_000)

    def pool(self, command: str, *options: str, wait: bool = True, package: str = "storm_tasks") -> Process:
        """Start a pool, and wait until it is online."""
        argv = alsek(command, package, "--log-level", "INFO", *options)
        pool = self.processes.start(argv, name=command, env=self._env, cwd=PROGRAMS)
        if wait:
            pool.wait_for_line("Worker pool online.", 30)
        return pool

    def make(self, task: str, how: str = "", seconds: float = 0, times: int = 1, **fields: Any) -> Message:
        """Make a message of one of the tasks (`in_…`, `sure_…`, `calm_…`) without enqueueing it."""
        kind = task.rpartition("_")[2]
        kwargs = {"how": how or ("await" if kind == "loop" else "sleep"), "seconds": seconds, "times": times}
        given: dict[str, Any] = {"queue": QUEUES[kind], "mechanism": MECHANISMS[kind], "backoff_settings": SOON}
        return Message(task, kwargs=kwargs, **given | fields)

    def submit(self, *messages: Message) -> None:
        """Enqueue messages, and write that down."""
        for message in messages:
            self.journal.call("submit", message.uuid)
        self.broker.submit_many(messages)
        for message in messages:
            self.journal.ok("submit", message.uuid)

    def one(self, task: str, how: str = "", seconds: float = 0, times: int = 1, **fields: Any) -> Message:
        """Make and enqueue one message."""
        message = self.make(task, how, seconds, times, **fields)
        self.submit(message)
        return message

    # -- watching ------------------------------------------------------------------------------------------------

    def open(self) -> Counter[str]:
        """How many messages wait (r), are delayed (d) or leased (l)."""
        keys = self.broker.keys
        tags = [keys.tag(partition) for partition in range(keys.partitions)]
        names = [(letter, f"{tag}{letter}:{queue}") for tag in tags for letter in "rdl" for queue in QUEUES.values()]
        with self.broker.redis.conn.pipeline(transaction=True) as pipe:
            for _, name in names:
                pipe.zcard(name)
            counts = pipe.execute()
        found: Counter[str] = Counter()
        for (letter, _), count in zip(names, counts, strict=True):
            found[letter] += count
        return found

    def events(self, message: Message | None = None, kind: str = "") -> list[Event]:
        """What the journal says, about one message or all."""
        return [
            event
            for event in read_journal(self.journal.directory)
            if (message is None or event.uuid == message.uuid) and event.kind in (kind or event.kind)
        ]

    def wait(self, message: Message, kind: str, count: int = 1, timeout: float = 15.0) -> Event:
        """The `count`-th event of a kind, as soon as it is there."""
        seen = eventually(
            lambda: self.tail.look().get((kind, message.uuid), 0) >= count,
            timeout,
            what=lambda: f"{count} x {kind} of {message.summary}: {self.events(message)}\n{self.logs()}",
            interval=0.01,
        )
        assert seen
        return self.events(message, kind)[count - 1]

    def asleep(self, pools: Iterable[Process]) -> None:
        """Return as soon as every child has looked, found nothing and sleeps in Redis."""
        children = sum(len(workers(pool)) for pool in pools)
        eventually(
            lambda: self.server.info("clients")["blocked_clients"] >= children,
            what=lambda: f"{children} children sleep\n{self.logs()}",
            interval=0.02,
        )

    def drained(self, timeout: float = 30.0) -> None:
        """Return as soon as every message has ended."""
        eventually(
            lambda: not self.open().total(),
            timeout,
            what=lambda: f"all have ended: {self.open()} are open\n{self.logs()}",
            interval=0.02,
        )

    def logs(self, lines: int = 60) -> str:
        """The ends of all logs."""
        parts = [
            f"--- {process.log_path.name}\n" + "\n".join(process.log.splitlines()[-lines:])
            for process in self.processes.started
        ]
        return "\n".join(parts)

    # -- judging -------------------------------------------------------------------------------------------------

    def verdict(self, *, poison: Iterable[str] = (), damaged: Collection[str] = (), expect_end: bool = True) -> Verdict:
        """Audit what is stored, and judge the whole run; the caller says how many duplicates are in order."""
        assert_sound(self.broker, except_for=damaged)
        verdict = check(self.events(), ended(self.broker), seed=self.seed, poison=list(poison), expect_end=expect_end)
        verdict.assert_ok(max_duplicates=None)
        return verdict

    def close(self) -> None:
        """Let go of the connections."""
        self.broker.redis.close()


@dataclass(slots=True)
class _File:
    offset: int = 0
    rest: bytes = b""


class Tail:
    """Counts the events of a journal that goes on growing, without reading it again and again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[Path, _File] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._kinds: Counter[str] = Counter()
        self._pids: Counter[int] = Counter()

    def look(self) -> Counter[tuple[str, str]]:
        """Events so far, by kind and uuid."""
        for path in self._directory.glob("*.jsonl"):
            file = self._files.setdefault(path, _File())
            with path.open("rb") as stream:
                stream.seek(file.offset)
                data = file.rest + stream.read()
                file.offset = stream.tell()
            *lines, file.rest = data.split(b"\n")
            for line in lines:
                kind, uuid = line.split(b'"', 10)[3:8:4]
                self._counts[kind.decode(), uuid.decode()] += 1
                self._kinds[kind.decode()] += 1
            self._pids[int(path.name.partition("-")[0])] += len(lines)
        return self._counts

    def count(self, kind: str) -> int:
        """Events of one kind so far."""
        self.look()
        return self._kinds[kind]

    def count_of(self, pid: int) -> int:
        """Events of one process so far."""
        self.look()
        return self._pids[pid]


def workers(pool: Process) -> list[Found]:
    """The child processes that run tasks: children of the fork server."""
    found = descendants(pool.pid)
    servers = {one.pid for one in found if one.parent == pool.pid and "forkserver" in one.command}
    return [one for one in found if one.parent in servers and one.state != "Z"]


def fork_servers(pool: Process) -> list[Found]:
    """The process that the children come from."""
    return [one for one in descendants(pool.pid) if one.parent == pool.pid and "forkserver" in one.command]
